//! The rules of the house (DESIGN section 2), as far as a program can check them.

mod arrows;
mod source;
mod weight;

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const EXAMPLE_LINES_MAX: usize = 80;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "types.rs", "misc.rs"];

/// The kernel modules in which `unsafe` may be used with a reason.
const UNSAFE_MODULES: &[&str] =
    &["descartes-bin/src/daemon/os.rs", "descartes-core/src/process/os/leader.rs"];

/// Paths that may not be mentioned in the code of a folder.
const FORBIDDEN_PATHS: &[(&str, &[&str])] = &[
    ("descartes-rpc/src", &["tokio::net", "tokio::process", "std::fs", "tokio::fs", "http::"]),
    (
        "descartes-core/src",
        &["std::env::args", "process::exit", "tokio::signal", "io::stdout", "io::stdin"],
    ),
    ("descartes-transport-http/src", &["descartes_core"]),
    ("descartes-transport-unix/src", &["descartes_core"]),
    ("descartes-transport-zmq/src", &["descartes_core"]),
];

/// Rooms that may use a means of another floor.
const MEANS_EXCEPTED: &[(&str, &str)] = &[
    // Who a peer is belongs below the transports, which may not use each other; and where the
    // kernel refuses netlink, its table of sockets is a file. A feature that is off by default.
    ("descartes-rpc/src/same_user/proc_net.rs", "std::fs"),
    // Golden files are compared where the shapes are; only tests of ours call it.
    ("descartes-rpc/src/testing/published.rs", "std::fs"),
];

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is a member of the workspace").to_owned()
}

struct SourceFile {
    /// From the root, with slashes.
    path: String,
    text: String,
    code: String,
}

/// Every Rust file of the members, also those that git does not know yet.
fn sources() -> Vec<SourceFile> {
    let mut found = Vec::new();
    for member in arrows::members() {
        collect(&root().join(member), &mut found);
    }
    assert!(found.len() > 20, "the walk lost its way: {} files", found.len());
    found
}

/// The text of every Rust file, with texts that go over several lines in one piece.
pub(crate) fn source_texts() -> Vec<String> {
    let joined = |file: SourceFile| {
        let mut pieces = file.text.split("\\\n");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| text + piece.trim_start())
    };
    sources().into_iter().filter(|file| !file.path.starts_with("tests/")).map(joined).collect()
}

fn collect(folder: &Path, found: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("source is text");
            let inside = path.strip_prefix(root()).expect("members lie in the root");
            let path = inside.to_str().expect("file names are text").to_owned();
            found.push(SourceFile { path, code: source::code_only(&text), text });
        }
    }
}

/// Fails with every complaint at once, so that one run shows all there is to do.
#[track_caller]
fn assert_none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut complaints = Vec::new();
    for file in sources() {
        let (_, tests) = source::without_tests(&file.code);
        let lines = file.text.lines().count() - tests;
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert_none("a file has one subject and at most 600 lines", &complaints);
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut complaints = Vec::new();
    for file in sources() {
        let (code, _) = source::without_tests(&file.code);
        for function in source::functions(&code) {
            if function.lines > FUNCTION_LINES_MAX {
                let source::Function { name, line, lines } = function;
                complaints.push(format!("{}:{line}: `{name}` has {lines} lines", file.path));
            }
        }
    }
    assert_none("a function has at most 70 lines", &complaints);
}

#[test]
fn file_names_say_what_is_inside() {
    let mut complaints = Vec::new();
    for file in sources() {
        let name = file.path.rsplit('/').next().expect("a path has a last part");
        let stem = name.trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&name) || stem.ends_with('2') {
            complaints.push(file.path);
        }
    }
    assert_none("a file is named after its subject; `foo.rs` + `foo/`, no `mod.rs`", &complaints);
}

#[test]
fn each_floor_keeps_to_its_own_means() {
    let mut complaints = Vec::new();
    let files = sources();
    for (folder, paths) in FORBIDDEN_PATHS {
        for file in files.iter().filter(|file| file.path.starts_with(folder)) {
            let (code, _) = source::without_tests(&file.code);
            let used = paths.iter().filter(|path| source::words(&code, path).next().is_some());
            let used = used.filter(|path| !MEANS_EXCEPTED.contains(&(&*file.path, **path)));
            complaints.extend(used.map(|path| format!("{}: {path}", file.path)));
        }
    }
    assert_none("this belongs to another floor", &complaints);
}

#[test]
fn an_exception_is_used_or_gone() {
    let files = sources();
    for (excepted, path) in MEANS_EXCEPTED {
        let file = files.iter().find(|file| file.path == *excepted);
        let file = file.unwrap_or_else(|| panic!("{excepted} is not there any more"));
        assert!(source::words(&file.code, path).next().is_some(), "{excepted} needs no {path}");
    }
}

#[test]
fn unsafe_code_is_only_in_the_listed_modules() {
    let mut complaints = Vec::new();
    for file in sources() {
        let used = source::words(&file.code, "unsafe").next().is_some();
        if used && !UNSAFE_MODULES.contains(&file.path.as_str()) {
            complaints.push(file.path);
        }
    }
    assert_none("`unsafe` outside of the listed kernel modules", &complaints);
}

#[test]
fn libraries_do_not_print() {
    let mut complaints = Vec::new();
    for file in sources().iter().filter(|file| is_library(&file.path)) {
        for macro_name in ["println", "print", "eprintln", "eprint", "dbg"] {
            let mut uses = source::words(&file.code, macro_name);
            if uses.any(|at| file.code[at + macro_name.len()..].starts_with('!')) {
                complaints.push(format!("{}: {macro_name}!", file.path));
            }
        }
    }
    assert_none("stdout and stderr belong to the programs", &complaints);
}

fn is_library(path: &str) -> bool {
    let library = ["descartes-core/src", "descartes-rpc/src", "descartes-transport-"];
    library.iter().any(|folder| path.starts_with(folder)) && path.contains("/src/")
}

#[test]
fn no_test_is_called_test_something() {
    let mut complaints = Vec::new();
    for file in sources() {
        for function in source::functions(&file.code) {
            if function.name.starts_with("test_") {
                complaints.push(format!("{}:{}: {}", file.path, function.line, function.name));
            }
        }
    }
    assert_none("the name of a test is its claim", &complaints);
}

#[test]
fn every_module_of_the_integration_binary_says_what_it_shows() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).expect("tests/it/main.rs");
    let lines: Vec<&str> = main.lines().collect();
    let mut complaints = Vec::new();
    for pair in lines.windows(2) {
        if pair[1].starts_with("mod ") && !pair[0].starts_with("/// ") {
            complaints.push(pair[1].to_owned());
        }
    }
    assert_none("each module is listed with one line", &complaints);
}

#[test]
fn an_example_opens_with_the_command_that_runs_it() {
    let mut complaints = Vec::new();
    for file in sources().iter().filter(|file| file.path.starts_with("examples/")) {
        let name = file.path.trim_start_matches("examples/").trim_end_matches(".rs");
        let opening = file.text.lines().next().unwrap_or_default();
        if !opening.contains(&format!("`cargo run --example {name}`")) {
            complaints.push(format!("{}: does not open with its command", file.path));
        }
        if file.text.lines().count() >= EXAMPLE_LINES_MAX {
            complaints.push(format!("{}: one idea, under 80 lines", file.path));
        }
    }
    assert_none("examples", &complaints);
}

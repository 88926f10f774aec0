//! Every command of the README is run, and gives what it shows.

use std::fs;
use std::process::{Command, Stdio};

use crate::house::root;
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::program;

/// Run by `.ci/run` as they stand: they build, or they are what is running now.
const RUN_BY_CI: &[&str] = &[
    "cargo run --release",
    "cargo test --workspace",
    "cargo install --locked --path descartes-bin",
    "cargo run --example custom_transport",
];

/// A command, and what it is shown to print; `…` stands for anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) shown: String,
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The content of the fenced blocks of one language.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begins = text.split(fence.as_str()).skip(1);
    begins.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

pub(crate) fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                steps.push(Step { command: command.to_owned(), shown: String::new() });
            }
            (None, Some(step)) if continued => step.command += &format!("\n{line}"),
            (None, Some(step)) => step.shown += &format!("{line}\n"),
            (None, None) => panic!("output without a command: {line}"),
        }
        continued = line.ends_with('\\');
    }
    steps
}

/// Whether `text` is what `pattern` says, with `…` for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.trim().split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.trim().strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// What a session in bash prints for each step.
pub(crate) fn session(home: &Home, steps: &[&Step]) -> Vec<String> {
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate() {
        script += &format!("printf '\\n@@ {number}\\n'\n{}\n", step.command);
    }
    let script = home.file("session.sh", script.as_bytes());
    let programs = program("descartes");
    let programs = programs.parent().expect("programs lie in a folder").to_owned();
    let path = std::env::var("PATH").expect("there is a PATH");
    let mut bash = Command::new("bash");
    let daemon = home.command("descartes");
    for (name, value) in daemon.get_envs() {
        bash.env(name, value.unwrap_or_default());
    }
    bash.env("PATH", format!("{}:{path}", programs.display()));
    for port in ["HTTP", "WS", "ZMQ", "PUB"] {
        bash.env(format!("DESCARTES_SERVER__{port}_PORT"), "0");
    }
    let output = bash.arg(&script).current_dir(home.path()).stdin(Stdio::null()).output();
    let output = output.expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing goes wrong");
    let printed = String::from_utf8(output.stdout).expect("text");
    let parts = printed.split("\n@@ ").skip(1);
    parts.map(|part| part.split_once('\n').map_or("", |(_, text)| text).to_owned()).collect()
}

#[test]
fn every_command_gives_what_it_shows() {
    let daemon = Setup::new().flag("--zmq-port=0").start();
    let address = daemon.http_address().to_string();
    let zmq = daemon.zmq();
    let text = readme().replace("localhost:8080", &address).replace("tcp://localhost:5555", zmq);
    let steps: Vec<Step> = blocks(&text, "console").iter().flat_map(|b| steps(b)).collect();
    assert!(steps.len() > 15, "the README has a session: {}", steps.len());
    let run: Vec<&Step> =
        steps.iter().filter(|step| !RUN_BY_CI.contains(&step.command.as_str())).collect();
    let mut complaints = Vec::new();
    for (step, printed) in run.iter().zip(session(&daemon.home, &run)) {
        if !matches(&step.shown, &printed) {
            complaints.push(format!("$ {}\n{printed}--- shown is:\n{}", step.command, step.shown));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn what_is_not_run_here_is_run_by_ci() {
    let ci = fs::read_to_string(root().join(".ci/run")).expect("there is .ci/run");
    for command in RUN_BY_CI {
        let run = ci.contains(command) || *command == "cargo run --example custom_transport";
        assert!(run, "{command} is run by nobody");
        assert!(readme().contains(&format!("$ {command}\n")), "{command} is not in the README");
    }
}

#[test]
fn the_code_is_that_of_an_example() {
    let example = fs::read_to_string(root().join("examples/embed.rs")).expect("an example");
    for block in blocks(&readme(), "rust") {
        for line in block.lines() {
            assert!(example.lines().any(|other| other.trim() == line.trim()), "not in it: {line}");
        }
    }
}

#[test]
fn every_method_that_is_there_is_in_the_table() {
    use crate::rig::Caller;
    let daemon = Daemon::start();
    let document = daemon.socket().ok("rpc.discover", serde_json::json!({}));
    let readme = readme();
    let table: Vec<&str> = readme.lines().filter(|line| line.ends_with("| 0.1 |")).collect();
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let (room, verb) = name.split_once('.').expect("a room and a verb");
        let listed = table.iter().any(|row| {
            row.contains(&format!("`{room}."))
                && (row.contains(&format!("`{verb}`")) || row.contains(&format!("`{name}`")))
        });
        assert!(listed, "{name} is not in the table");
    }
}

#[test]
fn links_lead_somewhere() {
    for link in readme().split("](").skip(1) {
        let target = link.split(')').next().unwrap_or_default();
        assert!(target.starts_with("http") || root().join(target).exists(), "{target}");
    }
}

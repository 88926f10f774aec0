use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::Descartes;
use crate::backend::login::Signs;
use crate::backend::{BasicProgram, Program};
use crate::process::ProcessRunner;

const SIGNS: Signs = Signs {
    keys: &["SOME_KEY"],
    files: &[],
    other_keys: &[],
    other_files: &[],
    is_optional: false,
};

async fn host() -> Descartes {
    let runner = Arc::new(ProcessRunner::new());
    Descartes::builder().runner(runner).version("9.9.9").build().await.expect("it begins")
}

/// Where programs are, and those that say how often they were asked.
struct Programs(TempDir);

impl Programs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A program that runs `script`, counting.
    ///
    /// Another process writes it: what this one holds open for writing its children may hold as well
    /// for a moment, and nobody can execute it then. It is put in its place as installations do.
    fn write(&self, name: &str, script: &str) -> Backend {
        let text = format!("#!/bin/sh\necho \"$@\" >>{}\n{script}", self.path("asked").display());
        let (fresh, place) = (self.path("fresh"), self.path(name));
        let write = r#"printf '%s\n' "$1" >"$2" && chmod 755 "$2" && mv "$2" "$3""#;
        let mut writer = std::process::Command::new("/bin/sh");
        let written = writer.args(["-c", write, "sh", &text]).args([fresh, place]).output();
        let written = written.expect("a shell");
        assert!(written.status.success(), "{written:?}");
        self.backend(&self.path(name).display().to_string())
    }

    fn backend(&self, command: &str) -> Backend {
        let mut backend = Backend::process().renamed("fake");
        backend.program = Arc::new(Program {
            command: vec![command.to_owned(), "serve".into()],
            env: [("PATH".to_owned(), format!("{}:/usr/bin:/bin", self.0.path().display()))].into(),
            version: &["--version"],
            signs: Some(&SIGNS),
            install: "fetch it",
            ..Program::default()
        });
        backend
    }

    fn asked(&self) -> usize {
        let asked = fs::read_to_string(self.path("asked")).unwrap_or_default();
        assert!(asked.lines().all(|line| line == "--version"), "{asked}");
        asked.lines().count()
    }
}

#[tokio::test]
async fn a_program_says_its_version_and_garbage_is_none() {
    let (host, programs) = (host().await, Programs::new());
    let table = [
        ("codex", "echo codex-cli 0.169.0", Some("0.169.0")),
        ("claude", "echo '2.1.197 (Claude Code)'", Some("2.1.197")),
        ("late", "echo warning >&2; echo; echo v1.2.3-rc.1+x", Some("1.2.3-rc.1+x")),
        ("garbage", "printf '\\377\\n\\033[1mhello 12 ../1.2\\n'", None),
        ("silent", "true", None),
        ("failing", "echo 1.2.3; exit 1", None),
        ("killed", "echo 1.2.3; kill -9 $$", None),
        ("flood", "yes 0123456789", None),
    ];
    for (name, script, version) in table {
        let status = programs.write(name, script).status(&host.core, false).await;
        let trouble = version.is_none().then_some(BackendTrouble::ProbeFailed);
        assert_eq!((status.version.as_deref(), status.trouble), (version, trouble), "{name}");
        assert_eq!(status.program, Some(programs.path(name)), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_places_and_what_may_not_run_is_told_apart() {
    let (host, programs) = (host().await, Programs::new());
    let missing = programs.backend("no-such").status(&host.core, false).await;
    assert_eq!(missing.trouble, Some(BackendTrouble::NotFound));
    assert_eq!(missing.searched, [programs.0.path(), "/usr/bin".as_ref(), "/bin".as_ref()]);
    assert_eq!(missing.program.as_deref(), Some(Path::new("no-such")));
    assert_eq!((missing.install_hint, missing.login), (Some("fetch it"), Login::Missing));
    fs::write(programs.path("text"), "not a program").expect("a file");
    let text = programs.backend("text").status(&host.core, false).await;
    assert_eq!(text.trouble, Some(BackendTrouble::NotExecutable));
    let here = programs.write("here", "echo 1.0").program.command[0].clone();
    let found = programs.backend("here").status(&host.core, false).await;
    assert_eq!(found.program, Some(here.into()), "a bare name is looked up");
    assert!(found.is_available() && found.searched.is_empty());
}

#[tokio::test]
async fn a_program_is_asked_again_when_its_file_changed_or_somebody_wants_that() {
    let (host, programs) = (host().await, Programs::new());
    let backend = programs.write("tool", "echo 1.0");
    let both = tokio::join!(backend.status(&host.core, false), backend.status(&host.core, false));
    assert_eq!(both.0, both.1);
    assert_eq!(programs.asked(), 1, "who asks meanwhile shares the answer");
    assert_eq!(backend.status(&host.core, false).await, both.0);
    assert_eq!(programs.asked(), 1);
    backend.status(&host.core, true).await;
    assert_eq!(programs.asked(), 2);
    programs.write("tool", "echo 2.0");
    let later = backend.status(&host.core, false).await;
    assert_eq!((later.version.as_deref(), programs.asked()), (Some("2.0"), 3));
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_ended_with_everything_that_it_started() {
    let (host, programs) = (host().await, Programs::new());
    let pids = programs.path("pids");
    let script = format!("setsid sleep 1000 & echo $$ $! >{}; wait; sleep 1000", pids.display());
    let backend = programs.write("hangs", &script);
    let core = &host.core;
    // On a busy machine it may not have begun when its time is over.
    for secs in [1, 4, 16, 64] {
        let launch = backend.asks_version(core.instance()).expect("it has a program");
        let file = File { path: programs.path("hangs"), stamp: [0; 4] };
        let (runner, wait) = (core.runners.of(&backend), Duration::from_secs(secs));
        assert_eq!(Question { core, runner, launch, file, wait }.ask().await, None);
        if pids.exists() {
            break;
        }
    }
    let pids = fs::read_to_string(pids).expect("it began");
    assert_eq!(pids.split_whitespace().count(), 2, "{pids}");
    for pid in pids.split_whitespace() {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let lives = state.rsplit(')').next().is_some_and(|rest| {
            !rest.trim_start().starts_with('Z') && !rest.trim_start().is_empty()
        });
        assert!(!lives, "{pid}: {state}");
    }
}

#[tokio::test]
async fn a_login_is_told_by_what_the_program_would_see() {
    let (host, programs) = (host().await, Programs::new());
    let mut backend = programs.write("tool", "echo 1.0");
    assert_eq!(backend.status(&host.core, false).await.login, Login::Missing);
    Arc::make_mut(&mut backend.program).env.insert("SOME_KEY".into(), "k".into());
    assert_eq!(backend.status(&host.core, false).await.login, Login::Ok);
}

#[tokio::test]
async fn every_backend_is_listed_and_what_the_host_brings_has_its_version() {
    let programs = Programs::new();
    let program = programs.path("basic");
    fs::write(&program, "").expect("a file");
    let basic = BasicProgram { program, arg0: "basic".into() };
    let builder = Descartes::builder().runner(Arc::new(ProcessRunner::new())).version("9.9.9");
    let builder = builder.basic(basic).backend(programs.write("fake", "echo 1.0"));
    let host = builder.build().await.expect("it begins");
    let all = host.backends(false).await;
    let names: Vec<_> = all.iter().map(|status| Arc::clone(&status.name)).collect();
    assert_eq!(names, host.backend_names(), "in their order");
    let of = |name: &str| all.iter().find(|status| &*status.name == name).expect("it is listed");
    assert_eq!(of("basic").version.as_deref(), Some("9.9.9"));
    assert_eq!((of("process").version.as_deref(), of("process").login), (None, Login::Ok));
    assert_eq!(of("fake").version.as_deref(), Some("1.0"));
    assert!(of("acp").is_available() && of("acp").program.is_none());
    assert!(of("opencode").capabilities.resume, "as it was seen to");
}

//! The programs as their users start them. That this file exists makes cargo build both for the
//! tests of the workspace.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

const DAEMON: &str = env!("CARGO_BIN_EXE_descartes-daemon");
const CLIENT: &str = env!("CARGO_BIN_EXE_descartes");

/// A command with nothing of this environment that could configure it.
fn program(path: &str, home: &std::path::Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn both_programs_say_their_version() {
    let home = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for (path, name) in [(DAEMON, "descartes-daemon"), (CLIENT, "descartes")] {
        let (code, stdout, _) = run(program(path, home.path()).arg("--version"));
        assert_eq!((code, stdout), (Some(0), format!("{name} {version}\n")));
    }
}

#[test]
fn the_configuration_can_be_printed_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, _) =
        run(program(DAEMON, home.path()).args(["--print-config", "--log-level", "warn"]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("\n[logging]\nlevel = \"warn\"\n"), "{stdout}");

    let file = home.path().join("daemon.toml");
    std::fs::write(&file, stdout).unwrap();
    let (code, ..) =
        run(program(DAEMON, home.path()).arg("--check-config").arg("--config").arg(file));
    assert_eq!(code, Some(0));
    assert!(!home.path().join(".local").exists(), "a check makes no directories");
}

#[test]
fn the_daemons_exit_codes_are_those_of_the_contract() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("daemon.toml");
    std::fs::write(&file, "[sevrer]\n").unwrap();
    let file = file.to_str().unwrap();
    let table: &[(&[&str], i32)] = &[
        (&["--no-such-flag"], 2),
        (&["--config", file], 78),
        (&["--config", "/nowhere/daemon.toml"], 78),
        (&["--data-dir", file], 73),
        #[cfg(feature = "http")]
        (&["--http-addr", "0.0.0.0"], 77),
        #[cfg(feature = "http")]
        (&["--http-port", "70000"], 78),
        #[cfg(not(feature = "http"))]
        (&["--http-port", "8080"], 78),
        #[cfg(not(feature = "unix"))]
        (&["--unix-socket", "/x"], 78),
    ];
    for (flags, expected) in table {
        let (code, _, stderr) = run(program(DAEMON, home.path()).args(*flags));
        assert_eq!(code, Some(*expected), "{flags:?}: {stderr}");
        assert!(!stderr.is_empty(), "{flags:?} says nothing");
    }
}

#[test]
fn without_a_daemon_the_command_line_says_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(program(CLIENT, home.path()).arg("ps"));
    assert_eq!((code, stdout.as_str()), (Some(69), ""));
    assert!(stderr.contains("descartes daemon start"), "{stderr}");

    let (code, stdout, _) = run(program(CLIENT, home.path()).args(["daemon", "status"]));
    assert_eq!((code, stdout.as_str()), (Some(69), "no daemon is running\n"));
}

#[test]
fn the_daemons_program_is_the_basic_agent_under_its_name() {
    let home = tempfile::tempdir().unwrap();
    let agent = home.path().join("descartes-basic");
    std::os::unix::fs::symlink(DAEMON, &agent).unwrap();
    let mut child = program(agent.to_str().unwrap(), home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"count 2\nhello\nslow 1\nexit 3\n").unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert_eq!(said, "basic: ready\n1\n2\nyou said: hello\npiece 1\n");
    assert_eq!(status.code(), Some(3));
}

#[test]
fn the_basic_agent_ends_well_when_its_input_ends() {
    let home = tempfile::tempdir().unwrap();
    let agent = home.path().join("descartes-basic");
    std::os::unix::fs::symlink(DAEMON, &agent).unwrap();
    let (code, stdout, _) = run(&mut program(agent.to_str().unwrap(), home.path()));
    assert_eq!((code, stdout.as_str()), (Some(0), "basic: ready\n"));
}

//! The store from outside: copied by the command line beside a daemon; one daemon has it.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::rig::agents::{events, output, spawn, spawn_with, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::{Caller, parrot, torture};

/// Runs `descartes` on a data directory.
fn descartes(home: &Home, data: &Path, arguments: &[&str]) -> Output {
    let mut command = home.command("descartes");
    command.arg("--json").arg("--data-dir").arg(data).args(arguments);
    command.output().expect("descartes runs")
}

#[track_caller]
fn told(home: &Home, data: &Path, (code, arguments): (i32, &[&str])) -> Value {
    let output = descartes(home, data, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn a_backup_beside_a_busy_daemon_starts_as_a_daemon_of_its_own() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let secret = "canary-in-a-backup";
    let config = json!({"command": parrot::shell("echo one; head -c 9000 /dev/zero; read x"),
        "env": {"TOKEN": secret}});
    let live = spawn_with(&mut socket, json!({"name": "live", "config": config}));
    let busy = spawn(&mut socket, &parrot::shell("while :; do echo tick; done"));
    let ended = spawn(&mut socket, &parrot::shell("echo done"));
    wait(&mut socket, &ended);
    let cursor = socket.ok("agent.list", json!({}))["cursor"].clone();
    let to = daemon.home.path().join("copy");
    let (data, text) = (daemon.home.data(), to.to_str().expect("text").to_owned());
    let made = told(&daemon.home, &data, (0, &["backup", &text]));
    assert!(made["events"].as_u64() > Some(5), "{made}");
    told(&daemon.home, &data, (1, &["backup", &text]));
    told(&daemon.home, &data, (75, &["store", "check"]));
    told(&daemon.home, &data, (75, &["store", "repair"]));
    assert!(!to.join("secrets").exists());
    let copy = Setup::at(&Home::new()).data(&to).start();
    let mut other = copy.socket();
    let shown = other.ok("agent.get", json!({"agent_id": live}));
    assert_eq!(shown["status"], "lost", "{shown}");
    assert_eq!(output(&mut other, &ended, "stdout"), b"done\n");
    let since = events(&mut other, "agent/", cursor.as_str().expect("a cursor"));
    assert!(since.iter().any(|event| event["data"]["to"] == "lost"), "a cursor of before goes on");
    let still = socket.ok("agent.get", json!({"agent_id": live}));
    assert_eq!(still["status"], "running", "the original's agents are not the copy's to end");
    let copy = Setup::at(&copy.kill9()).data(&to).start();
    for agent in [&live, &busy] {
        let still = socket.ok("agent.get", json!({"agent_id": agent}));
        assert_eq!(still["status"], "running", "{still}");
    }
    drop(copy);
}

#[test]
fn where_no_store_is_it_is_said_where_it_was_looked_for() {
    let home = Home::new();
    let (data, to) = (home.data(), home.path().join("copy"));
    let to = to.to_str().expect("text");
    for arguments in [&["backup", to][..], &["store", "check"], &["store", "repair"]] {
        let output = descartes(&home, &data, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        let named = said.contains(&data.join("store").display().to_string());
        assert!(named && said.contains("--data-dir"), "{said}");
    }
    assert!(!data.exists() && !home.path().join("copy").exists(), "nothing was made");
}

#[test]
fn a_directory_has_one_daemon_however_often_another_is_started() {
    let daemon = Daemon::start();
    let began = std::time::Instant::now();
    let times = torture(1000);
    for _ in 0..times {
        let second = Setup::at(&daemon.home).command().output().expect("it runs");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(75), "{said}");
    }
    let each = began.elapsed() / u32::try_from(times).expect("some");
    crate::rig::measured(format!("a second daemon is refused in {each:?}"));
    assert_eq!(daemon.socket().ok("system.health", json!({}))["status"], "healthy");
}

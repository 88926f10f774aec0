//! Starting an agent: what runs, in which surroundings, and what is said when it cannot.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::agents::{id_of, log, spawn, spawn_with, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::{Caller, parrot, processes};

/// How soon it is told that a program cannot start.
const SOON: Duration = Duration::from_millis(100);

#[test]
fn an_agent_runs_when_the_answer_comes() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let command = parrot::shell("read line");
    let params = json!({"name": "tester", "agent_type": "process", "config": {"command": command}});
    let spawned = socket.ok("agent.spawn", params);
    assert_eq!((&spawned["name"], &spawned["status"]), (&json!("tester"), &json!("running")));
    let pid = spawned["pid"].as_u64().expect("a process");
    assert!(fs::exists(format!("/proc/{pid}")).expect("/proc is mounted"));
    let id = id_of(&spawned);
    let shown = socket.ok("agent.get", json!({"agent_id": "tester"}));
    assert_eq!((&shown["id"], &shown["pid"], &shown["run"]), (&json!(id), &json!(pid), &json!(1)));
    socket.ok("agent.kill", json!({"agent_id": "tester"}));
}

#[test]
fn the_basic_agent_works_on_any_machine() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let spawned = http.ok("agent.spawn", json!({"name": "b", "agent_type": "basic"}));
    assert_eq!(spawned["status"], "running");
    http.ok("agent.write_stdin", json!({"agent_id": "b", "text": "exit 3\n"}));
    let waited = wait(&mut http, "b");
    assert_eq!((&waited["status"], &waited["exit"]["code"]), (&json!("failed"), &json!(3)));
}

#[test]
fn exit_codes_and_signals_are_told_as_they_were() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    for code in [0, 1, 2, 42, 127, 255] {
        let id = spawn(&mut socket, &parrot::shell(&format!("exit {code}")));
        let waited = wait(&mut socket, &id);
        let status = if code == 0 { "completed" } else { "failed" };
        assert_eq!((&waited["status"], &waited["exit"]["code"]), (&json!(status), &json!(code)));
        assert_eq!(waited["exit"]["reason"], "exited");
    }
    for signal in ["TERM", "KILL", "INT", "SEGV", "ABRT"] {
        let id = spawn(&mut socket, &parrot::shell(&format!("kill -{signal} $$")));
        let waited = wait(&mut socket, &id);
        assert_eq!(waited["status"], "killed", "{signal}: {waited}");
        assert_eq!(waited["exit"]["signal"], format!("SIG{signal}"), "{waited}");
        assert_eq!(waited["exit"]["reason"], "signalled", "{waited}");
    }
}

/// The program, what else is in its `config`, and what `data` has to say.
fn failures(home: &Home) -> Vec<(&'static str, Value, Value)> {
    let plain_file = home.path().join("plain");
    fs::write(&plain_file, "not a program").expect("the home is writable");
    let plain = plain_file.to_str().expect("paths of tests are text").to_owned();
    let too_long = "x".repeat(200_000);
    vec![
        (
            "a missing program",
            json!({"command": ["/no/such/program"]}),
            json!({"errno_name": "ENOENT", "errno": 2, "stage": "lookup"}),
        ),
        (
            "a missing program without a path",
            json!({"command": ["no-such-program-anywhere"]}),
            json!({"errno_name": "ENOENT", "stage": "lookup"}),
        ),
        (
            "a file that is not executable",
            json!({"command": [plain]}),
            json!({"errno_name": "EACCES"}),
        ),
        ("a directory", json!({"command": ["/"]}), json!({"errno_name": "EACCES"})),
        (
            "a missing directory",
            json!({"command": ["true"], "cwd": "/no/such/place"}),
            json!({"errno_name": "ENOENT", "stage": "directory", "cwd": "/no/such/place"}),
        ),
        (
            "a directory that is a file",
            json!({"command": ["true"], "cwd": plain}),
            json!({"errno_name": "ENOTDIR", "stage": "directory"}),
        ),
        (
            "an argument list too long",
            json!({"command": ["true", too_long]}),
            json!({"errno_name": "E2BIG", "stage": "exec"}),
        ),
    ]
}

#[test]
fn a_program_that_cannot_start_is_told_with_its_reason_and_leaves_nothing() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let mut complaints = Vec::new();
    for (what, config, expected) in failures(&daemon.home) {
        let params = json!({"agent_type": "process", "config": config});
        let mut ask = || {
            let began = Instant::now();
            let error = socket.refused("spawn_failed", "agent.spawn", params.clone());
            (began.elapsed(), error)
        };
        // Again until it is soon enough, because a loaded machine takes its time for anything.
        let mut tries = (0..100).map(|_| ask());
        let (mut took, mut error) = tries.next().expect("a hundred");
        while took > SOON
            && let Some(another) = tries.next()
        {
            (took, error) = another;
        }
        for (member, value) in expected.as_object().expect("an object") {
            if error["data"][member] != *value {
                complaints.push(format!("{what}: {member} is not {value}: {}", error["data"]));
            }
        }
        if took > SOON {
            complaints.push(format!("{what}: took {took:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let left = socket.ok("agent.list", json!({"status": "live"}));
    assert_eq!(left["total"], 0);
    let pid = daemon.number();
    assert_eq!(processes::children(pid), Vec::<u32>::new());
}

#[test]
fn an_agent_gets_its_surroundings_and_none_of_ours() {
    let daemon = Setup::new().env("AWS_SECRET_ACCESS_KEY", "ours").start();
    let mut socket = daemon.socket();
    let config = json!({
        "command": parrot::shell("pwd; echo \"$GIVEN\"; env"),
        "cwd": "/tmp",
        "env": {"GIVEN": "a b\tc"},
    });
    let id = spawn_with(&mut socket, json!({"config": config}));
    wait(&mut socket, &id);
    let log = String::from_utf8(log(&mut socket, &id, "stdout")).expect("text");
    let mut lines = log.lines();
    assert_eq!((lines.next(), lines.next()), (Some("/tmp"), Some("a b\tc")));
    assert!(log.contains("\nPATH="), "{log}");
    assert!(log.contains("\nHOME="), "{log}");
    assert!(!log.contains("ours") && !log.contains("DESCARTES_RUNTIME_DIR"), "{log}");
}

#[test]
fn values_of_env_are_nowhere_but_in_the_agent() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let secret = "hunter2-very-secret";
    let config = json!({"command": parrot::shell("read x"), "env": {"API_KEY": secret}});
    let id = spawn_with(&mut socket, json!({"config": config}));
    let shown = socket.ok("agent.get", json!({"agent_id": id}));
    assert_eq!(shown["config"]["env"], json!(["API_KEY"]));
    let events = crate::rig::agents::events(&mut socket, "agent/", "start");
    assert!(!json!(events).to_string().contains(secret));
    assert!(!daemon.log().contains(secret));
    socket.ok("agent.kill", json!({"agent_id": id}));
    socket.ok("agent.remove", json!({"agent_id": id}));
    let (_, home) = daemon.stop();
    let found = files_with(&home.data(), secret.as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

fn files_with(folder: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if fs::read(&path).is_ok_and(|all| all.windows(needle.len()).any(|w| w == needle)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_name_stands_for_the_live_agent_that_bears_it() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let reader = parrot::shell("read line");
    let named = json!({"name": "twin", "config": {"command": reader}});
    let first = spawn_with(&mut socket, named.clone());
    socket.ok("agent.kill", json!({"agent_id": "twin", "force": true}));
    let second = spawn_with(&mut socket, named.clone());
    let shown = socket.ok("agent.get", json!({"agent_id": "twin"}));
    assert_eq!(shown["id"], json!(second));
    let third = spawn_with(&mut socket, named);
    let error = socket.refused("conflict", "agent.get", json!({"agent_id": "twin"}));
    assert_eq!(error["data"]["reason"], "ambiguous_name");
    let mut twins = vec![second.clone(), third.clone()];
    twins.sort_unstable();
    let mut told: Vec<_> = error["data"]["agent_ids"].as_array().expect("ids").clone();
    told.sort_by_key(ToString::to_string);
    assert_eq!(json!(told), json!(twins));
    for id in [&first, &second, &third] {
        socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
    }
    let ended = socket.ok("agent.get", json!({"agent_id": "twin"}));
    assert_eq!(ended["id"], json!(third), "the one that ended last");
}

#[test]
fn a_name_may_be_claimed_for_one() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let config = json!({"command": parrot::shell("read line")});
    let params = json!({"name": "only", "agent_type": "process", "unique_name": true,
        "config": config});
    socket.ok("agent.spawn", params.clone());
    let error = socket.refused("conflict", "agent.spawn", params);
    assert_eq!(error["data"]["reason"], "name_taken");
    socket.ok("agent.kill", json!({"agent_id": "only", "force": true}));
}

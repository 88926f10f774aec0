//! Agents that are to start on a remote that is away.

use std::fs;

use serde_json::{Value, json};

use crate::rig::agents::{at_last, id_of};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::processes::eventually;
use crate::rig::{Caller, parrot};

/// Where the other daemon listens once it is there.
fn endpoint(far: &Home) -> String {
    format!("ipc://{}", far.runtime().join("zmq.sock").display())
}

/// A daemon that knows the other one as `far` and lets no call take longer than three seconds.
fn near(home: &Home, far: &Home, more: &str) -> Daemon {
    let config = format!(
        "[server]\nrequest_timeout_secs = 3\n[remotes.far]\nendpoint = \"{}\"\n\
         reconnect_delay_secs = 1\nmax_reconnect_attempts = 100000\n{more}",
        endpoint(far)
    );
    Setup::at(home).config(&config).start()
}

fn start(home: &Home) -> Daemon {
    Setup::at(home).start()
}

/// Leaves a line with its name in the diary of the other machine and goes on until it is ended.
fn diary(name: &str, far: &Home) -> Value {
    let file = far.path().join("diary");
    let script = format!("echo {name} >> '{}'; exec sleep 100000", file.display());
    json!({"name": name, "agent_type": "far", "idempotency_key": name,
        "config": {"command": parrot::shell(&script)}})
}

/// How often anybody wrote into the diary.
fn deeds(far: &Home) -> usize {
    fs::read_to_string(far.path().join("diary")).unwrap_or_default().lines().count()
}

/// How many agents a daemon has ever had.
fn total(daemon: &Daemon) -> Value {
    daemon.socket().ok("agent.list", json!({"status": "any"}))["total"].clone()
}

/// The agent runs there and nowhere else, once.
fn runs_once(near: &Daemon, far: &Daemon, id: &str) {
    let mut socket = near.socket();
    eventually("it has begun", || deeds(&far.home) > 0);
    let agent = socket.ok("agent.get", json!({"agent_id": id}));
    assert_eq!(agent["status"], "running", "{agent}");
    assert_eq!((total(near), total(far)), (json!(1), json!(1)));
    let killed = at_last(&mut socket, "agent.kill", &json!({"agent_id": id}));
    assert_eq!(killed.expect("it is there")["status"], "killed");
    assert_eq!(far.socket().ok("agent.list", json!({}))["total"], 0);
    assert_eq!(deeds(&far.home), 1, "it was started more than once");
}

#[test]
fn a_start_waits_for_a_remote_that_is_away_and_is_made_once() {
    let far_home = Home::new();
    let near = near(&Home::new(), &far_home, "");
    let mut socket = near.socket();
    let params = diary("patient", &far_home);
    let told = socket.refused("timeout", "agent.spawn", params.clone());
    assert_eq!(told["data"]["idempotency_key"], "patient", "{told}");
    // Until it has begun it is no agent.
    assert_eq!(socket.ok("agent.list", json!({"status": "any"}))["total"], 0);
    let far = start(&far_home);
    let spawned = at_last(&mut socket, "agent.spawn", &params).expect("the remote is back");
    assert_eq!(spawned["status"], "running", "{spawned}");
    runs_once(&near, &far, &id_of(&spawned));
}

/// The daemon that was asked is `ended` and started again while the start waits in a file.
fn survives(ended: fn(Daemon) -> Home) {
    let (home, far_home) = (Home::new(), Home::new());
    let queue = format!("queue_path = \"{}\"\n", home.path().join("queue").display());
    let first = near(&home, &far_home, &queue);
    let params = diary("survivor", &far_home);
    first.socket().refused("timeout", "agent.spawn", params.clone());
    let second = near(&ended(first), &far_home, &queue);
    let mut socket = second.socket();
    let id = id_of(&at_last(&mut socket, "agent.spawn", &params).expect("it is known"));
    eventually("it is seen that nobody answers", || {
        socket.ok("agent.get", json!({"agent_id": id}))["activity"] == "unreachable"
    });
    let far = start(&far_home);
    eventually("it is there", || {
        socket.ok("agent.get", json!({"agent_id": id})).get("activity").is_none()
    });
    let again = at_last(&mut socket, "agent.spawn", &params).expect("it is known");
    assert_eq!(id_of(&again), id, "its key is its own");
    runs_once(&second, &far, &id);
    // And nothing of it is left to be sent by the next one.
    let third = near(&second.kill9(), &far_home, &queue);
    third.socket().ok("agent.list", json!({}));
    assert_eq!((total(&third), total(&far)), (json!(1), json!(1)));
}

#[test]
fn a_start_in_a_file_survives_the_death_of_the_daemon_that_was_asked() {
    survives(Daemon::kill9);
}

#[test]
fn a_start_in_a_file_survives_an_orderly_restart_of_the_daemon_that_was_asked() {
    survives(|daemon| daemon.stop().1);
}

#[test]
fn a_start_that_only_memory_held_is_lost_with_it() {
    let (home, far_home) = (Home::new(), Home::new());
    let first = near(&home, &far_home, "");
    let params = diary("forgotten", &far_home);
    first.socket().refused("timeout", "agent.spawn", params.clone());
    let second = near(&first.kill9(), &far_home, "");
    let far = start(&far_home);
    let mut socket = second.socket();
    let id = id_of(&at_last(&mut socket, "agent.spawn", &params).expect("it is known"));
    eventually("it is lost", || {
        socket.ok("agent.get", json!({"agent_id": id}))["status"] == "lost"
    });
    assert_eq!((total(&far), deeds(&far_home)), (json!(0), 0));
}

#[test]
fn how_starts_wait_is_configured_for_each_remote() {
    let (home, nobody) = (Home::new(), endpoint(&Home::new()));
    let remote = |name: &str, more: &str| {
        format!("[remotes.{name}]\nendpoint = \"{nobody}\"\nreconnect_delay_secs = 1\n{more}\n")
    };
    let remotes = [
        remote("hasty", "auto_reconnect = false"),
        remote("brief", "queue_timeout_secs = 1"),
        remote("small", "max_queue_size = 1"),
    ];
    let server = "[server]\nrequest_timeout_secs = 3\n".to_owned();
    let near = Setup::at(&home).config(&(server + &remotes.concat())).start();
    let mut socket = near.socket();
    let mut refused = |remote: &str, kind: &str| {
        let spawn = json!({"agent_type": remote, "config": {"command": ["true"]}});
        let error = at_last(&mut socket, "agent.spawn", &spawn).expect_err("it is away");
        assert_eq!(error["data"]["kind"], kind, "{remote}: {error}");
        error
    };
    refused("hasty", "connection_lost");
    let late = refused("brief", "connection_lost");
    assert!(late.to_string().contains("waited for 1s"), "{late}");
    let waits = json!({"agent_type": "small", "config": {"command": ["true"]}});
    near.socket().refused("timeout", "agent.spawn", waits);
    let full = refused("small", "spawn_failed");
    assert!(full.to_string().contains("max_queue_size is reached"), "{full}");
    assert_eq!(full["data"]["retryable"], true, "{full}");
}

#[test]
fn a_file_that_cannot_be_used_refuses_the_start_of_the_daemon() {
    let home = Home::new();
    let config = |path: &str| {
        format!("[remotes.far]\nendpoint = \"tcp://127.0.0.1:1\"\nqueue_path = \"{path}\"\n")
    };
    let file = home.file("queue", b"something else");
    let refused = |path: &std::path::Path, code, why: &str| {
        let path = path.display().to_string();
        let ended = Setup::at(&home).config(&config(&path)).try_start();
        let ended = ended.err().expect("it does not start");
        assert_eq!(ended.status.code(), Some(code), "{}", ended.log);
        assert!(ended.log.contains(why) && ended.log.contains("the remote far"), "{}", ended.log);
    };
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&file, mode).expect("the file is ours");
    };
    mode(0o644);
    refused(&file, 77, "others may read or write it");
    mode(0o600);
    refused(&file, 73, "it is something else");
    refused(&home.path().join("no/such/folder"), 73, "No such file or directory");
    let (first, second) = (Home::new(), home.path().join("held"));
    let holds = Setup::at(&first).config(&config(&second.display().to_string())).start();
    refused(&second, 75, "another client uses it");
    drop(holds);
}

//! The same key again is the same deed: at once, later, and after a restart.

use std::thread;

use serde_json::{Value, json};

use crate::rig::agents::{await_output, id_of, log, spawn, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::{Caller, parrot, torture};

fn spawn_params(key: &str) -> Value {
    let config = json!({"command": parrot::shell("read line")});
    json!({"agent_type": "process", "config": config, "idempotency_key": key})
}

#[test]
fn the_same_key_gives_the_same_agent() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let first = socket.ok("agent.spawn", spawn_params("k"));
    let again = daemon.http().ok("agent.spawn", spawn_params("k"));
    assert_eq!(again, first);
    // The order of members and white space are no difference.
    let mut reordered = json!({"idempotency_key": "k"});
    for (name, value) in spawn_params("k").as_object().expect("an object").iter().rev() {
        reordered[name] = value.clone();
    }
    assert_eq!(socket.ok("agent.spawn", reordered), first);
    assert_eq!(socket.ok("agent.list", json!({}))["total"], 1);
    socket.ok("agent.kill", json!({"agent_id": id_of(&first)}));
}

#[test]
fn the_same_key_with_other_parameters_is_a_conflict() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    socket.ok("agent.spawn", spawn_params("k"));
    let mut other = spawn_params("k");
    other["name"] = json!("other");
    let error = socket.refused("conflict", "agent.spawn", other);
    assert_eq!(error["data"]["reason"], "idempotency_mismatch");
    // Another method with the same key is another deed.
    socket.ok("state.put", json!({"key": "a", "value": 1, "idempotency_key": "k"}));
    for key in ["", &"k".repeat(129)] {
        socket.refused("invalid_params", "agent.spawn", spawn_params(key));
    }
}

#[test]
fn calls_with_one_key_at_once_make_one_agent() {
    let daemon = Daemon::start();
    for round in 0..torture(100) {
        let key = format!("key {round}");
        let ids: Vec<String> = thread::scope(|scope| {
            let call = || id_of(&daemon.socket().ok("agent.spawn", spawn_params(&key)));
            let hands: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
            hands.into_iter().map(|hand| hand.join().expect("a call succeeds")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    let total = daemon.socket().ok("agent.list", json!({}))["total"].clone();
    assert_eq!(total, torture(100));
}

#[test]
fn a_key_outlives_the_daemon() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let first = socket.ok("agent.spawn", spawn_params("k"));
    let put = json!({"key": "a", "value": 1, "idempotency_key": "p"});
    let version = socket.ok("state.put", put.clone());
    let home = daemon.kill9();
    let daemon = Setup::at(&home).start();
    let mut socket = daemon.socket();
    let again = socket.ok("agent.spawn", spawn_params("k"));
    assert_eq!(again["agent_id"], first["agent_id"]);
    let shown = socket.ok("agent.get", json!({"agent_id": first["agent_id"]}));
    assert_eq!((&shown["status"], &shown["run"]), (&json!("lost"), &json!(1)));
    assert_eq!(socket.ok("state.put", put), version);
    let mut other = spawn_params("k");
    other["name"] = json!("other");
    socket.refused("conflict", "agent.spawn", other);
}

#[test]
fn what_is_written_with_a_key_is_written_once() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &["cat".to_owned()]);
    let params = json!({"agent_id": id, "text": "once\n", "idempotency_key": "w"});
    let first = socket.ok("agent.write_stdin", params.clone());
    assert_eq!(socket.ok("agent.write_stdin", params), first);
    await_output(&mut socket, &id, "once\n");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "", "close": true}));
    wait(&mut socket, &id);
    assert_eq!(log(&mut socket, &id, "stdout"), b"once\n");
}

#[test]
fn an_error_that_a_retry_cannot_mend_is_stored() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let missing = daemon.home.path().join("appears-later");
    let config = json!({"command": [missing]});
    let params = json!({"agent_type": "process", "config": config, "idempotency_key": "k"});
    let first = socket.refused("spawn_failed", "agent.spawn", params.clone());
    std::fs::copy("/bin/true", &missing).expect("the home is writable");
    let again = socket.refused("spawn_failed", "agent.spawn", params.clone());
    assert_eq!(again["data"], first["data"]);
    let mut fresh = params;
    fresh["idempotency_key"] = json!("another");
    socket.ok("agent.spawn", fresh);
}

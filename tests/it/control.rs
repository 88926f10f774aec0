//! The other verbs on agents: restart, pause and resume, signal, write, batch, list, remove, prune.

use serde_json::{Value, json};

use crate::rig::agents::{await_output, events, log, spawn, spawn_with, wait};
use crate::rig::daemon::Daemon;
use crate::rig::{Caller, parrot};

#[test]
fn a_restart_keeps_the_agent_and_begins_a_run() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo run; read line"));
    await_output(&mut socket, &id, "run");
    let first = socket.ok("agent.get", json!({"agent_id": id}))["pid"].clone();
    socket.ok("agent.restart", json!({"agent_id": id}));
    await_output(&mut socket, &id, "run\nrun\n");
    let shown = socket.ok("agent.get", json!({"agent_id": id}));
    assert_eq!((&shown["run"], &shown["status"]), (&json!(2), &json!("running")));
    assert_ne!(shown["pid"], first);
    socket.ok("agent.kill", json!({"agent_id": id}));
    socket.ok("agent.restart", json!({"agent_id": id}));
    assert_eq!(socket.ok("agent.get", json!({"agent_id": id}))["run"], 3);
    socket.ok("agent.kill", json!({"agent_id": id}));
    assert_eq!(log(&mut socket, &id, "stdout").len() % 4, 0);
}

#[test]
fn a_policy_starts_an_agent_again_until_it_is_too_much() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let config = json!({
        "command": parrot::shell("echo try; exit 7"),
        "restart": {"policy": "on_failure", "max_restarts": 2, "window_secs": 60},
    });
    let id = spawn_with(&mut socket, json!({"config": config}));
    let waited = wait(&mut socket, &id);
    assert_eq!(waited["status"], "failed", "{waited}");
    assert_eq!(waited["exit"]["reason"], "restart_limit", "{waited}");
    assert_eq!(log(&mut socket, &id, "stdout"), b"try\ntry\ntry\n");
    let exits = events(&mut socket, &format!("agent/{id}/status"), "start");
    let runs: Vec<_> = exits
        .iter()
        .filter(|event| event["type"] == "agent.exited")
        .map(|event| (event["data"]["run"].clone(), event["data"]["will_restart"].clone()))
        .collect();
    let told = |run: u32, again: bool| (json!(run), json!(again));
    assert_eq!(runs, [told(1, true), told(2, true), told(3, false)]);
}

#[test]
fn a_kill_ends_the_policy() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let config = json!({
        "command": parrot::shell("echo up; read line"),
        "restart": {"policy": "always", "max_restarts": 100},
    });
    let id = spawn_with(&mut socket, json!({"config": config}));
    await_output(&mut socket, &id, "up");
    assert_eq!(socket.ok("agent.kill", json!({"agent_id": id}))["status"], "killed");
    assert_eq!(socket.ok("agent.get", json!({"agent_id": id}))["run"], 1);
}

#[test]
fn a_paused_agent_stands_still_until_it_is_resumed() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo ready; while read l; do echo got $l; done"));
    await_output(&mut socket, &id, "ready");
    let paused = socket.ok("agent.pause", json!({"agent_id": id}));
    assert_eq!((&paused["status"], &paused["pause_mode"]), (&json!("paused"), &json!("forced")));
    let pid = socket.ok("agent.get", json!({"agent_id": id}))["pid"].clone();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    assert!(stat.contains(") T "), "{stat}");
    assert_eq!(socket.ok("agent.pause", json!({"agent_id": id}))["status"], "paused");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "one\n"}));
    let resumed = socket.ok("agent.resume", json!({"agent_id": id}));
    assert_eq!(resumed["status"], "running");
    await_output(&mut socket, &id, "got one");
    assert_eq!(socket.ok("agent.resume", json!({"agent_id": id}))["status"], "running");
    socket.ok("agent.kill", json!({"agent_id": id}));
    socket.refused("conflict", "agent.pause", json!({"agent_id": id}));
    socket.refused("conflict", "agent.resume", json!({"agent_id": id}));
}

#[test]
fn the_basic_agent_acknowledges_a_pause() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    socket.ok("agent.spawn", json!({"name": "b", "agent_type": "basic"}));
    let paused = socket.ok("agent.pause", json!({"agent_id": "b"}));
    assert_eq!(paused["status"], "paused");
    assert_eq!(socket.ok("agent.resume", json!({"agent_id": "b"}))["status"], "running");
    socket.ok("agent.kill", json!({"agent_id": "b"}));
}

#[test]
fn signals_arrive() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "trap 'echo usr1' USR1; trap 'echo int; exit 9' INT; echo ready; \
                  while :; do sleep 100000 & wait $!; done";
    let id = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &id, "ready");
    socket.ok("agent.signal", json!({"agent_id": id, "signal": "usr1"}));
    await_output(&mut socket, &id, "usr1");
    socket.ok("agent.signal", json!({"agent_id": id, "signal": "interrupt"}));
    assert_eq!(wait(&mut socket, &id)["exit"]["code"], 9);
    socket.refused("conflict", "agent.signal", json!({"agent_id": id, "signal": "usr1"}));
}

#[test]
fn what_is_written_arrives_and_a_closed_input_is_closed() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &["cat".to_owned()]);
    let written = socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "zwölf\n"}));
    assert_eq!(written["bytes_written"], 7);
    let data = json!({"agent_id": id, "data": "AP+A", "close": true});
    assert_eq!(socket.ok("agent.write_stdin", data)["bytes_written"], 3);
    let error = socket.call("agent.write_stdin", json!({"agent_id": id, "text": "late"}));
    assert_eq!(error.expect_err("it is closed")["data"]["kind"], "conflict");
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    assert_eq!(log(&mut socket, &id, "stdout"), b"zw\xc3\xb6lf\n\0\xff\x80");
}

#[test]
fn an_input_that_nobody_reads_fills_up_and_says_so() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo ready; exec sleep 1000"));
    await_output(&mut socket, &id, "ready");
    let piece = "x".repeat(512 * 1024);
    let error = (0..10).find_map(|_| {
        socket.call("agent.write_stdin", json!({"agent_id": id, "text": piece})).err()
    });
    let error = error.expect("the queue is bounded");
    assert_eq!(error["data"]["kind"], "resource_exhausted", "{error}");
    assert!(error["data"]["max"].is_u64(), "{error}");
    socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
}

#[test]
fn a_large_input_goes_through() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &["wc".to_owned(), "-c".to_owned()]);
    let piece = "y".repeat(100_000);
    for _ in 0..50 {
        let params = json!({"agent_id": id, "text": piece});
        while let Err(error) = socket.call("agent.write_stdin", params.clone()) {
            assert_eq!(error["data"]["kind"], "resource_exhausted", "{error}");
        }
    }
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "", "close": true}));
    wait(&mut socket, &id);
    assert_eq!(log(&mut socket, &id, "stdout"), b"5000000\n");
}

#[test]
fn a_batch_answers_in_the_order_asked() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let labels = json!({"team": "red"});
    let config = json!({"command": parrot::shell("read line"), "labels": labels});
    let mut ids: Vec<Value> =
        (0..5).map(|_| json!(spawn_with(&mut socket, json!({"config": config})))).collect();
    ids.insert(2, json!("no-such-agent"));
    let asked = json!({"agent_ids": ids, "command": "status"});
    let result = socket.ok("agent.batch", asked);
    assert_eq!(result["success"], false);
    assert_eq!((&result["successful"], &result["failed"]), (&json!(5), &json!(1)));
    let results = result["results"].as_array().expect("results");
    let order: Vec<_> = results.iter().map(|one| one["agent_id"].clone()).collect();
    assert_eq!(order, ids);
    assert_eq!(results[2]["error"]["code"], -32002, "{}", results[2]);
    let select = json!({"select": {"labels": labels}, "command": "kill", "dry_run": true});
    assert_eq!(socket.ok("agent.batch", select)["successful"], 5);
    assert_eq!(socket.ok("agent.list", json!({"labels": labels}))["total"], 5);
    let select = json!({"select": {"labels": labels}, "command": "kill"});
    assert_eq!(socket.ok("agent.batch", select)["successful"], 5);
    assert_eq!(socket.ok("agent.list", json!({"labels": labels}))["total"], 0);
}

#[test]
fn pages_show_everything_once() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let ids: Vec<String> = (0..23).map(|_| spawn(&mut socket, &parrot::shell("exit 0"))).collect();
    for id in &ids {
        wait(&mut socket, id);
    }
    for (order, expected) in
        [("oldest", ids.clone()), ("newest", ids.iter().rev().cloned().collect())]
    {
        let mut seen = Vec::new();
        let mut params = json!({"status": "any", "limit": 5, "order": order});
        loop {
            let page = socket.ok("agent.list", params.clone());
            assert_eq!(page["total"], 23);
            let agents = page["agents"].as_array().expect("agents");
            assert_eq!(page["count"], agents.len());
            seen.extend(agents.iter().map(|a| a["id"].as_str().expect("an id").to_owned()));
            match page.get("next_page_token") {
                Some(token) => params["page_token"] = token.clone(),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order}");
    }
    assert_eq!(socket.ok("agent.list", json!({}))["total"], 0);
    assert_eq!(socket.ok("agent.list", json!({"status": "completed"}))["total"], 23);
    assert_eq!(socket.ok("agent.list", json!({"status": ["failed", "lost"]}))["total"], 0);
}

#[test]
fn a_removed_agent_is_forgotten_with_its_output() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let live = spawn(&mut socket, &parrot::shell("read line"));
    socket.refused("conflict", "agent.remove", json!({"agent_id": live}));
    socket.ok("agent.kill", json!({"agent_id": live}));
    socket.ok("agent.remove", json!({"agent_id": live}));
    socket.refused("agent_not_found", "agent.get", json!({"agent_id": live}));
    socket.refused("agent_not_found", "agent.logs", json!({"agent_id": live}));

    let old = spawn(&mut socket, &parrot::shell("exit 0"));
    wait(&mut socket, &old);
    let dry = socket.ok("agent.prune", json!({"older_than_secs": 0, "dry_run": true}));
    assert_eq!(dry["agent_ids"], json!([old]));
    let hour = socket.ok("agent.prune", json!({"older_than_secs": 3600}));
    assert_eq!(hour["count"], 0);
    assert_eq!(socket.ok("agent.prune", json!({"older_than_secs": 0}))["count"], 1);
    assert_eq!(socket.ok("agent.list", json!({"status": "any"}))["total"], 0);
}

#[test]
fn state_is_kept_by_key_and_version() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let value = json!({"a": [1, 2.5, null, "é"]});
    let first = socket.ok("state.put", json!({"key": "k", "value": value}));
    let stale = json!({"key": "k", "value": 1, "expected_version": 999});
    let error = socket.refused("conflict", "state.put", stale);
    assert_eq!(error["data"]["reason"], "version_mismatch");
    let next = json!({"key": "k", "value": 2, "expected_version": first["version"]});
    let second = socket.ok("state.put", next);
    assert!(second["version"].as_u64() > first["version"].as_u64());
    assert_eq!(socket.ok("state.query", json!({"key": "k"}))["state"], json!({"k": 2}));
    socket.ok("state.put", json!({"key": "other", "value": 0}));
    assert_eq!(socket.ok("state.query", json!({"prefix": "oth"}))["state"], json!({"other": 0}));
    socket.ok("state.delete", json!({"key": "k"}));
    assert_eq!(socket.ok("state.query", json!({"key": "k"}))["state"], json!({}));
    let large = json!({"key": "l", "value": "x".repeat(65 * 1024)});
    assert_eq!(socket.refused("resource_exhausted", "state.put", large)["code"], -32011);
}

#[test]
fn limits_end_an_agent_and_say_which() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let slow = json!({"command": parrot::shell("read line"), "limits": {"wall_secs": 0.1}});
    let id = spawn_with(&mut socket, json!({"config": slow}));
    assert_eq!(wait(&mut socket, &id)["exit"]["reason"], "wall_limit");
    let loud = json!({"command": ["yes"], "limits": {"output_bytes": 1_000_000}});
    let id = spawn_with(&mut socket, json!({"config": loud}));
    assert_eq!(wait(&mut socket, &id)["exit"]["reason"], "output_limit");
}

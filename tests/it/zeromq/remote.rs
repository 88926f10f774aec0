//! Agents of another daemon, used like one's own, and what becomes of them when it is killed.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::agents::{at_last, await_output, id_of, log, text, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::processes::eventually;
use crate::rig::{Caller, PATIENCE, measured, parrot, torture};

/// The daemon on the other machine, which is this one.
fn far(home: &Home) -> Daemon {
    Setup::at(home).config("max_running = 1000\n").start()
}

/// A daemon that knows the other one as `far`, and looks after it every second.
fn near(home: &Home, far: &Daemon, more: &str) -> Daemon {
    let endpoint = far.zmq();
    let config = format!(
        "max_running = 1000\n[remotes.far]\nendpoint = \"{endpoint}\"\nreconnect_delay_secs = 1\n\
         heartbeat_interval_secs = 1\n{more}"
    );
    Setup::at(home).config(&config).start()
}

fn parameters(name: &str, command: &[String]) -> Value {
    json!({"name": name, "agent_type": "far", "config": {"command": command}})
}

/// Leaves a line with its name in a file and goes on until it is ended.
fn diary(name: &str, home: &Home) -> Vec<String> {
    let file = home.path().join("diary");
    parrot::shell(&format!("echo {name} >> '{}'; echo ready; exec sleep 100000", file.display()))
}

/// How often each has written into the diary.
fn diaries(home: &Home) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for name in fs::read_to_string(home.path().join("diary")).unwrap_or_default().lines() {
        *found.entry(name.to_owned()).or_insert(0) += 1;
    }
    found
}

#[test]
fn an_agent_of_a_remote_is_used_like_ones_own() {
    let far = far(&Home::new());
    let near = near(&Home::new(), &far, "");
    let mut socket = near.socket();
    let id = id_of(&socket.ok("agent.spawn", parameters("echo", &parrot::parrot(&["echo"]))));
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "over there\n"}));
    await_output(&mut socket, &id, "over there");
    assert_eq!(socket.ok("agent.pause", json!({"agent_id": id}))["status"], "paused");
    assert_eq!(socket.ok("agent.resume", json!({"agent_id": id}))["status"], "running");
    let there = far.socket().ok("agent.list", json!({}));
    assert_eq!(there["total"], 1, "it is there: {there}");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "bye\n", "close": true}));
    let ended = wait(&mut socket, &id);
    assert_eq!((&ended["status"], &ended["exit"]["code"]), (&json!("completed"), &json!(0)));
    assert_eq!(log(&mut socket, &id, "stdout"), b"over there\nbye\n");

    let id = id_of(&socket.ok("agent.spawn", parameters("stubborn", &diary("one", &far.home))));
    await_output(&mut socket, &id, "ready");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
    assert_eq!(killed["status"], "killed", "{killed}");
    assert_eq!(far.socket().ok("agent.list", json!({}))["total"], 0, "it is gone there too");
    let missing = parameters("missing", &["/no/such/program".to_owned()]);
    let refused = socket.refused("spawn_failed", "agent.spawn", missing);
    assert!(refused.to_string().contains("/no/such/program"), "{refused}");
}

#[test]
fn the_output_of_a_remote_agent_is_exact() {
    let far = far(&Home::new());
    let near = near(&Home::new(), &far, "");
    let mut socket = near.socket();
    let noise: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let file = far.home.file("noise", &noise);
    let id = id_of(&socket.ok("agent.spawn", parameters("noise", &parrot::say("stdout", &file))));
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    assert!(log(&mut socket, &id, "stdout") == noise, "the bytes differ");
}

/// The status and activity of an agent.
fn state(socket: &mut impl Caller, id: &str) -> (String, String) {
    let agent = socket.ok("agent.get", json!({"agent_id": id}));
    let activity = agent["activity"].as_str().unwrap_or_default().to_owned();
    (text(&agent["status"]).to_owned(), activity)
}

#[test]
fn killed_with_twenty_agents_a_remote_loses_them_and_starts_none_twice() {
    const AGENTS: usize = 20;
    let mut there = far(&Home::new());
    let near = near(&Home::new(), &there, "request_timeout_secs = 10\n");
    for round in 0..torture(20) {
        let mut socket = near.socket();
        let name = |number: usize| format!("r{round}-{number}");
        let ids: Vec<String> = (0..AGENTS)
            .map(|number| {
                let command = diary(&name(number), &there.home);
                id_of(&socket.ok("agent.spawn", parameters(&name(number), &command)))
            })
            .collect();
        for id in &ids {
            await_output(&mut socket, id, "ready");
        }
        // Some are on their way when it happens.
        let home = there.home.clone();
        let late: Vec<_> = (0..4)
            .map(|number| {
                let name = format!("r{round}-late-{number}");
                let (mut socket, command) = (near.socket(), diary(&name, &home));
                thread::spawn(move || {
                    at_last(&mut socket, "agent.spawn", &parameters(&name, &command))
                })
            })
            .collect();
        let home = there.kill9();
        let mut longest = Duration::ZERO;
        for id in &ids {
            eventually("it is seen that nobody answers", || {
                let (status, activity) = state(&mut socket, id);
                assert_eq!(status, "running", "nobody knows yet");
                activity == "unreachable"
            });
            let asked = Instant::now();
            let write = json!({"agent_id": id, "text": "hello?\n"});
            socket.refused("connection_lost", "agent.write_stdin", write);
            longest = longest.max(asked.elapsed());
        }
        assert!(longest < PATIENCE / 2, "a call took {longest:?}");
        there = far(&home);
        for id in &ids {
            let ended = wait(&mut socket, id);
            assert_eq!(ended["status"], "lost", "{ended}");
            assert_eq!(ended["exit"]["reason"], "host_died", "{ended}");
        }
        let mut lost = 0;
        for late in late {
            // Each call has ended: with an agent that is lost or lives, or with an error.
            if let Ok(spawned) = late.join().expect("a caller does not panic") {
                let id = id_of(&spawned);
                socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
                lost += 1;
            }
        }
        let diaries = diaries(&home);
        let twice: Vec<_> = diaries.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "started twice: {twice:?}");
        assert!((0..AGENTS).all(|number| diaries.contains_key(&name(number))));
        eventually("nothing of ours runs there", || {
            there.socket().ok("agent.list", json!({}))["total"] == 0
        });
        measured(format_args!(
            "calls took {longest:?} at most; {lost} of 4 late ones were started"
        ));
    }
}

#[test]
fn a_remote_that_stays_away_loses_its_agents_for_good() {
    let far = far(&Home::new());
    let near = near(&Home::new(), &far, "lost_after_secs = 1\nrequest_timeout_secs = 2\n");
    let mut socket = near.socket();
    let id = id_of(&socket.ok("agent.spawn", parameters("away", &diary("away", &far.home))));
    await_output(&mut socket, &id, "ready");
    // It hears nothing and says nothing, and its agents go on.
    far.signal(Signal::STOP);
    let ended = wait(&mut socket, &id);
    assert_eq!((&ended["status"], &ended["exit"]["reason"]), (&json!("lost"), &json!("lost")));
    far.signal(Signal::CONT);
    eventually("what is nobody's is stopped", || {
        far.socket().ok("agent.list", json!({}))["total"] == 0
    });
    assert_eq!(state(&mut socket, &id).0, "lost");
}

#[test]
fn the_agents_of_a_remote_outlive_the_daemon_that_started_them() {
    let far = far(&Home::new());
    let daemon = near(&Home::new(), &far, "");
    let mut socket = daemon.socket();
    let id = id_of(&socket.ok("agent.spawn", parameters("echo", &parrot::parrot(&["echo"]))));
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "before\n"}));
    await_output(&mut socket, &id, "before");
    let home = daemon.kill9();
    // In its own time: nobody is there to hear it.
    let there = far.socket().ok("agent.list", json!({}));
    let over_there = text(&there["agents"][0]["id"]).to_owned();
    let write = json!({"agent_id": over_there, "text": "meanwhile\n"});
    far.socket().ok("agent.write_stdin", write);
    let near = near(&home, &far, "");
    let mut socket = near.socket();
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "after\n", "close": true}));
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    assert_eq!(log(&mut socket, &id, "stdout"), b"before\nmeanwhile\nafter\n");
}

/// Prints that it is ready and listens to no request to end.
fn stubborn() -> Vec<String> {
    parrot::shell("trap '' TERM; echo ready; while :; do sleep 1000; done")
}

#[test]
fn a_batch_over_remote_agents_that_do_not_listen_is_answered_for_each_in_order() {
    // More than are stopped at once.
    const AGENTS: usize = 40;
    let far = far(&Home::new());
    let endpoint = far.zmq();
    let config = format!(
        "max_running = 1000\n[server]\nrequest_timeout_secs = 3\n\
         [remotes.far]\nendpoint = \"{endpoint}\"\n"
    );
    let near = Setup::new().config(&config).start();
    let mut socket = near.socket();
    let mut ids: Vec<String> = (0..AGENTS)
        .map(|number| {
            let params = parameters(&format!("stubborn-{number}"), &stubborn());
            id_of(&at_last(&mut socket, "agent.spawn", &params).expect("it is started"))
        })
        .collect();
    for id in &ids {
        await_output(&mut socket, id, "ready");
    }
    ids.insert(7, "nobody".to_owned());
    let stop = json!({"agent_ids": ids, "command": "stop", "idempotency_key": "stop"});
    // It takes longer than a call may: the key of what goes on leads to its outcome.
    socket.refused("timeout", "agent.batch", stop.clone());
    let done = at_last(&mut socket, "agent.batch", &stop).expect("a batch is answered");
    assert_eq!((&done["successful"], &done["failed"]), (&json!(AGENTS), &json!(1)), "{done}");
    for (id, result) in ids.iter().zip(done["results"].as_array().expect("results")) {
        assert_eq!(result["agent_id"], *id);
        let expected = if id == "nobody" { "agent_not_found" } else { "" };
        let kind = result["error"]["data"]["kind"].as_str().unwrap_or_default();
        assert_eq!(kind, expected, "{result}");
    }
    assert_eq!(far.socket().ok("agent.list", json!({}))["total"], 0, "all are gone there too");
    for id in ids.iter().filter(|id| *id != "nobody") {
        let ended = socket.ok("agent.get", json!({"agent_id": id}));
        assert_eq!((&ended["status"], &ended["exit"]["forced"]), (&json!("killed"), &json!(true)));
    }
}

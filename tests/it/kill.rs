//! Killing is complete: when the answer comes, nothing of the tree lives.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::rig::agents::{await_output, spawn, spawn_with, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::{Caller, parrot, processes, torture};

/// How many connections start and kill at once.
const HANDS: usize = 8;

/// Starts an agent that flees in `manner`, kills it, and looks for what is left of it.
fn flee_and_die(socket: &mut impl Caller, manner: &str) {
    let token = processes::token();
    let id = spawn(socket, &parrot::flee(manner, &token));
    await_output(socket, &id, "ready");
    let before = processes::with_token(&token);
    assert!(before.len() > 1, "{manner}: the agent did not flee: {before:?}");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "grace_secs": 0.05}));
    let left = processes::shown(&processes::with_token(&token));
    assert_eq!(left, Vec::<String>::new(), "{manner}: {killed}");
    assert_eq!(killed["status"], "killed", "{manner}: {killed}");
    assert_eq!(killed["recorded"], true, "{manner}: {killed}");
}

#[test]
fn torture_300_agents_that_flee_are_killed_to_the_last_process() {
    let daemon = Setup::new().config("max_running = 400\n").start();
    let pid = daemon.number();
    daemon.socket().ok("system.health", json!({}));
    flee_and_die(&mut daemon.socket(), parrot::MANNERS[0]);
    let descriptors = processes::descriptors(pid);
    let agents = torture(300);
    thread::scope(|scope| {
        for hand in 0..HANDS {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut socket = daemon.socket();
                for agent in (hand..agents).step_by(HANDS) {
                    let manner = parrot::MANNERS[agent % parrot::MANNERS.len()];
                    flee_and_die(&mut socket, manner);
                }
            });
        }
    });
    processes::eventually("no zombie and no child is left", || {
        processes::zombies(pid).is_empty() && processes::children(pid).is_empty()
    });
    // Files are the store's own affair, which keeps a bounded number of them open.
    let of_agents = |all: BTreeMap<String, usize>| -> BTreeMap<String, usize> {
        all.into_iter().filter(|(name, _)| !name.starts_with('/')).collect()
    };
    let before = of_agents(descriptors);
    let mut left = BTreeMap::new();
    for _ in 0..200 {
        left = of_agents(processes::descriptors(pid));
        left.retain(|name, count| before.get(name).is_none_or(|had| *count > *had));
        if left.is_empty() {
            break;
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(left, BTreeMap::new(), "descriptors are left, before: {before:?}");
}

#[test]
fn many_agents_at_once_are_killed_together() {
    let daemon = Setup::new().config("max_running = 400\n").start();
    let mut socket = daemon.socket();
    let token = processes::token();
    let manner = parrot::MANNERS;
    let ids: Vec<String> = (0..torture(300).max(2))
        .map(|n| spawn(&mut socket, &parrot::flee(manner[n % manner.len()], &token)))
        .collect();
    for id in &ids {
        await_output(&mut socket, id, "ready");
    }
    let result = socket.ok("agent.batch", json!({"agent_ids": ids, "command": "kill"}));
    assert_eq!((&result["success"], &result["successful"]), (&json!(true), &json!(ids.len())));
    assert_eq!(processes::shown(&processes::with_token(&token)), Vec::<String>::new());
}

#[test]
fn what_a_shell_sends_into_sessions_of_their_own_is_killed_with_it() {
    let daemon = Setup::new().config("max_running = 400\n").start();
    let mut socket = daemon.socket();
    let token = processes::token();
    let ids: Vec<String> = (0..torture(300).max(2))
        .map(|_| spawn(&mut socket, &parrot::shell_of_sessions(&token)))
        .collect();
    for id in &ids {
        await_output(&mut socket, id, "ready");
    }
    let result = socket.ok("agent.batch", json!({"agent_ids": ids, "command": "kill"}));
    assert_eq!(result["successful"], ids.len());
    assert_eq!(processes::shown(&processes::with_token(&token)), Vec::<String>::new());
}

#[test]
fn an_agent_that_obeys_is_not_forced() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo ready; read line"));
    await_output(&mut socket, &id, "ready");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "grace_secs": 30}));
    assert_eq!((&killed["forced"], &killed["status"]), (&json!(false), &json!("killed")));
    assert_eq!(killed["exit"]["signal"], "SIGTERM");
    assert_eq!(killed["exit"]["reason"], "killed");
}

#[test]
fn an_agent_that_ignores_the_request_is_forced_after_its_grace() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "trap '' TERM; echo ready; while :; do read line || sleep 1; done";
    let id = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &id, "ready");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "grace_secs": 0.1}));
    assert_eq!((&killed["forced"], &killed["exit"]["signal"]), (&json!(true), &json!("SIGKILL")));
}

#[test]
fn force_gives_no_grace() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("trap 'echo saved' TERM; echo ready; read line"));
    await_output(&mut socket, &id, "ready");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
    assert_eq!(killed["exit"]["signal"], "SIGKILL");
    let log = crate::rig::agents::log(&mut socket, &id, "stdout");
    assert_eq!(log, b"ready\n");
}

#[test]
fn an_agent_that_ends_well_within_its_grace_has_been_killed_all_the_same() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do read line; done";
    let id = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &id, "ready");
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "grace_secs": 30}));
    assert_eq!((&killed["forced"], &killed["exit"]["code"]), (&json!(false), &json!(0)));
    assert_eq!(killed["exit"]["reason"], "killed");
    assert_eq!(crate::rig::agents::log(&mut socket, &id, "stdout"), b"ready\nsaved\n");
}

#[test]
fn a_paused_agent_can_be_killed() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo ready; read line"));
    await_output(&mut socket, &id, "ready");
    socket.ok("agent.pause", json!({"agent_id": id, "force": true}));
    let killed = socket.ok("agent.kill", json!({"agent_id": id, "grace_secs": 30}));
    assert_eq!((&killed["status"], &killed["forced"]), (&json!("killed"), &json!(false)));
}

#[test]
fn killing_an_ended_agent_succeeds_and_says_so() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("exit 0"));
    wait(&mut socket, &id);
    let killed = socket.ok("agent.kill", json!({"agent_id": id}));
    assert_eq!((&killed["status"], &killed["swept"]), (&json!("completed"), &json!(0)));
    assert_eq!(killed["exit"]["code"], 0);
}

#[test]
fn what_an_agent_leaves_behind_goes_with_it() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let token = processes::token();
    let id = spawn(&mut socket, &parrot::leave_behind(&token));
    let waited = wait(&mut socket, &id);
    assert_eq!(waited["status"], "completed", "{waited}");
    assert_eq!(processes::shown(&processes::with_token(&token)), Vec::<String>::new());
    assert!(waited["exit"]["swept"].as_u64() >= Some(1), "{waited}");
}

#[test]
fn many_may_kill_the_same_agent() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let command = parrot::shell("trap '' TERM; echo ready; while :; do read line || sleep 1; done");
    let id = spawn_with(&mut socket, json!({"config": {"command": command}}));
    await_output(&mut socket, &id, "ready");
    let answers: Vec<_> = thread::scope(|scope| {
        let kill = || daemon.socket().ok("agent.kill", json!({"agent_id": id, "grace_secs": 0.2}));
        let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(kill)).collect();
        hands.into_iter().map(|hand| hand.join().expect("a kill succeeds")).collect()
    });
    assert!(answers.iter().all(|killed| killed["status"] == "killed"), "{answers:?}");
}

//! Waiting: for an end, with a limit, until somebody cancels it, and without holding anybody up.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::agents::{await_output, spawn, wait};
use crate::rig::daemon::Daemon;
use crate::rig::load::Latencies;
use crate::rig::socket::Socket;
use crate::rig::{Caller, measured, parrot};

#[test]
fn the_end_is_told_although_a_grandchild_holds_the_pipe() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::hold_the_pipe());
    await_output(&mut socket, &id, "ready");
    let mut waiter = daemon.socket();
    let waiting = waiter.begin("agent.wait", json!({"agent_id": id}));
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    let asked = Instant::now();
    let waited = waiter.answer(waiting).expect("the agent ends");
    let took = asked.elapsed();
    assert_eq!(waited["status"], "completed", "{waited}");
    // A quiet machine needs less than 50 ms; a pipe that is waited for needs forever.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_wait_that_takes_too_long_says_how_things_stand() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("read line"));
    let params = json!({"agent_id": id, "timeout_secs": 0.05});
    let error = socket.refused("timeout", "agent.wait", params);
    assert_eq!((&error["code"], &error["data"]["status"]), (&json!(-32009), &json!("running")));
    socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
}

#[test]
fn a_wait_is_cancelled_by_its_own_connection_only() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("read line"));
    let waiting = socket.begin("agent.wait", json!({"agent_id": id}));
    daemon.socket().ok("rpc.cancel", json!({"id": waiting}));
    let cancelling = socket.begin("rpc.cancel", json!({"id": waiting}));
    let mut answers = [socket.message(), socket.message()];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["id"], waiting);
    assert_eq!(answers[0]["error"]["code"], -32018, "{answers:?}");
    assert_eq!(answers[1]["id"], cancelling);
    socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
}

#[test]
fn waits_do_not_keep_others_from_working() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("read line"));
    let mut waiter = daemon.socket();
    let waits: Vec<u64> =
        (0..200).map(|_| waiter.begin("agent.wait", json!({"agent_id": id}))).collect();
    let others = spawn(&mut socket, &parrot::shell("exit 0"));
    wait(&mut socket, &others);
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    let mut seen: Vec<u64> = waits
        .iter()
        .map(|_| {
            let answer = waiter.message();
            assert_eq!(answer["result"]["status"], "completed", "{answer}");
            answer["id"].as_u64().expect("an id of ours")
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, waits);
}

#[test]
fn a_lost_connection_ends_its_waits_and_not_the_agent() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("read line; echo done"));
    let mut lost = daemon.socket();
    lost.begin("agent.wait", json!({"agent_id": id}));
    drop(lost);
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
}

/// Calls that wait on one connection.
const WAITS: usize = 200;
/// Connections with so many.
const WAITERS: usize = 5;

/// Lets `waiter` wait for what does not come, in the two ways that there are.
fn wait_for_nothing(waiter: &mut Socket, agent: &str) {
    for _ in 0..WAITS / 2 {
        waiter.begin("agent.wait", json!({"agent_id": agent, "timeout_secs": 3_600}));
        let topics = json!({"topics": ["system"], "after": "now", "wait_ms": 30_000});
        waiter.begin("event.read", topics);
    }
}

/// How long it takes to kill an agent.
fn kill(caller: &mut Socket, agent: &str) -> Duration {
    let asked = Instant::now();
    caller.ok("agent.kill", json!({"agent_id": agent, "force": true}));
    asked.elapsed()
}

#[test]
fn control_is_answered_at_once_while_a_thousand_wait() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let forever = spawn(&mut socket, &parrot::shell("read line"));
    let mut victims: Vec<String> =
        (0..20).map(|_| spawn(&mut socket, &parrot::shell("read line"))).collect();
    let mut waiters: Vec<Socket> = (0..WAITERS).map(|_| daemon.socket()).collect();
    waiters.iter_mut().for_each(|waiter| wait_for_nothing(waiter, &forever));

    // Beside a daemon that nobody waits at, asked in the same moments.
    let calm = Daemon::start();
    let mut calm_socket = calm.socket();
    let mut calm_victims: Vec<String> =
        victims.iter().map(|_| spawn(&mut calm_socket, &parrot::shell("read line"))).collect();
    let (mut healthy, mut quiet) = (Latencies::new(), Latencies::new());
    let (mut kills, mut calm_kills) = (Vec::new(), Vec::new());
    for waiter in &mut waiters {
        for _ in 0..100 {
            healthy.ask(waiter);
            quiet.ask(&mut calm_socket);
        }
        for id in victims.drain(..victims.len().min(4)) {
            kills.push(kill(waiter, &id));
            calm_kills.extend(calm_victims.pop().map(|id| kill(&mut calm_socket, &id)));
        }
    }
    kills.sort_unstable();
    calm_kills.sort_unstable();
    let (first, last) = (kills[0], kills[kills.len() - 1]);
    measured(format_args!(
        "beside {} waits: health p50 {:?}, p99 {:?}; kill {first:?} to {last:?}",
        WAITS * WAITERS,
        healthy.percentile(50),
        healthy.percentile(99)
    ));
    let soon = |usual: Duration| (usual * 5).max(Duration::from_millis(100));
    let (health, usual) = (healthy.percentile(50), quiet.percentile(50));
    assert!(health < soon(usual), "{health:?}, elsewhere {usual:?}");
    let usual = calm_kills[calm_kills.len() / 2];
    assert!(kills[kills.len() / 2] < soon(usual), "{kills:?}, elsewhere {usual:?}");
    drop(waiters);
    socket.ok("agent.kill", json!({"agent_id": forever, "force": true}));
}

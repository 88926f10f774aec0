//! Gauges rise with what they show, and fall with it.

use std::time::Instant;

use serde_json::json;

use super::{daemon, read, value};
use crate::chat::{approval, chat};
use crate::rig::agents::{id_of, spawn, wait};
use crate::rig::daemon::{Home, Setup};
use crate::rig::parrot::{flood, parrot};
use crate::rig::processes::eventually;
use crate::rig::{Caller, measured, torture};

#[test]
fn an_approval_is_pending_until_it_is_decided_and_its_tool_is_counted_then() {
    let daemon = daemon();
    let mut socket = daemon.socket();
    let tool = "tool_calls_total{tool=\"execute\",outcome=\"ok\"}";
    let chats: Vec<_> = (0..3).map(|_| chat(&mut socket, &json!({}))).collect();
    for (asked, chat) in chats.iter().enumerate() {
        let count = |number: usize| f64::from(u32::try_from(number).expect("a few"));
        socket.ok("chat.prompt", json!({"session_id": chat, "prompt": "run ls"}));
        approval(&mut socket, chat);
        let page = read(&daemon);
        assert_eq!(value(&page, "approvals_pending"), count(asked + 1));
        assert_eq!(value(&page, tool), 0.0);
    }
    for (decided, chat) in chats.iter().enumerate() {
        let asked = approval(&mut socket, chat);
        socket.ok("approval.decide", json!({"approval_id": asked, "decision": "allow_once"}));
        let (left, done) = ([2.0, 1.0, 0.0][decided], [1.0, 2.0, 3.0][decided]);
        eventually("it is counted", || {
            let page = read(&daemon);
            (value(&page, "approvals_pending"), value(&page, tool)) == (left, done)
        });
    }
    // A call that is under way when its turn is cancelled has no result.
    socket.ok("chat.prompt", json!({"session_id": chats[0], "prompt": "run ls"}));
    approval(&mut socket, &chats[0]);
    socket.ok("chat.cancel", json!({"session_id": chats[0]}));
    let page = read(&daemon);
    assert_eq!(value(&page, "approvals_pending"), 0.0);
    assert_eq!(value(&page, "tool_calls_total{tool=\"execute\",outcome=\"unanswered\"}"), 1.0);
}

#[test]
fn an_agent_that_writes_faster_than_the_store_takes_it_is_blocked_until_it_does_not() {
    let daemon = daemon();
    let mut socket = daemon.socket();
    assert_eq!(value(&read(&daemon), "agents_blocked_on_output"), 0.0);
    let floods: Vec<_> = (0..3).map(|_| spawn(&mut socket, &flood(1 << 34))).collect();
    eventually("one is blocked", || value(&read(&daemon), "agents_blocked_on_output") > 0.0);
    for agent in &floods {
        socket.ok("agent.kill", json!({"agent_id": agent, "force": true}));
    }
    eventually("none is", || value(&read(&daemon), "agents_blocked_on_output") == 0.0);
}

#[test]
fn what_waits_for_a_remote_that_is_away_is_in_its_queue_until_it_is_back() {
    let far_home = Home::new();
    let remote = format!(
        "[remotes.far]\nendpoint = \"ipc://{}\"\nreconnect_delay_secs = 1\n\
         max_reconnect_attempts = 100000\nheartbeat_interval_secs = 1\n",
        far_home.runtime().join("zmq.sock").display(),
    );
    let near = Setup::new().flag("--metrics-port=0").config(&remote).start();
    let depth = || value(&read(&near), "remote_queue_depth{remote=\"far\"}");
    assert_eq!(depth(), 0.0);
    let (mut socket, mut waiting) = (near.socket(), near.socket());
    let command = json!({"agent_type": "far", "config": {"command": parrot(&["exit", "0"])}});
    let started = waiting.begin("agent.spawn", command);
    eventually("it waits", || depth() == 1.0);
    let _far = Setup::at(&far_home).start();
    eventually("it is sent", || depth() == 0.0);
    let agent = id_of(&waiting.answer(started).expect("it is started"));
    wait(&mut socket, &agent);
}

/// Tells how long a scrape takes with a thousand agents at `DESCARTES_TORTURE=1`.
#[test]
fn a_page_of_many_agents_is_a_page_of_few_lines() {
    let agents = torture(1000);
    let setup = Setup::new().flag("--metrics-port=0").config("max_running = 2000\n");
    let daemon = setup.start();
    let mut socket = daemon.socket();
    let warm = spawn(&mut socket, &parrot(&["exit", "0"]));
    wait(&mut socket, &warm);
    let empty = read(&daemon).len();
    for _ in 0..agents {
        spawn(&mut socket, &["sleep".into(), "100000".into()]);
    }
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let began = Instant::now();
            let page = read(&daemon);
            let lives = f64::from(u32::try_from(agents).expect("thousands"));
            assert_eq!(value(&page, "agents_active"), lives);
            // A bucket more or less is no line for each agent.
            assert!(page.len() < empty + 10, "{} lines, {empty} before", page.len());
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    measured(format!("{agents} agents: a scrape p50 {:?}, longest {:?}", times[10], times[19]));
    let all = json!({"select": {"status": "live"}, "command": "kill"});
    socket.ok("agent.batch", all);
}

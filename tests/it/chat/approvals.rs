//! Who decides what agents ask, and what becomes of it when nobody does.

use serde_json::{Value, json};

use super::{approval, ask, chat, get, until};
use crate::rig::Caller;
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::socket::Socket;

/// Follows all approvals from here on, or from `after`.
fn follow(socket: &mut Socket, after: &str) -> String {
    let params = json!({"topics": ["approval/"], "after": after});
    let subscribed = socket.ok("event.subscribe", params);
    subscribed["cursor"].as_str().expect("a cursor").to_owned()
}

/// The next approval that is resolved, as a follower is told.
fn resolved(socket: &mut Socket) -> Value {
    loop {
        let (method, mut told) = socket.notification();
        if method == "event.next" && told["event"]["type"] == "approval.resolved" {
            return told["event"]["data"].take();
        }
    }
}

#[test]
fn of_two_deciders_one_wins_the_other_is_told_and_both_see_the_result() {
    let daemon = Daemon::start();
    let mut asking = daemon.socket();
    let mut deciders = [daemon.socket(), daemon.socket()];
    let chat = chat(&mut asking, &json!({}));
    deciders.iter_mut().for_each(|decider| drop(follow(decider, "now")));
    for round in 0..10 {
        let prompt =
            json!({"session_id": chat, "prompt": "run x", "wait": true, "timeout_secs": 600});
        let asked = asking.begin("chat.prompt", prompt);
        let waits = approval(&mut daemon.socket(), &chat);
        let words = if round % 2 == 0 { ["allow_once", "deny"] } else { ["deny", "allow_once"] };
        let begun: Vec<u64> = deciders
            .iter_mut()
            .zip(words)
            .map(|(decider, decision)| {
                let params = json!({"approval_id": waits, "decision": decision});
                decider.begin("approval.decide", params)
            })
            .collect();
        let outcomes: Vec<_> =
            deciders.iter_mut().zip(begun).map(|(decider, call)| decider.answer(call)).collect();
        let winner = outcomes.iter().position(Result::is_ok).expect("one wins");
        let status = if words[winner] == "deny" { "denied" } else { "allowed" };
        let late = outcomes[1 - winner].as_ref().expect_err("only one wins");
        assert_eq!(late["data"]["kind"], "conflict", "{late}");
        assert_eq!(late["data"]["reason"], "already_decided", "{late}");
        for decider in &mut deciders {
            let seen = resolved(decider);
            assert_eq!((&seen["approval_id"], &seen["status"]), (&json!(waits), &json!(status)));
            assert_eq!(seen["decided_by"], "local");
        }
        let turn = asking.answer(asked).expect("the turn ends");
        assert_eq!(turn["outcome"], "completed", "{turn}");
        let said = turn["content"].as_str().expect("text");
        assert_eq!(said.starts_with("denied"), status == "denied", "{said}");
    }
}

#[test]
fn what_nobody_is_there_to_decide_is_denied_at_once_and_with_somebody_there_it_waits() {
    let unattended = "[approvals]\ndeadline_secs = 900\ndeny_when_unattended = true\n";
    let daemon = Setup::new().only_config(unattended).start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({}));
    // Before the patience of this client ends, which is a fraction of the deadline.
    let turn = ask(&mut socket, &chat, "run x");
    assert_eq!((&turn["outcome"], &turn["turn"]), (&json!("completed"), &json!(1)));
    assert!(turn["content"].as_str().is_some_and(|said| said.starts_with("denied")), "{turn}");
    assert_eq!(ask(&mut socket, &chat, "on")["content"], "you said: on");
    let mut there = daemon.socket();
    follow(&mut there, "now");
    let mut asking = daemon.socket();
    let prompt = json!({"session_id": chat, "prompt": "run x", "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", prompt);
    until(&mut socket, &chat, "waiting_approval");
    let waits = approval(&mut socket, &chat);
    there.ok("approval.decide", json!({"approval_id": waits, "decision": "allow_once"}));
    let turn = asking.answer(asked).expect("the turn ends");
    assert!(!turn["content"].as_str().is_some_and(|said| said.starts_with("denied")), "{turn}");
}

#[test]
fn a_client_that_comes_back_after_the_daemon_was_killed_is_told_what_became_of_its_question() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({}));
    let cursor = follow(&mut daemon.socket(), "now");
    let mut asking = daemon.socket();
    asking.begin("chat.prompt", json!({"session_id": chat, "prompt": "run x"}));
    let waits = approval(&mut socket, &chat);
    let daemon = Setup::at(&daemon.kill9()).start();
    let mut socket = daemon.socket();
    follow(&mut socket, &cursor);
    let told = resolved(&mut socket);
    assert_eq!((&told["approval_id"], &told["status"]), (&json!(waits), &json!("cancelled")));
    assert_eq!(told["reason"], "the agent died with its host");
    let late = json!({"approval_id": waits, "decision": "allow_once"});
    let late = socket.refused("conflict", "approval.decide", late);
    assert_eq!(late["data"]["reason"], "already_decided", "{late}");
    let pending = socket.ok("approval.list", json!({"status": "pending"}));
    assert_eq!(pending["count"], 0, "{pending}");
    assert_eq!(get(&mut socket, &chat)["pending_approvals"], 0);
}

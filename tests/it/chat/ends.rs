//! Ends: of turns, processes and chats, also when something is killed from outside.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::story::{Story, chunks};
use super::{ask, chat, get, types_of, until};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot, processes};

/// The process of a chat's agent.
#[track_caller]
fn pid_of(socket: &mut Socket, chat: &str) -> Pid {
    let agent = get(socket, chat)["agent_id"].clone();
    let pid = socket.ok("agent.get", json!({"agent_id": agent}))["pid"].as_i64();
    let pid = i32::try_from(pid.expect("it runs")).expect("a process");
    Pid::from_raw(pid).expect("a process")
}

/// Begins a turn that goes on for long, and waits until it has said something.
fn begin_long_turn(socket: &mut Socket, asking: &mut Socket, chat: &str) -> u64 {
    let params =
        json!({"session_id": chat, "prompt": "slow 100000", "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", params);
    processes::eventually("it speaks", || {
        types_of(&chunks(socket, chat)).iter().any(|kind| kind == "text")
    });
    asked
}

#[test]
fn a_process_killed_from_outside_says_so_and_another_goes_on_with_the_conversation() {
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let chat = chat(&mut socket, &json!({}));
    let asked = begin_long_turn(&mut socket, &mut asking, &chat);
    let native = get(&mut socket, &chat)["native_session_id"].clone();
    kill_process(pid_of(&mut socket, &chat), Signal::KILL).expect("it is ours");
    let turn = asking.answer(asked).expect("the turn ends");
    assert_eq!(turn["outcome"], "interrupted", "{turn}");
    assert_eq!(turn["error"]["kind"], "agent_crashed", "{turn}");
    until(&mut socket, &chat, "idle");
    let told = chunks(&mut socket, &chat);
    let last = told.last().expect("chunks");
    assert_eq!((&last["type"], &last["resumable"]), (&json!("complete"), &json!(true)), "{last}");
    assert_eq!(last["exit_code"], Value::Null, "{last}");
    assert_eq!(Story::of(&told).turns[&1].text, turn["content"].as_str().expect("text"));
    assert_eq!(ask(&mut socket, &chat, "on")["content"], "you said: on");
    let after = get(&mut socket, &chat);
    assert_eq!(after["native_session_id"], native, "{after}");
    let agent = socket.ok("agent.get", json!({"agent_id": after["agent_id"]}));
    assert_eq!(agent["run"], 2, "{agent}");
    Story::of(&chunks(&mut socket, &chat));
}

#[test]
fn a_daemon_killed_in_mid_stream_says_the_rest_when_it_is_back_and_what_is_closed_stays_so() {
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let closed = chat(&mut socket, &json!({}));
    ask(&mut socket, &closed, "hello");
    socket.ok("chat.stop", json!({"session_id": closed}));
    let chat = chat(&mut socket, &json!({}));
    begin_long_turn(&mut socket, &mut asking, &chat);
    let params = json!({"session_id": chat, "prompt": "never"});
    assert_eq!(socket.ok("chat.prompt", params)["queued"], true);
    let seen = chunks(&mut socket, &chat);
    let before = chunks(&mut socket, &closed);
    let daemon = Setup::at(&daemon.kill9()).start();
    let mut socket = daemon.socket();
    let told = chunks(&mut socket, &chat);
    assert_eq!(told[..seen.len()], seen[..], "what was seen stays");
    assert_eq!(told.last().expect("chunks")["type"], "complete");
    let story = Story::of(&told);
    assert_eq!(story.turns[&1].outcome, "interrupted");
    assert_eq!(story.turns[&2].outcome, "interrupted");
    let history = socket.ok("chat.history", json!({"session_id": chat}));
    assert_eq!(history["messages"][1]["content"], story.turns[&1].text);
    assert_eq!(chunks(&mut socket, &closed), before);
    assert_eq!(get(&mut socket, &closed)["status"], "closed");
    let late = json!({"session_id": closed, "prompt": "again"});
    let error = socket.refused("conflict", "chat.prompt", late);
    assert_eq!(error["data"]["reason"], "closed", "{error}");
}

#[test]
fn a_stop_in_a_turn_is_answered_when_the_whole_tree_of_the_agent_is_gone() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    // It speaks no protocol and hears nothing; what it starts leaves its group and session.
    let token = processes::token();
    let command = parrot::flee("all", &token);
    let chat = chat(&mut socket, &json!({"backend": "acp", "command": command}));
    socket.ok("chat.prompt", json!({"session_id": chat, "prompt": "hello"}));
    processes::eventually("it has fled", || processes::with_token(&token).len() > 2);
    let stopped = socket.ok("chat.stop", json!({"session_id": chat}));
    let left = processes::with_token(&token);
    assert!(left.is_empty(), "{:?}", processes::shown(&left));
    assert_eq!((&stopped["success"], &stopped["outcome"]), (&json!(true), &json!("cancelled")));
    let mut kinds = types_of(&chunks(&mut socket, &chat));
    kinds.retain(|kind| kind != "raw");
    assert_eq!(kinds[kinds.len() - 3..], ["turn_complete", "complete", "closed"], "{kinds:?}");
}

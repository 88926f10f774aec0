//! Conversations that are recorded and played again, through the real daemon and the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::house::root;
use crate::readme::{Step, blocks, matches, session, steps};
use crate::rig::daemon::Daemon;
use crate::rig::socket::Socket;
use crate::rig::{Caller, processes};

fn create(socket: &mut Socket, params: Value) -> String {
    let created = socket.ok("chat.create", params);
    created["session_id"].as_str().expect("an identifier").to_owned()
}

/// Everything that was said in a chat, without the names and times that every chat has its own of.
fn chunks(socket: &mut Socket, chat: &str) -> Vec<Value> {
    let page = socket.ok("event.read", json!({"topics": [format!("chat/{chat}")], "limit": 1000}));
    let own = ["approval_id", "agent_id", "session_id", "requested_at", "deadline", "cursor"];
    let events = page["events"].as_array().expect("events").iter();
    let chunk = events.map(|event| {
        let mut chunk = event["data"].clone();
        let members = chunk.as_object_mut().expect("a chunk");
        own.iter().for_each(|name| drop(members.remove(*name)));
        chunk
    });
    chunk.collect()
}

/// A turn: how it ended, when `meanwhile` was done.
fn turn(daemon: &Daemon, chat: &str, prompt: &str, meanwhile: impl FnOnce(&mut Socket)) -> Value {
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let params = json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", params);
    meanwhile(&mut socket);
    asking.answer(asked).expect("the turn ends")["outcome"].clone()
}

/// Allows what the agent asks.
fn allow(socket: &mut Socket, chat: &str) {
    processes::eventually("it asks", || {
        let params = json!({"session_id": chat, "status": "pending"});
        let found = socket.ok("approval.list", params);
        let Some(approval) = found["approvals"][0]["approval_id"].as_str() else { return false };
        socket.ok("approval.decide", json!({"approval_id": approval, "decision": "allow_once"}));
        true
    });
}

/// Cancels the turn once the agent says that it waits.
fn cancel(socket: &mut Socket, chat: &str) {
    processes::eventually("it waits", || {
        chunks(socket, chat).iter().any(|chunk| chunk["content"] == "waiting")
    });
    assert_eq!(socket.ok("chat.cancel", json!({"session_id": chat}))["cancelled"], true);
}

/// Turns, a question that is allowed, a cancel, a crash, another process, an end.
fn converse(daemon: &Daemon, chat: &str) {
    let outcomes = [
        turn(daemon, chat, "hello", |_| {}),
        turn(daemon, chat, "count 20", |_| {}),
        turn(daemon, chat, "run something", |socket| allow(socket, chat)),
        turn(daemon, chat, "wait", |socket| cancel(socket, chat)),
        turn(daemon, chat, "exit 3", |_| {}),
        turn(daemon, chat, "on", |_| {}),
    ];
    let (done, cancelled, crashed) = ("completed", "cancelled", "interrupted");
    assert_eq!(outcomes, [done, done, done, cancelled, crashed, done]);
    daemon.socket().ok("chat.stop", json!({"session_id": chat}));
}

#[test]
fn a_recorded_conversation_replays_to_the_same_chunks_and_another_one_fails_with_a_difference() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let file = daemon.home.path().join("session.jsonl").display().to_string();
    let chat = create(&mut socket, json!({"backend": "basic", "record": file}));
    converse(&daemon, &chat);
    let expected = chunks(&mut socket, &chat);

    let replayed = json!({"backend": "replay", "command": [file]});
    let chat = create(&mut socket, replayed.clone());
    converse(&daemon, &chat);
    let told = chunks(&mut socket, &chat);
    for (at, (told, expected)) in told.iter().zip(&expected).enumerate() {
        assert_eq!(told, expected, "chunk {at}");
    }
    assert_eq!(told.len(), expected.len());

    let chat = create(&mut socket, replayed);
    let params = json!({"session_id": chat, "prompt": "hullo", "wait": true, "timeout_secs": 600});
    let turn = socket.ok("chat.prompt", params);
    let message = turn["error"]["message"].as_str().expect("it says why");
    assert!(message.ends_with(r#"at character 9: recorded "ello", sent "ullo""#), "{message}");
    assert!(Path::new(&file).is_file());
}

#[test]
fn every_command_of_the_guide_gives_what_it_shows() {
    let daemon = Daemon::start();
    let guide = fs::read_to_string(root().join("docs/record-and-replay.md")).expect("a guide");
    let steps: Vec<Step> = blocks(&guide, "console").iter().flat_map(|b| steps(b)).collect();
    assert_eq!(steps.len(), 3, "the guide has a session");
    let run: Vec<&Step> = steps.iter().collect();
    for (step, printed) in run.iter().zip(session(&daemon.home, &run)) {
        let (command, shown) = (&step.command, &step.shown);
        // Who looks at a page does not see spaces at the end of a line.
        let printed = printed.replace(" \n", "\n");
        assert!(matches(shown, &printed), "$ {command}\n{printed}--- shown is:\n{shown}");
    }
}

//! Agents that nobody knows by name, through the real daemon: by their command line alone.

use std::process::Command;

use serde_json::{Value, json};

use crate::house::root;
use crate::rig::daemon::Daemon;
use crate::rig::socket::Socket;
use crate::rig::{Caller, processes, skip};

/// The command line of the smallest ACP agent; none where there is no Python.
fn smallest() -> Option<Vec<String>> {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        skip("there is no python3");
        return None;
    }
    let path = root().join("examples/acp_agent.py").into_os_string();
    Some(vec!["python3".to_owned(), path.into_string().expect("a path of text")])
}

/// An agent of this type by its command line alone; its chat.
fn agent(socket: &mut Socket, kind: &str, command: &[String]) -> String {
    let params = json!({"agent_type": kind, "config": {"command": command}});
    let spawned = socket.ok("agent.spawn", params);
    spawned["session_id"].as_str().expect("it has a chat").to_owned()
}

fn begin(socket: &mut Socket, chat: &str, prompt: &str) -> u64 {
    let params = json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
    socket.begin("chat.prompt", params)
}

fn ask(socket: &mut Socket, chat: &str, prompt: &str) -> (String, String) {
    let asked = begin(socket, chat, prompt);
    end(socket, asked)
}

/// How a turn ended and what was said in it.
fn end(socket: &mut Socket, asked: u64) -> (String, String) {
    let turn = socket.answer(asked).expect("the turn ends");
    let text = |name: &str| turn[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("content"))
}

fn is(turn: (&str, &str)) -> (String, String) {
    (turn.0.to_owned(), turn.1.to_owned())
}

/// The chunks of a chat of this type.
fn chunks(socket: &mut Socket, chat: &str, kind: &str) -> Vec<Value> {
    let page = socket.ok("event.read", json!({"topics": [format!("chat/{chat}")], "limit": 1000}));
    let events = page["events"].as_array().expect("events").iter();
    events.map(|event| event["data"].clone()).filter(|data| data["type"] == kind).collect()
}

#[test]
fn an_acp_agent_answers_asks_is_cancelled_and_says_what_nobody_knows() {
    let Some(command) = smallest() else { return };
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let chat = agent(&mut socket, "acp", &command);
    assert_eq!(ask(&mut socket, &chat, "hello"), is(("completed", "you said: hello")));

    for (decision, there) in [("deny", false), ("allow_once", true)] {
        let file = daemon.home.path().join(decision);
        let asked = begin(&mut asking, &chat, &format!("touch {}", file.display()));
        let mut found = Value::Null;
        processes::eventually("it asks", || {
            let params = json!({"session_id": chat, "status": "pending"});
            found = socket.ok("approval.list", params)["approvals"][0]["approval_id"].clone();
            found.is_string()
        });
        socket.ok("approval.decide", json!({"approval_id": found, "decision": decision}));
        let said = if there { "done" } else { "I was not allowed to" };
        assert_eq!(end(&mut asking, asked), is(("completed", said)));
        assert_eq!(file.exists(), there, "{decision}");
    }

    let asked = begin(&mut asking, &chat, "wait");
    processes::eventually("it speaks", || {
        chunks(&mut socket, &chat, "text").last().is_some_and(|text| text["content"] == "waiting")
    });
    assert_eq!(socket.ok("chat.cancel", json!({"session_id": chat}))["cancelled"], true);
    assert_eq!(end(&mut asking, asked), is(("cancelled", "waiting")));

    assert_eq!(ask(&mut socket, &chat, "odd"), is(("completed", "odd refused")));
    let raw = chunks(&mut socket, &chat, "raw");
    assert!(raw.iter().any(|chunk| chunk["line"] == "this is no JSON"), "{raw:?}");

    assert_eq!(ask(&mut socket, &chat, "leave"), is(("interrupted", "so long")));
    // It remembers nothing: that is said, and no conversation is begun anew in its place.
    let asked = begin(&mut socket, &chat, "again");
    let turn = socket.answer(asked).expect("the turn ends");
    assert_eq!((&turn["outcome"], &turn["content"]), (&json!("failed"), &json!("")));
    let why = turn["error"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("cannot"), "{turn}");
}

#[test]
fn a_program_that_answers_lines_with_lines_is_a_chat() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "while read l; do echo \"you said $l\"; done";
    let params = json!({
        "backend": "line-talk", "command": ["sh", "-c", script], "approvals": "allow_all",
    });
    let chat = socket.ok("chat.create", params)["session_id"].clone();
    let chat = chat.as_str().expect("an identifier");
    assert_eq!(ask(&mut socket, chat, "hello"), is(("completed", "you said hello\n")));
    let both = "you said one\nyou said two\n";
    assert_eq!(ask(&mut socket, chat, "one\ntwo"), is(("completed", both)));
    assert_eq!(chunks(&mut socket, chat, "complete"), Vec::<Value>::new(), "it is one process");
}

#[test]
fn what_a_program_says_word_by_word_is_all_there_also_the_last() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let words = "i=0; while [ $i -lt 200 ]; do echo \"word $i\"; sleep 0.001; i=$((i+1)); done";
    let script = format!("read l; {words}; printf 'no newline'");
    let params = json!({
        "agent_type": "line-talk", "config": {"command": ["sh", "-c", script], "approvals": "allow_all"},
    });
    let spawned = socket.ok("agent.spawn", params);
    socket.ok("chat.prompt", json!({"session_id": spawned["session_id"], "prompt": "go"}));
    let agent = &spawned["agent_id"];
    socket.ok("agent.wait", json!({"agent_id": agent, "timeout_secs": 600}));
    let logs = socket.ok("agent.logs", json!({"agent_id": agent, "limit": 1000}));
    let logs = logs["logs"].as_array().expect("rows");
    let said: Vec<_> = logs.iter().map(|row| row["message"].as_str().expect("a text")).collect();
    let mut all: Vec<_> = (0..200).map(|word| format!("word {word}")).collect();
    all.push("no newline".to_owned());
    assert_eq!(said, all);
}

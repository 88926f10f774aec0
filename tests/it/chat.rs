//! Chats with the bundled agent, through the real daemon: turns, questions, ends.

mod approvals;
mod busy;
mod ends;
mod guide;
mod inside;
mod remote;
mod story;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use story::{Story, chunks};

use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, processes, torture};

/// Makes a chat with the bundled agent.
pub(crate) fn chat(socket: &mut Socket, more: &Value) -> String {
    let mut params = json!({"backend": "basic"});
    params.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
    let created = socket.ok("chat.create", params);
    created["session_id"].as_str().expect("an identifier").to_owned()
}

/// Asks something and waits for the end of the turn.
fn ask(socket: &mut Socket, chat: &str, prompt: &str) -> Value {
    let params = json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
    socket.ok("chat.prompt", params)
}

/// What a chat is like now.
fn get(socket: &mut Socket, chat: &str) -> Value {
    socket.ok("chat.get", json!({"session_id": chat}))
}

fn until(socket: &mut Socket, chat: &str, status: &str) {
    processes::eventually(status, || get(socket, chat)["status"] == status);
}

/// The types of a chat's chunks, in order; what agents are busy with is left out.
fn types(socket: &mut Socket, chat: &str) -> Vec<String> {
    types_of(&chunks(socket, chat))
}

fn types_of(chunks: &[Value]) -> Vec<String> {
    let types = chunks.iter().map(|chunk| chunk["type"].as_str().expect("a type").to_owned());
    types.filter(|kind| kind != "status").collect()
}

/// The approval that a chat waits for.
pub(crate) fn approval(socket: &mut Socket, chat: &str) -> String {
    until(socket, chat, "waiting_approval");
    let params = json!({"session_id": chat, "status": "pending"});
    let found = socket.ok("approval.list", params);
    found["approvals"][0]["approval_id"].as_str().expect("one waits").to_owned()
}

#[test]
fn ten_turns_follow_each_other_in_one_process() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({"title": "ten"}));
    for turn in 1..=10 {
        let answered = ask(&mut socket, &chat, &format!("hello {turn}"));
        assert_eq!(answered["turn"], turn);
        assert_eq!(answered["content"], format!("you said: hello {turn}"));
        assert_eq!(answered["outcome"], "completed");
    }
    let long = ask(&mut socket, &chat, "count 2000");
    let expected: String = (1..=2000).map(|number| format!("{number} ")).collect();
    assert_eq!(long["content"], expected);
    let stopped = socket.ok("chat.stop", json!({"session_id": chat}));
    assert_eq!(stopped["success"], true);
    let agent = get(&mut socket, &chat)["agent_id"].clone();
    let agent = socket.ok("agent.get", json!({"agent_id": agent}));
    assert_eq!(agent["run"], 1);
    assert!(agent["pid"].is_null(), "{agent}");
    let told = chunks(&mut socket, &chat);
    let story = Story::of(&told);
    assert_eq!((story.turns.len(), &*story.turns[&11].text), (11, &*expected));
    let kinds = types_of(&told);
    assert_eq!(kinds[kinds.len() - 3..], ["turn_complete", "complete", "closed"]);
}

#[test]
fn a_cancelled_turn_keeps_what_was_said_and_the_next_one_works() {
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let chat = chat(&mut socket, &json!({}));
    let params = json!({"session_id": chat, "prompt": "wait", "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", params);
    processes::eventually("it speaks", || types(&mut socket, &chat).contains(&"text".to_owned()));
    let cancelled = socket.ok("chat.cancel", json!({"session_id": chat}));
    assert_eq!(cancelled["cancelled"], true);
    let turn = asking.answer(asked).expect("the turn ends");
    assert_eq!((&turn["outcome"], &turn["content"]), (&json!("cancelled"), &json!("waiting")));
    assert_eq!(ask(&mut socket, &chat, "on")["content"], "you said: on");
    let expected =
        ["turn_started", "text", "turn_complete", "turn_started", "text", "turn_complete"];
    assert_eq!(types(&mut socket, &chat), expected);
}

#[test]
fn what_is_allowed_is_done_and_what_is_denied_is_not_as_a_file_shows() {
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let chat = chat(&mut socket, &json!({}));
    for (decision, there) in [("deny", false), ("allow_once", true)] {
        let file = daemon.home.path().join(decision);
        let prompt = format!("write {}", file.display());
        let params =
            json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
        let asked = asking.begin("chat.prompt", params);
        let approval = approval(&mut socket, &chat);
        let params = json!({"approval_id": approval, "decision": decision});
        socket.ok("approval.decide", params);
        let turn = asking.answer(asked).expect("the turn ends");
        assert_eq!(turn["outcome"], "completed", "{turn}");
        assert_eq!(file.exists(), there, "{decision}");
    }
    let expected = [
        "turn_started",
        "tool_use_start",
        "tool_use_input",
        "approval_requested",
        "approval_resolved",
        "tool_result",
        "text",
        "turn_complete",
    ];
    assert_eq!(types(&mut socket, &chat)[..8], expected);
}

#[test]
fn what_nobody_decides_is_denied_at_its_deadline_and_the_turn_goes_on() {
    let setup = Setup::new().only_config("[approvals]\ndeadline_secs = 1\n");
    let daemon = setup.start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({}));
    let turn = ask(&mut socket, &chat, "run something");
    assert_eq!(
        (&turn["outcome"], &turn["content"]),
        (&json!("completed"), &json!("denied: nobody decided in time"))
    );
    let found = socket.ok("approval.list", json!({"session_id": chat}));
    assert_eq!(found["approvals"][0]["status"], "expired");
}

#[test]
fn a_killed_daemon_leaves_the_turn_interrupted_and_the_conversation_goes_on() {
    let daemon = Daemon::start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let chat = chat(&mut socket, &json!({}));
    assert_eq!(ask(&mut socket, &chat, "before")["outcome"], "completed");
    let native = get(&mut socket, &chat)["native_session_id"].clone();
    asking.begin("chat.prompt", json!({"session_id": chat, "prompt": "run x", "wait": true}));
    let approval = approval(&mut socket, &chat);
    let daemon = Setup::at(&daemon.kill9()).start();
    let mut socket = daemon.socket();
    let record = get(&mut socket, &chat);
    assert_eq!((&record["status"], &record["is_active"]), (&json!("idle"), &json!(false)));
    let resolved = socket.ok("approval.get", json!({"approval_id": approval}));
    assert_eq!(resolved["status"], "cancelled");
    let told = types(&mut socket, &chat);
    assert_eq!(told[told.len() - 3..], ["approval_resolved", "turn_complete", "complete"]);
    let answered = ask(&mut socket, &chat, "after");
    assert_eq!((&answered["turn"], &answered["content"]), (&json!(3), &json!("you said: after")));
    assert_eq!(get(&mut socket, &chat)["native_session_id"], native);
}

#[test]
fn an_agent_that_hears_no_cancel_is_ended_when_the_chat_is_stopped() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({}));
    socket.ok("chat.prompt", json!({"session_id": chat, "prompt": "deaf"}));
    let agent = get(&mut socket, &chat)["agent_id"].clone();
    let pid = socket.ok("agent.get", json!({"agent_id": agent}))["pid"].clone();
    let pid = pid.as_u64().expect("a process");
    let stopped = socket.ok("chat.stop", json!({"session_id": chat}));
    assert_eq!(stopped["outcome"], "cancelled", "{stopped}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} runs");
    let told = types(&mut socket, &chat);
    assert_eq!(told[told.len() - 2..], ["complete", "closed"]);
}

/// What chat `number` is asked in `round`, and what its turn comes to: its outcome and its text.
fn asked_in(round: usize, number: usize) -> (String, &'static str, String) {
    match (round, number % 4) {
        (1, 0) => ("exit 3".to_owned(), "interrupted", String::new()),
        (1, 1) => ("break".to_owned(), "completed", "this is the whole answer".to_owned()),
        (1, 2) => {
            let said = (1..=200).map(|piece| format!("{piece} ")).collect();
            ("count 200".to_owned(), "completed", said)
        }
        (1, 3) => {
            let file = format!("no/such/folder/{number}");
            let denied = "denied: nothing is allowed in this session".to_owned();
            (format!("write {file}"), "completed", denied)
        }
        _ => {
            let hello = format!("hello {round} from {number}");
            let said = format!("you said: {hello}");
            (hello, "completed", said)
        }
    }
}

#[test]
fn torture_many_chats_at_once_do_not_disturb_each_other() {
    const ROUNDS: usize = 4;
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let count = torture(50).max(8);
    let mut sockets: Vec<_> = (0..count).map(|_| daemon.socket()).collect();
    let quiet = json!({"approvals": "deny"});
    let chats: Vec<_> = (0..count).map(|_| chat(&mut socket, &quiet)).collect();
    for round in 0..ROUNDS {
        let mut asked = Vec::new();
        for (number, (socket, chat)) in sockets.iter_mut().zip(&chats).enumerate() {
            let prompt = asked_in(round, number).0;
            let params =
                json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
            asked.push(socket.begin("chat.prompt", params));
        }
        for (number, (socket, asked)) in sockets.iter_mut().zip(asked).enumerate() {
            let turn = socket.answer(asked).expect("the turn ends");
            let (_, outcome, said) = asked_in(round, number);
            assert_eq!((&turn["outcome"], &turn["content"]), (&json!(outcome), &json!(said)));
        }
    }
    for (number, chat) in chats.iter().enumerate() {
        let story = Story::of(&chunks(&mut socket, chat));
        assert_eq!(story.turns.len(), ROUNDS);
        for (turn, round) in story.turns.values().zip(0..) {
            let (_, outcome, said) = asked_in(round, number);
            assert_eq!((&*turn.outcome, &turn.text), (outcome, &said));
        }
    }
}

/// Runs `descartes` with `input`; what it prints and how it exits.
fn descartes(home: &Home, arguments: &[&str], input: &str) -> (String, i32) {
    let mut command = home.command("descartes");
    command.arg("--data-dir").arg(home.data()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("descartes runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.code().expect("a code"))
}

#[test]
fn the_command_line_runs_one_turn_and_talks_until_its_input_ends() {
    let daemon = Daemon::start();
    let run = |prompt: &str| descartes(&daemon.home, &["run", "-t", "basic", prompt], "");
    assert_eq!(run("hello"), ("you said: hello\n".to_owned(), 0));
    assert_eq!(run("fail on purpose"), ("\n".to_owned(), 1));
    let timed = &["run", "-t", "basic", "--timeout", "1", "wait"];
    assert_eq!(descartes(&daemon.home, timed, "").1, 124);
    let talked = descartes(&daemon.home, &["chat", "-t", "basic"], "one\ncount 3\n");
    assert_eq!(talked, ("you said: one\n1 2 3 \n".to_owned(), 0));
    let (lines, _) = descartes(&daemon.home, &["--json", "run", "-t", "basic", "hi"], "");
    let last: Value = serde_json::from_str(lines.lines().last().expect("lines")).expect("JSON");
    assert_eq!(last["data"]["type"], "turn_complete");
    let (listed, _) = descartes(&daemon.home, &["approvals"], "");
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

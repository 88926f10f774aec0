//! The recorded sessions, each with all that is made of it.

use serde_json::{Value, json};

use super::AppServer;
use crate::dialect::transcript::{Played, expect, merged, read};
use crate::dialect::{Codex, Dialect, Input, LaunchWords, SessionSpec};

const FIRST: &str = "01a1fb60-7091-7b31-b3a4-5a18becab43a";

/// The recording `codex-appserver{name}`, of a new conversation or of the one called `native`.
fn play(name: &str, native: Option<&str>) -> Played<Codex> {
    let mut spec = SessionSpec::new(uuid::Uuid::nil(), "/opt/lab-real/proj");
    spec.native = native.map(Into::into);
    let mut codex = Codex::new();
    codex.launch(&spec, &mut LaunchWords::default());
    let mut played = Played::open(&AppServer, codex);
    played.play(&AppServer, &read(&format!("codex-appserver{name}.session.jsonl")));
    played
}

/// Compares what was made of the recording with what is expected; `raw` lines are not understood.
fn check(name: &str, raw: usize) {
    let (told, not_understood): (Vec<String>, Vec<String>) =
        merged(&play(name, None).actions).into_iter().partition(|line| !line.contains(" raw "));
    expect(&format!("codex-appserver{name}"), &told);
    assert_eq!(not_understood.len(), raw);
}

#[test]
fn a_session_of_a_tool_allowed_one_denied_and_a_cancel() {
    // The answers to what its recorder tried out besides.
    check("", 2);
}

#[test]
fn what_is_sent_in_it_is_what_was_sent_when_it_was_recorded() {
    let sent = play("", None).sent;
    let words = |line: &Value| match line["method"].as_str() {
        Some(method) => method.to_owned(),
        None => line["result"]["decision"].as_str().expect("a decision is sent").to_owned(),
    };
    let words: Vec<String> = sent.iter().map(words).collect();
    assert_eq!(
        words,
        [
            "initialize",
            "initialized",
            "thread/start",
            "turn/start",
            "accept",
            "turn/start",
            "decline",
            "turn/start",
            "turn/interrupt",
        ]
    );
    let interrupt = json!({"threadId": FIRST, "turnId": "01a1fb60-7233-7033-8356-73a2e6dd5043"});
    assert_eq!(sent[8]["params"], interrupt);
}

#[test]
fn a_session_of_thirteen_turns_with_thoughts_tools_side_by_side_and_decisions_of_every_kind() {
    // The answer to an interrupt of no turn at all is taken for that of the commands' end.
    check("-tools", 0);
}

#[test]
fn a_session_of_every_way_in_which_the_model_fails() {
    check("-errors", 0);
}

#[test]
fn a_session_of_changed_files_and_an_interrupt_at_a_question() {
    check("-files", 0);
}

#[test]
fn a_session_of_attempts_that_broke_behind_complete_items() {
    check("-cuts", 0);
}

#[test]
fn a_session_of_a_sub_agent_that_speaks_between() {
    check("-subagent", 0);
}

#[test]
fn a_resumed_conversation_keeps_its_name_and_is_interrupted_by_the_end_of_its_process() {
    let mut played = play("-resume", Some(FIRST));
    played.input(&AppServer, Input::Ended { code: Some(0), signal: None });
    assert!(played.text(1).starts_with("tick 1 tick 2 ") && played.text(1).ends_with("tick 383 "));
    let did = merged(&played.actions);
    assert_eq!(
        did[..4],
        [
            &*format!("session {FIRST}"),
            "ready turns resume approvals cancel models",
            "activity thinking",
            "mark",
        ]
    );
    let end = did.last().expect("the turn ended");
    assert!(end.starts_with("end 1 interrupted agent_crashed "), "{end}");
    assert_eq!(did.len(), 6);
    assert_eq!(played.sent[2]["method"], "thread/resume");
    assert_eq!(played.sent[2]["params"]["threadId"], FIRST);
}

#[test]
fn a_conversation_that_is_not_known_fails_the_turn_and_ends_the_process() {
    let mut played = play("-resume-unknown", Some("11111111-2222-7333-8444-555555555555"));
    played.prompt(&AppServer, "hello");
    assert_eq!(
        merged(&played.actions),
        [
            "close stdin",
            "end 1 failed protocol \"thread/resume: no rollout found for thread id \
         11111111-2222-7333-8444-555555555555\" hint \"it does not know this conversation: begin a \
         new one\"",
        ]
    );
}

#[test]
fn the_text_of_a_turn_is_what_the_model_sent_once() {
    let played = play("-errors", None);
    let texts: Vec<String> = (1..=12).map(|turn| played.text(turn)).collect();
    let (recovered, cut) = ("Recovered after 1 failures.", "part 1 part 2 part 3 ");
    let second = "Recovered after 2 failures.";
    assert_eq!(
        texts,
        ["", "", "", second, "", recovered, cut, recovered, cut, recovered, cut, "fine"]
    );
}

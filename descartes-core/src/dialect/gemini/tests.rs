//! The dialect of Gemini's JSON lines and its recorded sessions.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::Gemini;
use crate::dialect::transcript::{Entry, expect, known, merged, read, told};
use crate::dialect::{Action, ApprovalMode, Dialect, Input, LaunchWords, Prompt, SessionSpec};
use crate::event::StreamName;

/// What the dialect does with these lines between a prompt and an end.
fn run<'a>(lines: impl Iterator<Item = (StreamName, &'a [u8])>, code: Option<i32>) -> Vec<Action> {
    let (mut gemini, now, mut out) = (Gemini::new(), Instant::now(), Vec::new());
    let prompt = Prompt::text("do it");
    gemini.handle(now, Input::Prompt { turn: 1, prompt: &prompt }, &mut out);
    gemini.handle(now, Input::Opened, &mut out);
    for (stream, bytes) in lines {
        gemini.handle(now, Input::Line { stream, bytes }, &mut out);
        gemini.handle(now, Input::Tick, &mut out);
    }
    gemini.handle(now, Input::Ended { code, signal: None }, &mut out);
    out
}

/// The lines of a recording, and the exit code.
fn lines(entries: &[Entry]) -> (Vec<(StreamName, String)>, Option<i32>) {
    let lines = entries.iter().filter_map(|entry| match &*entry.dir {
        "out" => Some((StreamName::Stdout, entry.data.to_string())),
        "err" => Some((StreamName::Stderr, entry.data.as_str()?.to_owned())),
        _ => None,
    });
    let exit = entries.iter().find(|entry| entry.dir == "exit").expect("it ended");
    let code = exit.data["rc"].as_i64().and_then(|code| i32::try_from(code).ok());
    (lines.collect(), code)
}

fn play(name: &str) {
    let (lines, code) = lines(&read(&format!("{name}.session.jsonl")));
    let bytes = lines.iter().map(|(stream, line)| (*stream, line.as_bytes()));
    expect(name, &told(&run(bytes, code)));
}

#[test]
fn recorded_turns_are_told_as_they_were() {
    for name in ["gemini-plain", "gemini-mixed", "gemini-midfail", "gemini-resume", "gemini-stdin"]
    {
        play(name);
    }
}

#[test]
fn recorded_failures_are_told_as_they_were() {
    for name in ["gemini-error400", "gemini-error401", "gemini-resume-unknown"] {
        play(name);
    }
}

#[test]
fn the_prompt_is_standard_input_and_that_is_closed() {
    let actions = run(std::iter::empty(), Some(0));
    assert_eq!(actions[1..3], [Action::Send(b"do it".to_vec()), Action::CloseStdin]);
    let end = "end 1 failed agent_crashed \"the agent ended in the middle, with exit code 0\"";
    assert_eq!(merged(&actions).pop().as_deref(), Some(end));
}

#[test]
fn the_command_line_says_what_is_wanted() {
    let mut words = LaunchWords::default();
    let mut session = SessionSpec::new(Uuid::nil(), "/home/user/proj");
    Gemini::new().launch(&session, &mut words);
    let fixed = ["--output-format", "stream-json", "--approval-mode"];
    let id = Uuid::nil().to_string();
    assert_eq!(words.args, [&fixed[..], &["default", "--session-id", &id]].concat());
    session.native = Some("g1".into());
    session.model = Some("flash".into());
    session.approvals = ApprovalMode::AllowAll;
    words.args.clear();
    Gemini::new().launch(&session, &mut words);
    let more = ["yolo", "--model", "flash", "--resume", "g1"];
    assert_eq!(words.args, [&fixed[..], &more].concat());
}

#[test]
fn lines_that_were_not_recorded_are_understood_too() {
    let lines = [
        json!({"type": "tool_result", "tool_id": "t", "status": "error", "error": {"message": "no"}}),
        json!({"type": "error", "severity": "error", "message": "429 slow down"}),
        json!({"type": "something"}),
        json!({"type": "result", "status": "success"}),
        json!({"type": "message", "role": "assistant", "content": "late"}),
    ];
    let lines = lines.map(|line| line.to_string());
    let bytes = lines.iter().map(|line| (StreamName::Stdout, line.as_bytes()));
    let actions = told(&run(bytes, Some(0)));
    let expected = [
        "ready turns resume models",
        "close stdin",
        "1 result t failed \"no\"",
        "1 error rate_limited \"429 slow down\"",
    ];
    assert_eq!(actions[..4], expected);
    let raw = actions.iter().filter(|line| line.starts_with("1 raw")).count();
    assert_eq!((raw, &*actions[6]), (2, "end 1 completed"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken_and_the_known_stays_the_same(
        extra in prop::collection::vec((any::<usize>(), any::<Vec<u8>>()), 0..8),
    ) {
        let (lines, code) = lines(&read("gemini-mixed.session.jsonl"));
        let mut all = Vec::new();
        for (at, (stream, line)) in lines.iter().enumerate() {
            let more = extra.iter().filter(|(place, _)| place % lines.len() == at);
            all.extend(more.map(|(_, bytes)| (StreamName::Stdout, bytes.as_slice())));
            all.push((*stream, line.as_bytes()));
        }
        let bytes = lines.iter().map(|(stream, line)| (*stream, line.as_bytes()));
        prop_assert_eq!(known(&run(all.into_iter(), code)), known(&run(bytes, code)));
    }
}

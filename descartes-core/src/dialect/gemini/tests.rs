//! The dialect of Gemini's JSON lines and its recorded sessions.

use std::time::Instant;

use serde_json::json;
use uuid::Uuid;

use super::Gemini;
use crate::dialect::transcript::{Entry, Stdin, Subject, exit_code, expect, merged, read, told};
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
    (lines.collect(), exit_code(entries))
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
        json!({"type": "tool_use", "tool_id": "t", "tool_name": "look"}),
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
        "1 tool look t",
        "1 result t failed \"no\"",
        "1 error rate_limited \"429 slow down\"",
    ];
    assert_eq!(actions[..5], expected);
    let raw = actions.iter().filter(|line| line.starts_with("1 raw")).count();
    assert_eq!((raw, &*actions[7]), (2, "end 1 completed"));
}

static GEMINI: Subject = Subject {
    prefix: "gemini-",
    wire: &Stdin,
    make: |_| Box::new(Gemini::new()),
    prepare,
    strange: &[
        r#"{"type":"init"}"#,
        r#"{"type":"message","role":"narrator","content":"x"}"#,
        r#"{"type":"tool_use","tool_name":"x"}"#,
        r#"{"type":"tool_result","tool_id":"never","output":"x"}"#,
        r#"{"type":"error"}"#,
    ],
};

/// Its prompt was an argument when most of it was recorded.
fn prepare(_name: &str, entries: &mut Vec<Entry>) {
    entries.retain(|entry| entry.dir != "in");
    entries.insert(0, Entry { t: 0.0, dir: "in".into(), data: json!("do it") });
}

#[test]
fn its_recordings_replay() {
    GEMINI.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    GEMINI.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    GEMINI.no_order_breaks_a_promise();
}

//! The dialect against recorded sessions, and against what no recording shows.

use std::time::{Duration, Instant};

use super::CodexExec;
use crate::dialect::transcript::{Entry, Stdin, Subject, read, told};
use crate::dialect::{
    Action, ApprovalMode, Dialect, Input, LaunchWords, Prompt, SessionSpec, Thinking,
};
use crate::event::StreamName;

/// A process that is shown `entries`, for a conversation that is resumed or not.
fn played(entries: &[Entry], resumed: bool) -> Vec<Action> {
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut spec = SessionSpec::new(uuid::Uuid::nil(), "/proj");
    spec.native = resumed.then(|| "old".into());
    let mut exec = CodexExec::new();
    exec.launch(&spec, &mut LaunchWords::default());
    exec.handle(now, Input::Opened, &mut out);
    for entry in entries {
        let text = entry.data.as_str().map_or_else(|| entry.data.to_string(), ToOwned::to_owned);
        let line = |stream| Input::Line { stream, bytes: text.as_bytes() };
        let prompt = Prompt::text(text.as_str());
        let code = entry.data["rc"].as_i64().and_then(|code| i32::try_from(code).ok());
        let input = match &*entry.dir {
            "in" => Input::Prompt { turn: 1, prompt: &prompt },
            "out" => line(StreamName::Stdout),
            "err" => line(StreamName::Stderr),
            "exit" => Input::Ended { code, signal: None },
            _ => continue,
        };
        exec.handle(now, input, &mut out);
    }
    out
}

fn lines(name: &str, resumed: bool) -> Vec<String> {
    let entries = read(&format!("codex-exec-{name}.session.jsonl"));
    told(&played(&entries, resumed))
}

#[test]
fn a_turn_is_told_whole() {
    assert_eq!(
        lines("turn1", false),
        [
            "ready turns resume models",
            "close stdin",
            "session 01a1fb60-c9c2-7832-944c-5e32afec59e2",
            "1 text[0] \"first\"",
            "end 1 completed in=3146 cached=0 out=1",
        ]
    );
}

#[test]
fn what_a_resumed_conversation_used_in_a_turn_is_not_known() {
    assert_eq!(lines("resume", true)[3..], ["1 text[0] \"second turn\"", "end 1 completed"]);
}

#[test]
fn the_prompt_is_all_that_is_sent() {
    let entries = read("codex-exec-turn1.session.jsonl");
    let sent: Vec<Action> = played(&entries, false)
        .into_iter()
        .filter(|action| matches!(action, Action::Send(_)))
        .collect();
    assert_eq!(sent, [Action::Send(br#"[[stub:text say="first"]]"#.to_vec())]);
}

#[test]
fn a_tool_is_shown_with_what_it_was_given_and_gave() {
    let did = lines("approval-never", false);
    let command = "/bin/bash -lc 'touch /opt/lab-real/proj/cx-made'";
    assert_eq!(
        did[3..6],
        [
            "1 tool command_execution item_1".to_owned(),
            format!("1 input item_1 \"\" {{\"command\":\"{command}\"}}"),
            "1 result item_1 failed \"touch: cannot touch '/opt/lab-real/proj/cx-made': Read-only \
         file system\\n\""
                .to_owned(),
        ]
    );
    assert!(did[6].starts_with("1 text[0] \"The tool answered: Chunk ID: 259a13\\nWall"));
    assert_eq!(did[7..], ["end 1 completed in=6266 cached=0 out=14"]);
}

#[test]
fn a_turn_that_fails_says_why() {
    let busy = "We’re currently experiencing high demand, which may cause temporary errors.";
    assert_eq!(
        lines("error500", false)[3..],
        [
            format!("1 error model_error \"Reconnecting... 1/1 ({busy})\""),
            format!("end 1 failed model_error \"{busy}\""),
        ]
    );
    let did = lines("error400", false);
    assert_eq!(did.len(), 4);
    assert!(did[3].starts_with("end 1 failed model_error \"{\\\"error\\\""), "{}", did[3]);
}

#[test]
fn a_conversation_that_is_not_known_fails_the_turn() {
    let did = lines("resume-unknown", true);
    let why = "Error: thread/resume: thread/resume failed: no rollout found for thread id \
               11111111-2222-7333-8444-555555555555 (code -32600)";
    let end = did.last().expect("it ended");
    assert!(end.starts_with("end 1 failed agent_crashed \"") && end.contains(why), "{end}");
}

#[test]
fn a_long_answer_is_one_piece() {
    let did = lines("long", false);
    assert!(did[3].starts_with("1 text[0] \"0001 xxx") && did[3].len() > 12_000);
    assert_eq!(did[4..], ["end 1 completed in=3146 cached=0 out=500"]);
}

fn running() -> (CodexExec, Instant, Vec<Action>) {
    let (mut exec, now) = (CodexExec::new(), Instant::now());
    let mut out = Vec::new();
    exec.handle(now, Input::Opened, &mut out);
    exec.handle(now, Input::Prompt { turn: 1, prompt: &Prompt::text("hi") }, &mut out);
    out.clear();
    (exec, now, out)
}

#[test]
fn a_cancel_is_a_signal_and_the_turn_is_cancelled_whatever_the_exit_code() {
    let (mut exec, now, mut out) = running();
    exec.handle(now, Input::Cancel { turn: 1 }, &mut out);
    exec.handle(now, Input::Cancel { turn: 1 }, &mut out);
    exec.handle(now, Input::Ended { code: Some(1), signal: None }, &mut out);
    assert_eq!(told(&out), ["signal interrupt", "end 1 cancelled"]);
}

#[test]
fn a_process_that_is_killed_interrupts_the_turn_and_one_that_exits_fails_it() {
    let (mut exec, now, mut out) = running();
    exec.handle(now, Input::Ended { code: None, signal: Some(9) }, &mut out);
    let end = "end 1 interrupted agent_crashed \"the agent was ended by signal 9\"";
    assert_eq!(told(&out), [end]);
    let (mut exec, now, mut out) = running();
    exec.handle(now, Input::Ended { code: Some(0), signal: None }, &mut out);
    let end = "end 1 failed agent_crashed \"the agent ended in the middle, with exit code 0\"";
    assert_eq!(told(&out), [end]);
}

#[test]
fn a_process_that_does_not_end_after_its_turn_is_told_to() {
    let (mut exec, now, mut out) = running();
    let line = |bytes| Input::Line { stream: StreamName::Stdout, bytes };
    exec.handle(now, line(br#"{"type":"turn.completed"}"#), &mut out);
    assert_eq!(out, []);
    let due = exec.deadline().expect("it is waited for");
    exec.handle(due, Input::Tick, &mut out);
    exec.handle(due + Duration::from_secs(9), Input::Tick, &mut out);
    exec.handle(due, Input::Ended { code: None, signal: Some(15) }, &mut out);
    assert_eq!(told(&out), ["signal terminate", "end 1 completed"]);
}

#[test]
fn the_program_is_started_for_the_conversation_and_fenced_in() {
    let mut spec = SessionSpec::new(uuid::Uuid::nil(), "/proj");
    let launched = |spec: &SessionSpec| {
        let mut words = LaunchWords::default();
        CodexExec::new().launch(spec, &mut words);
        words.args.join(" ")
    };
    let plain = r#"exec --json --skip-git-repo-check -c sandbox_mode="read-only" -"#;
    assert_eq!(launched(&spec), plain);
    spec.approvals = ApprovalMode::AllowAll;
    spec.model = Some("m".into());
    spec.thinking = Thinking::Hard;
    spec.system_prompt = Some("be \"kind\"\n".into());
    spec.native = Some("old".into());
    assert_eq!(
        launched(&spec),
        concat!(
            "exec resume --json --skip-git-repo-check -c sandbox_mode=\"danger-full-access\" ",
            "-m m -c model_reasoning_effort=\"high\" ",
            "-c developer_instructions=\"be \\\"kind\\\"\\n\" old -"
        )
    );
    spec.approvals = ApprovalMode::AllowEdits;
    assert!(launched(&spec).contains("\"workspace-write\""));
}

static EXEC: Subject = Subject {
    prefix: "codex-exec-",
    wire: &Stdin,
    make: |_| Box::new(CodexExec::new()),
    prepare: |_, _| {},
    strange: &[
        r#"{"type":"item.started"}"#,
        r#"{"type":"item.completed","item":{"type":"novelty","id":"z"}}"#,
        r#"{"type":"item.completed","item":{"type":"agent_message"}}"#,
    ],
};

#[test]
fn its_recordings_replay() {
    EXEC.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    EXEC.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    EXEC.no_order_breaks_a_promise();
}

//! The dialect of `opencode run` and its recorded sessions.

use serde_json::{Value, json};
use uuid::Uuid;

use super::OpenCode;
use crate::dialect::transcript::{Entry, Played, Stdin, Subject, exit_code, expect, read, told};
use crate::dialect::{Action, ApprovalMode, Dialect, Input, LaunchWords, SessionSpec, Thinking};
use crate::event::{StreamName, TurnOutcome};

fn end(played: &mut Played<OpenCode>, entries: &[Entry]) {
    played.input(&Stdin, Input::Ended { code: exit_code(entries), signal: None });
}

fn play(name: &str) -> Played<OpenCode> {
    let entries = read(&format!("{name}.session.jsonl"));
    let mut played = Played::open(&Stdin, OpenCode::new());
    played.play(&Stdin, &entries);
    end(&mut played, &entries);
    expect(name, &told(&played.actions));
    played
}

fn says(played: &mut Played<OpenCode>, line: &Value) {
    let bytes = line.to_string();
    played.input(&Stdin, Input::Line { stream: StreamName::Stdout, bytes: bytes.as_bytes() });
}

#[test]
fn recorded_turns_are_told_as_they_were() {
    let played = play("opencode-mixed2");
    assert_eq!(played.text(1), "Let me run that.The tool answered: hi-from-tool\nREADME.md");
    assert_eq!(play("opencode-resume").text(1), "second turn");
    play("opencode-unicode");
    play("opencode-echo-stdin");
    let long = play("opencode-long");
    let sent = [Value::String("[[stub:long n=400 size=40]]".into())];
    assert_eq!(long.sent.len(), sent.len(), "the prompt is all that is written");
    assert!(long.actions.contains(&Action::CloseStdin));
}

#[test]
fn recorded_failures_are_told_as_they_were() {
    for name in ["opencode-error400", "opencode-resume-unknown"] {
        assert_eq!(play(name).ends()[0].outcome, TurnOutcome::Failed, "{name}");
    }
}

#[test]
fn the_command_line_says_what_is_wanted() {
    let mut words = LaunchWords::default();
    let mut session = SessionSpec::new(Uuid::nil(), "/home/user/proj");
    OpenCode::new().launch(&session, &mut words);
    assert_eq!(words.args, ["run", "--format", "json", "--thinking"]);
    session.native = Some("ses_1".into());
    session.model = Some("a/b".into());
    session.thinking = Thinking::Off;
    session.approvals = ApprovalMode::AllowAll;
    words.args.clear();
    OpenCode::new().launch(&session, &mut words);
    let expected = ["run", "--format", "json", "--auto", "--model", "a/b", "--session", "ses_1"];
    assert_eq!(words.args, expected);
}

#[test]
fn ends_without_a_reason_are_not_taken_for_success() {
    let step = json!({"type": "step_start", "sessionID": "s", "part": {"id": "a"}});
    let finish = |reason: &str| json!({"type": "step_finish", "sessionID": "s", "part": {"id": "b", "reason": reason}});
    let crashed = "failed agent_crashed \"the agent ended in the middle, with exit code 0\"";
    let limit = "failed budget \"the model reached its limit of tokens\"";
    let killed = "interrupted agent_crashed \"the agent was ended by signal 9\"";
    let code = "interrupted agent_crashed \"the agent ended with exit code 2\"";
    let cases = [
        (None, Some(0), None, crashed),
        (Some("stop"), Some(0), None, "completed"),
        (Some("length"), Some(0), None, limit),
        (Some("stop"), None, Some(9), killed),
        (None, Some(2), None, code),
    ];
    for (reason, code, signal, outcome) in cases {
        let mut played = Played::open(&Stdin, OpenCode::new());
        played.prompt(&Stdin, "do it");
        says(&mut played, &step);
        if let Some(reason) = reason {
            says(&mut played, &finish(reason));
        }
        played.input(&Stdin, Input::Ended { code, signal });
        let last = told(&played.actions).pop();
        assert_eq!(last, Some(format!("end 1 {outcome}")));
    }
}

#[test]
fn a_cancel_interrupts_and_then_terminates() {
    let mut played = Played::open(&Stdin, OpenCode::new());
    played.prompt(&Stdin, "do it");
    played.actions.clear();
    played.input(&Stdin, Input::Cancel { turn: 1 });
    played.input(&Stdin, Input::Cancel { turn: 1 });
    assert_eq!(told(&played.actions), ["signal interrupt"]);
    played.wait(&Stdin, crate::limits::ONE_SHOT_CANCEL);
    played.input(&Stdin, Input::Ended { code: None, signal: Some(15) });
    assert_eq!(told(&played.actions), ["signal interrupt", "signal terminate", "end 1 cancelled"]);
    assert_eq!(played.dialect.deadline(), None);
}

#[test]
fn a_process_takes_one_prompt() {
    let mut played = Played::open(&Stdin, OpenCode::new());
    played.prompt(&Stdin, "do it");
    played.prompt(&Stdin, "do that");
    let text = "the program takes one prompt, and has it";
    assert_eq!(told(&played.actions).pop(), Some(format!("end 2 failed protocol {text:?}")));
}

static OPENCODE: Subject = Subject {
    prefix: "opencode-",
    wire: &Stdin,
    make: |_| Box::new(OpenCode::new()),
    prepare: |_, _| {},
    strange: &[
        r#"{"type":"step_start","part":7}"#,
        r#"{"type":"error","error":7}"#,
        r#"{"type":"tool_use","part":{"tool":"x"}}"#,
    ],
};

#[test]
fn its_recordings_replay() {
    OPENCODE.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    OPENCODE.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    OPENCODE.no_order_breaks_a_promise();
}

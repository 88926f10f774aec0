//! The dialect of the bundled agent, line by line and as it was recorded.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use super::Basic;
use crate::dialect::transcript::{Meaning, Subject, Wire};
use crate::dialect::{Action, AskToken, Decision, Dialect, Input, Prompt, TurnEnd};
use crate::event::{ChunkBody, StreamChunk, StreamName, TurnOutcome};

fn does(basic: &mut Basic, input: Input<'_>) -> Vec<Action> {
    let mut out = Vec::new();
    basic.handle(Instant::now(), input, &mut out);
    out
}

fn says(basic: &mut Basic, line: &str) -> Vec<Action> {
    does(basic, Input::Line { stream: StreamName::Stdout, bytes: line.as_bytes() })
}

#[test]
fn a_prompt_waits_until_the_agent_is_ready_and_its_lines_are_one() {
    let mut basic = Basic::new();
    let prompt = Prompt::text("two\nlines \\ here");
    assert_eq!(does(&mut basic, Input::Prompt { turn: 1, prompt: &prompt }), []);
    let done = says(&mut basic, "ready");
    let sent = Action::Send(b"prompt two\\nlines \\\\ here\n".to_vec());
    assert!(done.contains(&sent), "{done:?}");
    let text = says(&mut basic, "text a\\nb");
    let body = ChunkBody::Text { content: "a\nb".into(), block: 0 };
    assert_eq!(text, [Action::Emit(StreamChunk::new(1, body))]);
    let end = TurnEnd::new(1, TurnOutcome::Completed);
    assert_eq!(says(&mut basic, "done"), [Action::TurnEnded(end)]);
}

#[test]
fn a_question_is_answered_by_its_number_and_what_is_not_known_is_shown_as_it_is() {
    let mut basic = Basic::new();
    says(&mut basic, "ready");
    let prompt = Prompt::text("go");
    does(&mut basic, Input::Prompt { turn: 1, prompt: &prompt });
    says(&mut basic, r#"tool 7 write {"path":"x"}"#);
    let asked = says(&mut basic, "ask 7 Write x?");
    assert!(matches!(&asked[..], [Action::Ask { ask: AskToken(1), .. }]), "{asked:?}");
    let decision = Decision::Deny { message: Some("no".into()) };
    let told = does(&mut basic, Input::Decide { ask: AskToken(1), decision: &decision });
    assert_eq!(told, [Action::Send(b"deny 7 no\n".to_vec())]);
    let odd = says(&mut basic, "whatever this is");
    assert!(
        matches!(&odd[..], [Action::Emit(StreamChunk { body: ChunkBody::Raw { .. }, .. })]),
        "{odd:?}"
    );
}

#[test]
fn a_turn_ends_with_its_process() {
    for (cancelled, outcome) in [(false, TurnOutcome::Interrupted), (true, TurnOutcome::Cancelled)]
    {
        let mut basic = Basic::new();
        says(&mut basic, "ready");
        does(&mut basic, Input::Prompt { turn: 1, prompt: &Prompt::text("go") });
        if cancelled {
            does(&mut basic, Input::Cancel { turn: 1 });
        }
        let done = does(&mut basic, Input::Ended { code: Some(7), signal: None });
        let [Action::TurnEnded(end)] = &done[..] else { panic!("{done:?}") };
        assert_eq!(end.outcome, outcome);
        let error = end.error.as_ref().map(|error| &*error.message);
        assert_eq!(error, (!cancelled).then_some("the agent ended with exit code 7"));
    }
}

/// What is said to the bundled agent.
struct Words;

impl Wire for Words {
    fn meaning(&self, line: &Value) -> Meaning {
        let line = line.as_str().unwrap_or_default();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "prompt" => Meaning::Prompt(rest.into()),
            "cancel" => Meaning::Cancel,
            "allow" => Meaning::Decide(Decision::AllowOnce),
            "deny" => Meaning::Decide(Decision::Deny { message: None }),
            _ => Meaning::Nothing,
        }
    }

    fn request(&self, _line: &Value) -> Option<(Value, String)> {
        None
    }

    fn rename(&self, _line: &mut Value, _names: &HashMap<String, Value>) {}
}

static BASIC: Subject = Subject {
    prefix: "basic-",
    wire: &Words,
    make: |_| Box::new(Basic::new()),
    prepare: |_, _| {},
    strange: &[
        "session",
        "tool x y",
        "tool 9 y {",
        "ask 99 never begun",
        "result 99 never begun",
        "cancelled",
        "retracted",
    ],
};

#[test]
fn its_recordings_replay() {
    BASIC.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    BASIC.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    BASIC.no_order_breaks_a_promise();
}

//! Sessions of the real program, and lines that no recording has.

mod asking;
mod damage;
mod endings;
mod launching;
mod recorded;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Claude;
use crate::dialect::transcript::{Entry, Meaning, Played, Wire, merged, read};
use crate::dialect::{Action, Decision, Dialect, Input, SessionSpec};

/// How the protocol is read by who plays it.
pub(super) struct Spoken;

impl Wire for Spoken {
    fn meaning(&self, line: &Value) -> Meaning {
        match line["type"].as_str() {
            Some("user") => {
                let text = line["message"]["content"][0]["text"].as_str();
                Meaning::Prompt(text.expect("a prompt is text").to_owned())
            }
            Some("control_request") if line["request"]["subtype"] == "interrupt" => Meaning::Cancel,
            Some("control_response") => {
                let response = &line["response"]["response"];
                let answer = &response["updatedInput"]["answers"];
                Meaning::Decide(match (response["behavior"].as_str(), answer.as_object()) {
                    (Some("allow"), Some(answers)) => {
                        let text = answers.values().next().and_then(Value::as_str);
                        Decision::Option { id: text.expect("an answer is text").into() }
                    }
                    (Some("allow"), None) => Decision::AllowOnce,
                    _ => Decision::Deny { message: response["message"].as_str().map(Arc::from) },
                })
            }
            _ => Meaning::Nothing,
        }
    }

    fn request(&self, line: &Value) -> Option<(Value, String)> {
        let method = line["request"]["subtype"].as_str()?;
        (line["type"] == "control_request").then(|| (line["request_id"].clone(), method.to_owned()))
    }

    fn rename(&self, line: &mut Value, names: &HashMap<String, Value>) {
        if line["type"] == "control_response"
            && let Some(name) = names.get(&line["response"]["request_id"].to_string())
        {
            line["response"]["request_id"] = name.clone();
        }
    }
}

/// The recording `name`, with all that it lacks of a session as we hold it.
pub(super) fn session(name: &str) -> Vec<Entry> {
    let mut entries = read(&format!("claude-{name}.session.jsonl"));
    greet(&mut entries);
    entries
}

/// The handshake, where a recording lacks it.
fn greet(entries: &mut Vec<Entry>) {
    let greeted = entries.iter().any(|entry| entry.data["request"]["subtype"] == "initialize");
    let began = entries.iter().any(|entry| entry.data["subtype"] == "init");
    if !greeted && began {
        entries.insert(0, Entry { t: 0.0, dir: "out".into(), data: greeting() });
    }
}

/// The answer to the handshake.
pub(super) fn greeting() -> Value {
    json!({"type": "control_response", "response": {
        "subtype": "success", "request_id": "descartes-1", "response": {},
    }})
}

/// The dialect in the directory of the recordings.
pub(super) fn claude() -> Claude {
    let mut claude = Claude::new();
    let session = SessionSpec::new(uuid::Uuid::nil(), "/opt/lab-real/proj");
    claude.launch(&session, &mut crate::dialect::LaunchWords::default());
    claude
}

/// A program that runs, and has not answered the handshake.
pub(super) fn opened() -> Played<Claude> {
    Played::open(&Spoken, claude())
}

/// A program that takes prompts.
pub(super) fn ready() -> Played<Claude> {
    let mut played = opened();
    played.line(&Spoken, greeting());
    played.actions.clear();
    played.sent.clear();
    played
}

/// A program that works on turn 1.
pub(super) fn begun() -> Played<Claude> {
    let mut played = ready();
    played.prompt(&Spoken, "go");
    played.line(&Spoken, init());
    played.actions.clear();
    played.sent.clear();
    played
}

/// A turn begins.
pub(super) fn init() -> Value {
    json!({"type": "system", "subtype": "init", "session_id": "s-1", "permissionMode": "default"})
}

/// What the model streams.
#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
pub(super) fn event(event: Value) -> Value {
    json!({"type": "stream_event", "event": event, "parent_tool_use_id": null})
}

/// A message of the model begins.
pub(super) fn message(id: &str) -> Value {
    event(json!({"type": "message_start", "message": {"id": id}}))
}

/// A piece of text.
pub(super) fn piece(text: &str) -> Value {
    event(json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": text}}))
}

/// A whole block of text of the message `id`.
pub(super) fn whole(id: &str, text: &str) -> Value {
    json!({"type": "assistant", "message": {"id": id, "model": "stub-1", "stop_reason": null,
        "content": [{"type": "text", "text": text}]}})
}

/// The line that closes a good turn.
pub(super) fn result(text: &str) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "result": text})
}

/// What came of `lines`, as lines.
pub(super) fn after(
    played: &mut Played<Claude>,
    lines: impl IntoIterator<Item = Value>,
) -> Vec<String> {
    let before = played.actions.len();
    for line in lines {
        played.line(&Spoken, line);
    }
    merged(&played.actions[before..])
}

/// What comes of `wait`.
pub(super) fn waited(played: &mut Played<Claude>, wait: Duration) -> Vec<String> {
    let before = played.actions.len();
    played.wait(&Spoken, wait);
    merged(&played.actions[before..])
}

/// What comes of `input`.
pub(super) fn given(played: &mut Played<Claude>, input: Input<'_>) -> Vec<String> {
    let before = played.actions.len();
    played.input(&Spoken, input);
    merged(&played.actions[before..])
}

/// A recording played to its end.
pub(super) fn played(name: &str) -> Played<Claude> {
    play(&session(name))
}

/// The same of entries.
pub(super) fn play(entries: &[Entry]) -> Played<Claude> {
    let mut played = opened();
    played.play(&Spoken, entries);
    let exit = entries.iter().find(|entry| entry.dir == "exit");
    if let Some(code) = exit.and_then(|entry| entry.data["rc"].as_i64()) {
        let code = i32::try_from(code).ok();
        played.input(&Spoken, Input::Ended { code, signal: None });
    }
    played
}

/// What it did, as lines; neighbouring pieces are one.
pub(super) fn told(played: &Played<Claude>) -> Vec<String> {
    merged(&played.actions)
}

/// The ends of turns only.
pub(super) fn ends(played: &Played<Claude>) -> Vec<String> {
    let ends = played.actions.iter().filter(|action| matches!(action, Action::TurnEnded(_)));
    merged(&ends.cloned().collect::<Vec<_>>())
}

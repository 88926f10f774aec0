//! The dialect and recorded sessions of three programs, lines written by hand, and damage.

mod damage;
mod opening;
mod questions;
mod recorded;
mod turns;

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Acp;
use crate::dialect::transcript::{Meaning, Played, Wire, told};
use crate::dialect::{Decision, Dialect, Input, LaunchWords, SessionSpec};
use crate::event::StreamName;

/// JSON-RPC, as ACP has it.
struct AcpWire;

impl Wire for AcpWire {
    fn meaning(&self, line: &Value) -> Meaning {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str);
        match line["method"].as_str() {
            Some("session/prompt") => {
                Meaning::Prompt(text("/params/prompt/0/text").unwrap_or_default().into())
            }
            Some("session/cancel") => Meaning::Cancel,
            Some(_) => Meaning::Nothing,
            None => match text("/result/outcome/optionId") {
                Some("once" | "allow" | "proceed_once") => Meaning::Decide(Decision::AllowOnce),
                Some(_) => Meaning::Decide(Decision::Deny { message: None }),
                None => Meaning::Nothing,
            },
        }
    }

    fn request(&self, line: &Value) -> Option<(Value, String)> {
        Some((line.get("id")?.clone(), line.get("method")?.as_str()?.to_owned()))
    }

    fn rename(&self, line: &mut Value, names: &HashMap<String, Value>) {
        if line.get("method").is_none()
            && let Some(id) = line.get_mut("id")
            && let Some(name) = names.get(&id.to_string())
        {
            *id = name.clone();
        }
    }
}

/// What is asked for in the tests.
fn session() -> SessionSpec {
    SessionSpec::new(Uuid::nil(), "/home/user/proj")
}

/// The process of a conversation that is asked to be `session`.
fn open(mut acp: Acp, session: &SessionSpec) -> Played<Acp> {
    acp.launch(session, &mut LaunchWords::default());
    Played::open(&AcpWire, acp)
}

/// The agent says this.
fn says(played: &mut Played<Acp>, message: &Value) {
    let text = message.to_string();
    line(played, text.as_bytes());
}

fn line(played: &mut Played<Acp>, bytes: &[u8]) {
    played.input(&AcpWire, Input::Line { stream: StreamName::Stdout, bytes });
}

/// The agent answers what it was asked last.
fn answers(played: &mut Played<Acp>, result: Value) {
    let id = played.sent.last().expect("something was sent")["id"].clone();
    let mut answer = json!({"jsonrpc": "2.0", "id": id});
    answer["result"] = result;
    says(played, &answer);
}

/// The agent refuses what it was asked last.
fn refuses(played: &mut Played<Acp>, code: i64, message: &str) {
    let id = played.sent.last().expect("something was sent")["id"].clone();
    let error = json!({"code": code, "message": message});
    says(played, &json!({"jsonrpc": "2.0", "id": id, "error": error}));
}

/// The agent reports this.
fn updates(played: &mut Played<Acp>, update: Value) {
    let mut params = json!({"sessionId": "s1"});
    params["update"] = update;
    says(played, &json!({"jsonrpc": "2.0", "method": "session/update", "params": params}));
}

/// The agent's model says this.
fn writes(played: &mut Played<Acp>, text: &str) {
    let content = json!({"type": "text", "text": text});
    updates(played, json!({"sessionUpdate": "agent_message_chunk", "content": content}));
}

/// The method that was sent last, or nothing when it was an answer.
fn last(played: &Played<Acp>) -> Option<&str> {
    played.sent.last()?["method"].as_str()
}

/// A conversation `s1` that takes prompts.
fn ready() -> Played<Acp> {
    let mut played = open(Acp::new(), &session());
    answers(&mut played, json!({"protocolVersion": 1}));
    answers(&mut played, json!({"sessionId": "s1"}));
    played.actions.clear();
    played
}

/// The same in the middle of its first turn.
fn asked() -> Played<Acp> {
    let mut played = ready();
    played.prompt(&AcpWire, "do it");
    played.actions.clear();
    played
}

/// What the dialect did since this was asked for last.
fn news(played: &mut Played<Acp>) -> Vec<String> {
    told(&std::mem::take(&mut played.actions))
}

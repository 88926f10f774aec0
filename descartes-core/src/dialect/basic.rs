//! The dialect of the bundled agent in a chat: a word and what it is about, line by line.
//!
//! To the agent: `prompt TEXT`, `cancel`, `allow N`, `deny N TEXT`. From it: `session NAME`,
//! `ready`, `text TEXT`, `think TEXT`, `tool N NAME ARGUMENTS`, `ask N TITLE`, `result N TEXT`,
//! `mark`, `retract`, `failed TEXT`, `cancelled`, `done`. In TEXT a newline is `\n` and a backslash
//! is `\\`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::blame;
use super::raw::{StderrTail, oversize, raw};
use super::{
    Action, AskKind, AskOption, AskRequest, AskToken, Decision, Dialect, Input, LaunchWords,
    OptionEffect, SessionSpec, ToolEffect, TurnEnd,
};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, StreamName, TurnOutcome};
use crate::json::Json;
use crate::limits;

/// Converses with the bundled agent.
#[derive(Debug, Default)]
pub struct Basic {
    turn: Option<u32>,
    last: u32,
    block: u32,
    /// A prompt that came before the agent was ready.
    waiting: Option<(u32, String)>,
    ready: bool,
    cancelled: bool,
    /// Tool calls of the turn that have no result yet.
    tools: BTreeMap<u64, (Arc<str>, Json)>,
    /// Which calls are asked about; the last question's name.
    asks: BTreeMap<AskToken, u64>,
    asked: u64,
    /// Something of the turn may be withdrawn.
    marked: bool,
    stderr: StderrTail,
}

impl Basic {
    /// A dialect for one process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Action>) {
        let text = String::from_utf8_lossy(line);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let known = match (word, self.turn) {
            ("ready", _) => self.be_ready(out),
            ("session", _) if !rest.is_empty() => {
                out.push(Action::Session(rest.into()));
                true
            }
            (word, Some(turn)) => self.said(turn, word, rest, out),
            _ => false,
        };
        if !known {
            out.push(Action::Emit(raw(self.last, line)));
        }
    }

    fn be_ready(&mut self, out: &mut Vec<Action>) -> bool {
        self.ready = true;
        out.push(Action::Ready(self.capabilities()));
        if let Some((turn, text)) = self.waiting.take() {
            self.prompt(turn, &text, out);
        }
        true
    }

    /// What the agent said in a turn; whether it was understood.
    fn said(&mut self, turn: u32, word: &str, rest: &str, out: &mut Vec<Action>) -> bool {
        let block = self.block;
        let emit = |body| Action::Emit(StreamChunk::new(turn, body));
        match word {
            "text" => out.push(emit(ChunkBody::Text { content: unescaped(rest), block })),
            "think" => out.push(emit(ChunkBody::Thinking { content: unescaped(rest), block })),
            "mark" => {
                self.marked = true;
                out.push(Action::Mark);
            }
            "retract" if self.marked => out.push(Action::Retract),
            "tool" => return self.tool(turn, rest, out),
            "ask" => return self.asked(rest, out),
            "result" => {
                let Some((id, result)) = numbered(rest) else { return false };
                if self.tools.remove(&id).is_none() {
                    return false;
                }
                let (tool_id, result, is_error) = (tool_id(id), unescaped(result), false);
                out.push(emit(ChunkBody::ToolResult { tool_id, result, is_error }));
                out.push(Action::Activity(Some(Activity::Thinking)));
            }
            "done" => self.end(TurnEnd::new(turn, TurnOutcome::Completed), out),
            "cancelled" if self.cancelled => {
                self.end(TurnEnd::new(turn, TurnOutcome::Cancelled), out);
            }
            "failed" => {
                let error = ChunkError::new(ChunkErrorKind::ModelError, unescaped(rest));
                self.end(TurnEnd::failed(turn, error), out);
            }
            _ => return false,
        }
        true
    }

    fn tool(&mut self, turn: u32, rest: &str, out: &mut Vec<Action>) -> bool {
        let Some((id, rest)) = numbered(rest) else { return false };
        let (name, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let Ok(input) = Json::from_text(arguments) else { return false };
        let (tool_name, tool_id): (Arc<str>, _) = (name.into(), tool_id(id));
        if self.tools.len() == limits::ACP_OPEN_CALLS {
            return false;
        }
        self.tools.insert(id, (Arc::clone(&tool_name), input.clone()));
        self.block += 1;
        let start = ChunkBody::ToolUseStart { tool_name, tool_id: Arc::clone(&tool_id) };
        let whole =
            ChunkBody::ToolUseInput { tool_id, content: arguments.into(), input: Some(input) };
        out.push(Action::Activity(Some(Activity::Tool)));
        out.push(Action::Emit(StreamChunk::new(turn, start)));
        out.push(Action::Emit(StreamChunk::new(turn, whole)));
        true
    }

    fn asked(&mut self, rest: &str, out: &mut Vec<Action>) -> bool {
        let Some((id, title)) = numbered(rest) else { return false };
        let Some((tool, arguments)) = self.tools.get(&id) else { return false };
        if self.asks.values().any(|call| *call == id) {
            return false;
        }
        self.asked += 1;
        let ask = AskToken(self.asked);
        self.asks.insert(ask, id);
        let option = |id: &str, label: &str, effect| AskOption::new(id, label, effect);
        let request = AskRequest {
            kind: AskKind::Permission,
            tool: Arc::clone(tool),
            tool_id: Some(tool_id(id)),
            effect: if &**tool == "write" { ToolEffect::Edit } else { ToolEffect::Execute },
            title: unescaped(title),
            arguments: arguments.clone(),
            options: vec![
                option("allow", "Allow once", OptionEffect::AllowOnce),
                option("allow_session", "Allow for this session", OptionEffect::AllowSession),
                option("deny", "Deny", OptionEffect::Deny),
            ],
            rule: None,
        };
        out.push(Action::Ask { ask, request: Box::new(request) });
        true
    }

    fn end(&mut self, end: TurnEnd, out: &mut Vec<Action>) {
        (self.turn, self.marked) = (None, false);
        self.tools.clear();
        self.asks.clear();
        out.push(Action::TurnEnded(end));
    }

    /// The process has ended, and so has its turn.
    fn ended(&mut self, code: Option<i32>, signal: Option<i32>, out: &mut Vec<Action>) {
        let begun = self.turn;
        let Some(turn) = begun.or(self.waiting.take().map(|(turn, _)| turn)) else { return };
        let how = blame::end(code, signal);
        let error = blame::crash(ChunkErrorKind::AgentCrashed, &self.stderr, how);
        let end = match begun {
            Some(_) if self.cancelled => TurnEnd::new(turn, TurnOutcome::Cancelled),
            // What never reached the agent did not begin.
            None => TurnEnd::failed(turn, error),
            Some(_) => {
                TurnEnd { error: Some(error), ..TurnEnd::new(turn, TurnOutcome::Interrupted) }
            }
        };
        self.end(end, out);
    }

    fn prompt(&mut self, turn: u32, text: &str, out: &mut Vec<Action>) {
        (self.turn, self.last, self.block, self.cancelled) = (Some(turn), turn, 0, false);
        out.push(send(&format!("prompt {}", escaped(text))));
        out.push(Action::Activity(Some(Activity::Thinking)));
    }
}

impl Dialect for Basic {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        words.args.push("--chat".into());
        match &session.native {
            Some(native) => words.args.extend(["--resume".into(), native.to_string()]),
            None => words.args.extend(["--session".into(), session.fresh.to_string()]),
        }
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        match input {
            Input::Line { stream: StreamName::Stdout, bytes } => {
                self.line(bytes.strip_suffix(b"\r").unwrap_or(bytes), out);
            }
            Input::Prompt { turn, prompt } if self.ready => {
                self.prompt(turn, &prompt.as_text(), out);
            }
            Input::Line { bytes, .. } => self.stderr.push(bytes),
            Input::Prompt { turn, prompt } => {
                self.last = turn;
                self.waiting = Some((turn, prompt.as_text()));
            }
            Input::Cancel { turn } if self.turn == Some(turn) => {
                self.cancelled = true;
                out.push(send("cancel"));
            }
            Input::Cancel { turn } if self.waiting.take_if(|(of, _)| *of == turn).is_some() => {
                out.push(Action::TurnEnded(TurnEnd::new(turn, TurnOutcome::Cancelled)));
            }
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(oversize(self.last, bytes)));
            }
            Input::Decide { ask, decision } => {
                if let Some(id) = self.asks.remove(&ask) {
                    out.push(send(&answer(id, decision)));
                }
            }
            Input::Ended { code, signal } => self.ended(code, signal, out),
            _ => {}
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            turns: true,
            resume: true,
            approvals: true,
            cancel: true,
            ..Capabilities::default()
        }
    }
}

fn answer(id: u64, decision: &Decision) -> String {
    match decision {
        Decision::AllowOnce | Decision::AllowSession => format!("allow {id}"),
        Decision::Option { id: option } if &**option != "deny" => format!("allow {id}"),
        Decision::Deny { message: Some(message) } => format!("deny {id} {}", escaped(message)),
        _ => format!("deny {id}"),
    }
}

fn send(line: &str) -> Action {
    Action::Send(format!("{line}\n").into_bytes())
}

fn tool_id(id: u64) -> Arc<str> {
    format!("tool-{id}").into()
}

/// A number and what follows it.
fn numbered(text: &str) -> Option<(u64, &str)> {
    let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((number.parse().ok()?, rest))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(text: &str) -> Arc<str> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            letter => plain.push(letter),
        }
    }
    plain.into()
}

//! Codex without its server: `codex exec --json`, a process a turn.
//!
//! For versions and places where `codex app-server` does not work. Nothing is asked, so what may be
//! done is fenced in instead; texts come whole; a cancel is a signal. What the program is like
//! (0.169, observed):
//!
//! - It begins when its standard input, which is the prompt, ends.
//! - `turn.completed` or `turn.failed` comes before the process ends; after a signal neither does.
//! - An item of the type `error` is a warning, and so is a line of that type unless the turn fails.
//! - The usage that it tells is that of the whole conversation.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::raw::{StderrTail, oversize, raw};
use super::{Action, ApprovalMode, Dialect, Input, LaunchWords, Prompt, SessionSpec, TurnEnd};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{
    ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, StreamName, TurnOutcome, Usage,
};
use crate::json::Json;
use crate::limits;
use crate::runner::Signal;

#[cfg(test)]
mod tests;

/// The dialect of `codex exec --json`.
#[derive(Debug, Default)]
pub struct CodexExec {
    resumed: bool,
    turn: Option<u32>,
    last_turn: u32,
    /// A prompt that came before the process ran.
    waiting: Option<Prompt>,
    opened: bool,
    cancelled: bool,
    /// What the program said of the end, before it ended.
    said: Option<Said>,
    /// What went wrong last.
    fault: Option<ChunkError>,
    /// When it is told to end, having said how the turn ended.
    overdue: Option<Instant>,
    /// Which blocks come next.
    text: u32,
    thinking: u32,
    /// Tools that were begun and are not done.
    tools: Vec<String>,
    stderr: StderrTail,
}

/// What the program says of the end of its turn.
#[derive(Debug)]
enum Said {
    Completed(Option<Usage>),
    Failed(ChunkError),
}

/// One line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    thread_id: Option<String>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    usage: Option<Tokens>,
    error: Option<Fault>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    cached_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

/// An item: the members of all kinds.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    text: Option<String>,
    command: Option<String>,
    aggregated_output: Option<String>,
    status: Option<String>,
    #[serde(borrow)]
    changes: Option<&'a RawValue>,
    server: Option<String>,
    tool: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    query: Option<String>,
}

impl CodexExec {
    /// A turn that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn give(&mut self, out: &mut Vec<Action>) {
        if let (true, Some(prompt)) = (self.opened, self.waiting.take()) {
            out.push(Action::Send(prompt.as_text().into_bytes()));
            out.push(Action::CloseStdin);
            out.push(Action::Activity(Some(Activity::Thinking)));
        }
    }

    fn line(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Action>) {
        let understood = match serde_json::from_slice::<Line<'_>>(bytes) {
            Ok(line) => self.told(now, line, out),
            Err(_) => bytes.trim_ascii().is_empty(),
        };
        if !understood {
            out.push(Action::Emit(raw(self.last_turn, bytes)));
        }
    }

    fn told(&mut self, now: Instant, line: Line<'_>, out: &mut Vec<Action>) -> bool {
        match &*line.kind {
            "thread.started" => {
                out.extend(line.thread_id.map(|id| Action::Session(id.into())));
                out.push(Action::Ready(self.capabilities()));
            }
            "turn.started" => {}
            "turn.completed" => self.says(now, Said::Completed(self.usage(line.usage))),
            "turn.failed" => {
                let message = line.error.and_then(|error| error.message).unwrap_or_default();
                self.says(now, Said::Failed(model_error(&message)));
            }
            "error" => {
                let message = line.message.unwrap_or_default();
                let error = model_error(&message);
                if message.starts_with("Reconnecting") {
                    self.emit(out, ChunkBody::Error(error));
                } else {
                    // The turn fails by it, and says so next.
                    self.fault = Some(error);
                }
            }
            "item.started" | "item.updated" | "item.completed" => {
                let done = line.kind == "item.completed";
                return line.item.is_some_and(|item| self.item(&item, done, out));
            }
            _ => return false,
        }
        true
    }

    fn says(&mut self, now: Instant, said: Said) {
        self.said.get_or_insert(said);
        self.overdue.get_or_insert(now + limits::CODEX_SETTLE);
    }

    /// What the turn used, which is known only where it is all of the conversation.
    fn usage(&self, tokens: Option<Tokens>) -> Option<Usage> {
        let tokens = tokens.filter(|_| !self.resumed)?;
        Some(Usage {
            input_tokens: tokens.input_tokens,
            cached_tokens: tokens.cached_input_tokens,
            output_tokens: tokens.output_tokens,
            cost_usd: None,
        })
    }

    fn item(&mut self, item: &Item<'_>, done: bool, out: &mut Vec<Action>) -> bool {
        match &*item.kind {
            "agent_message" | "reasoning" => {
                if let Some(content) = item.text.as_deref().filter(|text| done && !text.is_empty())
                {
                    self.say(item.kind == "reasoning", content, out);
                }
            }
            "command_execution" | "file_change" | "mcp_tool_call" | "web_search" => {
                self.tool(item, done, out);
            }
            "error" | "todo_list" => {}
            _ => return false,
        }
        true
    }

    fn say(&mut self, thinks: bool, content: &str, out: &mut Vec<Action>) {
        let next = if thinks { &mut self.thinking } else { &mut self.text };
        let (content, block): (Arc<str>, u32) = (content.into(), *next);
        *next += 1;
        self.emit(
            out,
            match thinks {
                true => ChunkBody::Thinking { content, block },
                false => ChunkBody::Text { content, block },
            },
        );
    }

    fn tool(&mut self, item: &Item<'_>, done: bool, out: &mut Vec<Action>) {
        let tool_id: Arc<str> = (&*item.id).into();
        if !self.tools.contains(&item.id) {
            let tool_name = match (&item.server, &item.tool) {
                (Some(server), Some(tool)) => format!("{server}/{tool}").into(),
                _ => (&*item.kind).into(),
            };
            if self.tools.len() == limits::CODEX_OPEN_ITEMS {
                self.tools.remove(0);
            }
            self.tools.push(item.id.clone());
            self.emit(out, ChunkBody::ToolUseStart { tool_name, tool_id: Arc::clone(&tool_id) });
            let (tool_id, content) = (Arc::clone(&tool_id), "".into());
            self.emit(out, ChunkBody::ToolUseInput { tool_id, content, input: input(item) });
        }
        if done {
            self.tools.retain(|id| *id != item.id);
            let status = item.status.as_deref().unwrap_or_default();
            let is_error = matches!(status, "failed" | "declined");
            let raw = item.result.map(RawValue::get);
            let result = item.aggregated_output.as_deref().or(raw).unwrap_or(status).into();
            self.emit(out, ChunkBody::ToolResult { tool_id, result, is_error });
        }
    }

    fn emit(&self, out: &mut Vec<Action>, body: ChunkBody) {
        if let Some(turn) = self.turn {
            out.push(Action::Emit(StreamChunk::new(turn, body)));
        }
    }

    fn prompt(&mut self, turn: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        self.last_turn = turn;
        if self.turn.is_some() || self.said.is_some() {
            let message = "this process has had its turn";
            let error = ChunkError::new(ChunkErrorKind::Protocol, message);
            return out.push(Action::TurnEnded(TurnEnd::failed(turn, error)));
        }
        self.turn = Some(turn);
        self.waiting = Some(prompt.clone());
        self.give(out);
    }

    fn cancel(&mut self, turn: u32, out: &mut Vec<Action>) {
        if self.turn == Some(turn) && !self.cancelled {
            self.cancelled = true;
            self.waiting = None;
            out.push(Action::CloseStdin);
            out.push(Action::Signal(Signal::Interrupt));
        }
    }

    fn ended(&mut self, (code, signal): (Option<i32>, Option<i32>), out: &mut Vec<Action>) {
        let Some(turn) = self.turn.take() else { return };
        let crashed = || {
            let how = match (code, signal) {
                (_, Some(signal)) => format!("the program was ended by signal {signal}"),
                (code, None) => format!("the program ended with exit code {}", code.unwrap_or(-1)),
            };
            let message = self.stderr.text().unwrap_or_else(|| how.into());
            ChunkError::new(ChunkErrorKind::AgentCrashed, message)
        };
        let end = match self.said.take() {
            Some(Said::Completed(usage)) => {
                TurnEnd { usage, ..TurnEnd::new(turn, TurnOutcome::Completed) }
            }
            _ if self.cancelled => TurnEnd::new(turn, TurnOutcome::Cancelled),
            Some(Said::Failed(error)) => TurnEnd::failed(turn, error),
            // Whoever is refused at the start says so there and exits; whoever dies was killed.
            None if code.is_some() => {
                TurnEnd::failed(turn, self.fault.take().unwrap_or_else(crashed))
            }
            None => {
                let error = Some(crashed());
                TurnEnd { error, ..TurnEnd::new(turn, TurnOutcome::Interrupted) }
            }
        };
        out.push(Action::TurnEnded(end));
    }
}

/// What a tool is given.
fn input(item: &Item<'_>) -> Option<Json> {
    #[derive(serde::Serialize)]
    struct Members<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        query: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<&'a RawValue>,
    }
    if let Some(arguments) = item.arguments {
        return Some(arguments.into());
    }
    let (command, query) = (item.command.as_deref(), item.query.as_deref());
    let text = serde_json::to_string(&Members { command, query, changes: item.changes }).ok()?;
    Json::from_text(&text).ok()
}

/// The kind of an error can only be read off its text.
fn model_error(message: &str) -> ChunkError {
    let kind = if message.contains("401 Unauthorized") || message.contains("403 Forbidden") {
        ChunkErrorKind::AgentAuth
    } else if message.contains("429 Too Many Requests") || message.contains("usage limit") {
        ChunkErrorKind::RateLimited
    } else if message.contains("context window") {
        ChunkErrorKind::ContextFull
    } else {
        ChunkErrorKind::ModelError
    };
    super::codex::error(kind, message)
}

/// What may be done where nobody can be asked.
fn sandbox(mode: ApprovalMode) -> &'static str {
    match mode {
        ApprovalMode::Ask | ApprovalMode::Deny => "read-only",
        ApprovalMode::AllowEdits => "workspace-write",
        ApprovalMode::AllowAll => "danger-full-access",
    }
}

impl Dialect for CodexExec {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        let mut arg = |text: &str| words.args.push(text.into());
        let config = |name: &str, value: &str| {
            // A text of JSON is one of TOML.
            format!("{name}={}", serde_json::Value::from(value))
        };
        arg("exec");
        if session.native.is_some() {
            arg("resume");
        }
        for text in ["--json", "--skip-git-repo-check", "-c"] {
            arg(text);
        }
        arg(&config("sandbox_mode", sandbox(session.approvals)));
        if let Some(model) = &session.model {
            arg("-m");
            arg(model);
        }
        if let Some(effort) = super::codex::effort(session.thinking).0 {
            arg("-c");
            arg(&config("model_reasoning_effort", effort));
        }
        if let Some(text) = &session.system_prompt {
            arg("-c");
            arg(&config("developer_instructions", text));
        }
        if let Some(native) = &session.native {
            self.resumed = true;
            arg(native);
        }
        arg("-");
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        match input {
            Input::Opened => {
                self.opened = true;
                self.give(out);
            }
            Input::Line { stream: StreamName::Stdout, bytes } => self.line(now, bytes, out),
            Input::Line { bytes, .. } => self.stderr.push(bytes),
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(oversize(self.last_turn, bytes)));
            }
            Input::Prompt { turn, prompt } => self.prompt(turn, prompt, out),
            Input::Cancel { turn } => self.cancel(turn, out),
            Input::Tick if self.overdue.take_if(|due| *due <= now).is_some() => {
                out.push(Action::Signal(Signal::Terminate));
            }
            Input::Ended { code, signal } => self.ended((code, signal), out),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.overdue
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            turns: true,
            resume: true,
            approvals: false,
            cancel: false,
            models: true,
            pause: false,
        }
    }

    fn approval_modes(&self) -> &'static [ApprovalMode] {
        &ApprovalMode::FENCED
    }
}

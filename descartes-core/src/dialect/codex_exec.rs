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

use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::one_shot::{Lines, Shot};
use super::{Action, ApprovalMode, Dialect, Input, LaunchWords, SessionSpec};
use crate::backend::Capabilities;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, Usage};
use crate::json::Json;

#[cfg(test)]
mod tests;

/// The dialect of `codex exec --json`.
#[derive(Debug, Default)]
pub struct CodexExec {
    shot: Shot,
    words: Words,
}

/// What its lines said.
#[derive(Debug, Default)]
struct Words {
    resumed: bool,
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
}

impl Lines for Words {
    fn line(&mut self, line: &str, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { return false };
        match &*line.kind {
            "thread.started" => {
                let Some(id) = line.thread_id else { return false };
                shot.named(&id, out);
            }
            "turn.started" => {}
            "turn.completed" if !shot.settled => {
                (shot.settled, shot.error) = (true, None);
                shot.usage = self.usage(line.usage);
            }
            "turn.failed" if !shot.settled => {
                let message = line.error.and_then(|error| error.message).unwrap_or_default();
                (shot.settled, shot.error) = (true, Some(model_error(&message)));
            }
            "error" if !shot.settled => {
                let message = line.message.unwrap_or_default();
                let error = model_error(&message);
                if message.starts_with("Reconnecting") {
                    shot.emit(ChunkBody::Error(error), out);
                } else {
                    // The turn fails by it, and says so next.
                    shot.error = Some(error);
                }
            }
            "item.started" | "item.updated" | "item.completed" => {
                let done = line.kind == "item.completed";
                return line.item.is_some_and(|item| told(&item, done, shot, out));
            }
            _ => return false,
        }
        true
    }

    fn verdict(&self) -> Result<(), ChunkError> {
        let text = "the agent ended in the middle, with exit code 0";
        Err(ChunkError::new(ChunkErrorKind::AgentCrashed, text))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { turns: true, resume: true, models: true, ..Capabilities::default() }
    }
}

impl Words {
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
}

/// Something of the turn; texts come whole.
fn told(item: &Item<'_>, done: bool, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
    let text = || item.text.clone().filter(|_| done).unwrap_or_default();
    match &*item.kind {
        "agent_message" => shot.said(text(), out),
        "reasoning" => shot.thought(text(), out),
        "command_execution" | "file_change" | "mcp_tool_call" | "web_search" => {
            return tool(item, done, shot, out);
        }
        "error" | "todo_list" => {}
        _ => return false,
    }
    shot.breaks();
    true
}

fn tool(item: &Item<'_>, done: bool, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
    let name = match (&item.server, &item.tool) {
        (Some(server), Some(tool)) => format!("{server}/{tool}"),
        _ => item.kind.clone(),
    };
    let began = shot.is_open(&item.id) || shot.called(&name, &item.id, input(item), out);
    if !(began && done) {
        return began;
    }
    let status = item.status.as_deref().unwrap_or_default();
    let is_error = matches!(status, "failed" | "declined");
    let raw = item.result.map(RawValue::get);
    let result = item.aggregated_output.as_deref().or(raw).unwrap_or(status);
    shot.gave(&item.id, result, is_error, out)
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
            self.words.resumed = true;
            arg(native);
        }
        arg("-");
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        self.shot.handle(&mut self.words, now, &input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.shot.deadline()
    }

    fn capabilities(&self) -> Capabilities {
        self.words.capabilities()
    }

    fn approval_modes(&self) -> &'static [ApprovalMode] {
        &ApprovalMode::FENCED
    }
}

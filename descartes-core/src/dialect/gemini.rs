//! The dialect of `gemini --output-format stream-json`: one process per turn. It shows no thinking
//! and has no way to ask; [`Acp`](super::Acp) is the better way to talk to Gemini.
//!
//! What it cannot know: text whose model's stream broke is not withdrawn when it comes again.

#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::one_shot::{Lines, Shot};
use super::{Action, ApprovalMode, Dialect, Input, LaunchWords, SessionSpec, blame};
use crate::backend::Capabilities;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, Usage};
use crate::json::Json;

/// A turn of Gemini.
#[derive(Debug, Default)]
pub struct Gemini {
    shot: Shot,
    words: Words,
}

/// What its lines said.
#[derive(Debug, Default)]
struct Words;

#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    tool_id: Option<String>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error: Option<Failure>,
    #[serde(default)]
    stats: Option<Stats>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stats {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cached: Option<u64>,
}

impl Gemini {
    /// One turn.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Lines for Words {
    fn line(&mut self, line: &str, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { return false };
        // The closing line comes once, and nothing after it.
        if shot.settled {
            return false;
        }
        match (&*line.kind, line.role.as_deref()) {
            ("init", _) => {
                let Some(session) = &line.session_id else { return false };
                shot.named(session, out);
            }
            ("message", Some("user")) => {}
            ("message", Some("assistant")) => shot.said(line.content.unwrap_or_default(), out),
            ("tool_use", _) => {
                let (Some(name), Some(id)) = (&line.tool_name, &line.tool_id) else { return false };
                return shot.called(name, id, line.parameters.map(Json::from), out);
            }
            ("tool_result", _) => {
                let Some(id) = &line.tool_id else { return false };
                let why = line.error.as_ref().and_then(|error| error.message.as_deref());
                let result = line.output.as_deref().or(why).unwrap_or_default();
                return shot.gave(id, result, line.status.as_deref() == Some("error"), out);
            }
            ("error", _) => {
                let Some(text) = &line.message else { return false };
                shot.emit(ChunkBody::Error(error(text)), out);
            }
            ("result", _) => {
                shot.settled = true;
                shot.usage = line.stats.as_ref().and_then(usage);
                if line.status.as_deref() != Some("success") {
                    let why = line.error.and_then(|error| error.message).unwrap_or_default();
                    shot.error = Some(error(&why));
                }
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

impl Dialect for Gemini {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        self.shot.launched(session);
        // It cannot be asked whether it may: without a mode that allows them, it has no tools.
        let mode = match session.approvals {
            ApprovalMode::Ask | ApprovalMode::Deny => "default",
            ApprovalMode::AllowEdits => "auto_edit",
            ApprovalMode::AllowAll => "yolo",
        };
        let fixed = ["--output-format", "stream-json", "--approval-mode", mode];
        words.args.extend(fixed.map(String::from));
        if let Some(model) = &session.model {
            words.args.extend(["--model".into(), model.to_string()]);
        }
        let (name, id) = match &session.native {
            Some(native) => ("--resume", native.to_string()),
            None => ("--session-id", session.fresh.to_string()),
        };
        words.args.extend([name.into(), id]);
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

/// `[API Error: …]`, with the answer of the server inside as it came.
fn error(text: &str) -> ChunkError {
    let bare = text.trim().strip_prefix("[API Error: ").and_then(|text| text.strip_suffix(']'));
    let text = bare.unwrap_or(text);
    let text = blame::inner_message(text).unwrap_or_else(|| text.to_owned());
    blame::error(blame::by_words(&text), &text)
}

/// What was used; all zero when no model answered.
fn usage(stats: &Stats) -> Option<Usage> {
    let (input_tokens, output_tokens) = (stats.input_tokens, stats.output_tokens);
    let told =
        [input_tokens, output_tokens].iter().any(|count| count.is_some_and(|count| count > 0));
    told.then_some(Usage {
        input_tokens,
        cached_tokens: stats.cached,
        output_tokens,
        cost_usd: None,
    })
}

//! What is counted and traced of a turn as it goes: calls of tools, and how often a model was asked.

use std::collections::HashMap;
use std::sync::Arc;

use super::Conversation;
use crate::event::{ChunkBody, StreamChunk, TurnOutcome};
use crate::tally::tool_kind;
use crate::trace::{End, Traced, Work};

/// Calls of tools of one turn that are told apart; those beyond are not counted.
const OPEN_CALLS: usize = 1024;
/// A tool said that it failed.
const FAILED: End<'static> = End::failed("error", "tool_error");
/// The turn ended without the tool's result.
const UNANSWERED: End<'static> = End::failed("unanswered", "unanswered");

/// What is known of the turn that is under way.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Calls without a result.
    calls: HashMap<Arc<str>, Call>,
    /// The turn of which a process has the prompt.
    asked: Option<u32>,
    /// Results of tools were given, and the model has not said anything since.
    resulted: bool,
}

/// A use of a tool.
#[derive(Debug)]
struct Call {
    /// What kind of tool it is.
    kind: &'static str,
    traced: Traced,
}

impl Conversation {
    /// The prompt of `turn` was given to a process.
    pub(super) fn watch_prompt(&mut self, turn: u32) {
        self.watched.asked = Some(turn);
    }

    /// Counts what `chunk` tells.
    pub(super) fn watch(&mut self, chunk: &StreamChunk) {
        let by_model = chunk.parent_tool_id.is_none();
        match &chunk.body {
            ChunkBody::ToolUseStart { tool_name, tool_id } => {
                self.speaks(by_model);
                if self.watched.calls.len() < OPEN_CALLS {
                    let kind = tool_kind(tool_name);
                    let traced = self.trace_tool((tool_name, tool_id), &chunk.parent_tool_id);
                    self.watched.calls.insert(Arc::clone(tool_id), Call { kind, traced });
                }
            }
            ChunkBody::ToolResult { tool_id, is_error, .. } => {
                self.watched.resulted |= by_model;
                if let Some(call) = self.watched.calls.remove(tool_id) {
                    self.core.tally.tool(call.kind, if *is_error { "error" } else { "ok" });
                    call.traced.end(&if *is_error { FAILED } else { End::of("ok") });
                }
            }
            ChunkBody::Text { .. } | ChunkBody::Thinking { .. } => self.speaks(by_model),
            // A turn that waits may end, of which no process knows, while another is under way.
            ChunkBody::TurnComplete { outcome, .. } if self.watched.asked == Some(chunk.turn) => {
                self.over(*outcome);
            }
            _ => {}
        }
    }

    /// A tool is used, by a sub-agent below the tool that this came with.
    fn trace_tool(&self, (name, id): (&str, &str), by: &Option<Arc<str>>) -> Traced {
        if self.core.tracer.is_none() {
            return Traced::default();
        }
        let above = by.as_ref().and_then(|by| self.watched.calls.get(by));
        let above = above.map(|call| &call.traced);
        let above = above.or_else(|| self.turn.as_ref().map(|turn| &turn.traced));
        self.core.trace(&Work::Tool { name, id }, above.and_then(Traced::context))
    }

    /// The model says something: after results of tools that is another answer of it.
    fn speaks(&mut self, by_model: bool) {
        if by_model && self.watched.asked.is_some() && std::mem::take(&mut self.watched.resulted) {
            self.core.tally.asked(&self.record.backend, "ok");
        }
    }

    fn over(&mut self, outcome: TurnOutcome) {
        let watched = std::mem::take(&mut self.watched);
        for call in watched.calls.into_values() {
            self.core.tally.tool(call.kind, "unanswered");
            call.traced.end(&UNANSWERED);
        }
        let outcome = match outcome {
            TurnOutcome::Completed => "ok",
            TurnOutcome::Cancelled | TurnOutcome::TimedOut => "cancelled",
            TurnOutcome::Failed | TurnOutcome::Interrupted => "error",
        };
        self.core.tally.asked(&self.record.backend, outcome);
    }
}

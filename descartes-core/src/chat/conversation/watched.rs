//! What is counted of a turn as it goes: calls of tools, and how often a model was asked.

use std::collections::HashMap;
use std::sync::Arc;

use super::Conversation;
use crate::event::{ChunkBody, StreamChunk, TurnOutcome};
use crate::tally::tool_kind;

/// Calls of tools of one turn that are told apart; those beyond are not counted.
const OPEN_CALLS: usize = 1024;

/// What is known of the turn that is under way.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Calls without a result, and what kind of tool they are for.
    calls: HashMap<Arc<str>, &'static str>,
    /// The turn of which a process has the prompt.
    asked: Option<u32>,
    /// Results of tools were given, and the model has not said anything since.
    resulted: bool,
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
                    self.watched.calls.insert(Arc::clone(tool_id), tool_kind(tool_name));
                }
            }
            ChunkBody::ToolResult { tool_id, is_error, .. } => {
                self.watched.resulted |= by_model;
                if let Some(kind) = self.watched.calls.remove(tool_id) {
                    self.core.tally.tool(kind, if *is_error { "error" } else { "ok" });
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

    /// The model says something: after results of tools that is another answer of it.
    fn speaks(&mut self, by_model: bool) {
        if by_model && self.watched.asked.is_some() && std::mem::take(&mut self.watched.resulted) {
            self.core.tally.asked(&self.record.backend, "ok");
        }
    }

    fn over(&mut self, outcome: TurnOutcome) {
        let watched = std::mem::take(&mut self.watched);
        for kind in watched.calls.into_values() {
            self.core.tally.tool(kind, "unanswered");
        }
        let outcome = match outcome {
            TurnOutcome::Completed => "ok",
            TurnOutcome::Cancelled | TurnOutcome::TimedOut => "cancelled",
            TurnOutcome::Failed | TurnOutcome::Interrupted => "error",
        };
        self.core.tally.asked(&self.record.backend, outcome);
    }
}

//! `session/update`: what happens in a turn.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::wire::{Content, Update, Updated, read};
use super::{Acp, Action, StreamChunk};
use crate::agent::Activity;
use crate::event::ChunkBody;

impl Acp {
    /// Takes an update; says whether it was understood.
    pub(super) fn updated(&mut self, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        let Some(params) = params else { return false };
        let Ok(updated) = serde_json::from_str::<Updated<'_>>(params.get()) else { return false };
        if self.is_of_another(updated.session_id.as_deref()) {
            return true;
        }
        let Ok(update) = serde_json::from_str::<Update<'_>>(updated.update.get()) else {
            return false;
        };
        match update.session_update.as_deref() {
            Some("agent_message_chunk") => self.said(&update, out),
            Some("agent_thought_chunk") => self.thought(&update, out),
            Some(kind @ ("tool_call" | "tool_call_update")) => {
                self.called(kind == "tool_call", &update, out)
            }
            Some("usage_update") => {
                self.spent(&update, out);
                true
            }
            Some(
                "user_message_chunk"
                | "plan"
                | "available_commands_update"
                | "current_mode_update"
                | "config_option_update"
                | "session_info_update",
            ) => true,
            _ => false,
        }
    }

    /// Whether `session` is another conversation than ours, such as one of the agent's own.
    pub(super) fn is_of_another(&self, session: Option<&str>) -> bool {
        match (&self.native, session) {
            (Some(ours), Some(session)) => ours != session,
            _ => false,
        }
    }

    /// The model answers. What is told before the prompt was sent is the history of the
    /// conversation, or comes too late.
    fn said(&mut self, update: &Update<'_>, out: &mut Vec<Action>) -> bool {
        let Some(text) = text(update) else { return false };
        let late = self.past.message.is_some() && self.past.message == update.message_id;
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.sent && !late) else { return true };
        if text.is_empty() {
            return true;
        }
        let (number, parent) = (turn.number, parent(update));
        if parent.is_none() {
            self.end_denied(out);
        }
        let Some(turn) = &mut self.turn else { return true };
        if parent.is_none() {
            if update.message_id.is_some() && update.message_id != turn.message {
                turn.message.clone_from(&update.message_id);
                turn.passage.close();
            }
            if turn.passage.push(&text) {
                out.push(Action::Mark);
            }
        }
        let block = if parent.is_none() { turn.text.piece() } else { turn.text.number };
        let body = ChunkBody::Text { content: text.into(), block };
        self.busy(Some(Activity::Thinking), out);
        out.push(Action::Emit(chunk(number, parent, body)));
        true
    }

    /// The model thinks.
    fn thought(&mut self, update: &Update<'_>, out: &mut Vec<Action>) -> bool {
        let Some(text) = text(update) else { return false };
        let late = self.past.message.is_some() && self.past.message == update.message_id;
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.sent && !late) else { return true };
        if text.is_empty() {
            return true;
        }
        let (number, parent) = (turn.number, parent(update));
        if parent.is_none() {
            self.end_denied(out);
        }
        let Some(turn) = &mut self.turn else { return true };
        let block = if parent.is_none() {
            turn.passage.close();
            turn.thinking.piece()
        } else {
            turn.thinking.number
        };
        self.busy(Some(Activity::Thinking), out);
        let body = ChunkBody::Thinking { content: text.into(), block };
        out.push(Action::Emit(chunk(number, parent, body)));
        true
    }

    /// What the conversation has cost so far.
    fn spent(&mut self, update: &Update<'_>, out: &mut Vec<Action>) {
        let Some(cost) = &update.cost else { return };
        if cost.currency.as_deref().is_some_and(|currency| currency != "USD") {
            return;
        }
        let open = self.turn.as_ref().filter(|turn| turn.sent).map(|turn| turn.number);
        if let (Some(usage), Some(turn)) = (self.cost.now(cost.amount), open) {
            out.push(Action::Emit(StreamChunk::new(turn, ChunkBody::Usage(usage))));
        }
    }
}

/// The text of a piece; none when it is something else.
fn text(update: &Update<'_>) -> Option<String> {
    let content: Content = read(update.content);
    content.text.or(content.uri)
}

/// The call under which a sub-agent says it.
pub(super) fn parent(update: &Update<'_>) -> Option<Arc<str>> {
    let tool = update.meta.as_ref()?.claude_code.as_ref()?;
    tool.parent_tool_use_id.as_deref().map(Arc::from)
}

pub(super) fn chunk(turn: u32, parent: Option<Arc<str>>, body: ChunkBody) -> StreamChunk {
    let chunk = StreamChunk::new(turn, body);
    match parent {
        Some(parent) => chunk.under(parent),
        None => chunk,
    }
}

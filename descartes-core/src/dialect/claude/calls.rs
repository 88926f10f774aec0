//! The tool calls of a turn.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::voice::Sink;
use crate::event::ChunkBody;
use crate::json::Json;
use crate::limits;

/// Every call that was begun, by the name that the program gave it.
#[derive(Debug, Default)]
pub(super) struct Calls(HashMap<Arc<str>, Call>);

#[derive(Debug, Default)]
struct Call {
    /// The sub-agent that calls.
    parent: Option<Arc<str>>,
    /// The arguments so far, while they come in pieces.
    pieces: String,
    /// They are known, or too long to be put together.
    told: bool,
    done: bool,
}

impl Calls {
    /// A call begins; false when it had begun before, or too many run.
    pub(super) fn begin(
        &mut self,
        id: &str,
        name: &str,
        parent: Option<&Arc<str>>,
        sink: &mut Sink<'_>,
    ) -> bool {
        if self.0.contains_key(id) || !self.has_room() {
            return false;
        }
        let id: Arc<str> = id.into();
        let call = Call { parent: parent.cloned(), ..Call::default() };
        self.0.insert(Arc::clone(&id), call);
        sink.emit(parent, ChunkBody::ToolUseStart { tool_name: name.into(), tool_id: id });
        true
    }

    /// A piece of a call's arguments.
    pub(super) fn piece(&mut self, id: &Arc<str>, piece: &str, sink: &mut Sink<'_>) {
        let Some(call) = self.0.get_mut(id).filter(|call| !call.done) else { return };
        if piece.is_empty() {
            return;
        }
        if call.pieces.len() + piece.len() > limits::CLAUDE_ATTEMPT_BYTES {
            (call.told, call.pieces) = (true, String::new());
        } else if !call.told {
            call.pieces.push_str(piece);
        }
        let (tool_id, content) = (Arc::clone(id), piece.into());
        sink.emit(call.parent.as_ref(), ChunkBody::ToolUseInput { tool_id, content, input: None });
    }

    /// The arguments of a call, whole.
    pub(super) fn input(&mut self, id: &str, input: &RawValue, sink: &mut Sink<'_>) {
        let Some((id, call)) = self.entry(id) else { return };
        if call.told {
            return;
        }
        (call.told, call.pieces) = (true, String::new());
        let body = ChunkBody::ToolUseInput {
            tool_id: id,
            content: "".into(),
            input: Some(Json::from(input)),
        };
        let parent = call.parent.clone();
        sink.emit(parent.as_ref(), body);
    }

    /// The arguments of a call have come in pieces, and nobody said them whole.
    pub(super) fn put_together(&mut self, id: &Arc<str>, sink: &mut Sink<'_>) {
        let Some(call) = self.0.get(id).filter(|call| !call.told && !call.done) else { return };
        // Only what is whole: the program may have been cut short.
        let pieces = call.pieces.clone();
        if let Ok(input) = serde_json::from_str::<&RawValue>(&pieces) {
            self.input(id, input, sink);
        }
    }

    /// What a call came to; false when it is of none that runs and none that ran.
    pub(super) fn result(
        &mut self,
        id: &str,
        result: &str,
        is_error: bool,
        sink: &mut Sink<'_>,
    ) -> bool {
        let Some((id, call)) = self.entry(id) else { return false };
        if call.done {
            return true;
        }
        (call.done, call.pieces) = (true, String::new());
        let parent = call.parent.clone();
        let body = ChunkBody::ToolResult { tool_id: id, result: result.into(), is_error };
        sink.emit(parent.as_ref(), body);
        true
    }

    /// Whether a call of the agent itself has begun and not ended.
    pub(super) fn running(&self) -> bool {
        self.0.values().any(|call| !call.done && call.parent.is_none())
    }

    fn entry(&mut self, id: &str) -> Option<(Arc<str>, &mut Call)> {
        let (name, _) = self.0.get_key_value(id)?;
        let name = Arc::clone(name);
        self.0.get_mut(id).map(|call| (name, call))
    }

    /// Forgets calls that have ended when there are too many.
    fn has_room(&mut self) -> bool {
        if self.0.len() >= limits::CLAUDE_TOOL_CALLS {
            self.0.retain(|_, call| !call.done);
        }
        self.0.len() < limits::CLAUDE_TOOL_CALLS
    }
}

//! A chat as messages: what its chunks come to.

use std::sync::Arc;

use crate::event::{ChunkBody, StreamChunk};
use crate::json::Json;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Whoever prompts.
    User,
    /// The agent.
    Assistant,
}

impl Role {
    /// `user` or `assistant`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// In which turn.
    pub turn: u32,
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
    /// The tools that were called.
    pub tool_calls: Vec<ToolCall>,
}

/// A tool call of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The call's name.
    pub id: Arc<str>,
    /// Which tool.
    pub name: Arc<str>,
    /// Its arguments, once they are whole.
    pub input: Option<Json>,
    /// What it gave, once it has.
    pub result: Option<Arc<str>>,
    /// Whether it failed.
    pub is_error: bool,
}

/// Folds chunks into messages, oldest first.
#[derive(Debug, Default)]
pub struct ChatHistory {
    messages: Vec<Message>,
    /// For each piece of the last message: its offset in the topic and where it begins in the text.
    pieces: Vec<(u64, usize)>,
}

impl ChatHistory {
    /// Takes the chunk at `offset` of the chat's topic; they come in order.
    pub fn take(&mut self, offset: u64, chunk: &StreamChunk) {
        if chunk.parent_tool_id.is_some() {
            return;
        }
        match &chunk.body {
            ChunkBody::TurnStarted { prompt, .. } => {
                self.messages.push(message(chunk.turn, Role::User, prompt));
                self.pieces.clear();
            }
            ChunkBody::Text { content, .. } => {
                let begin = self.answer(chunk.turn).content.len();
                self.pieces.push((offset, begin));
                self.answer(chunk.turn).content.push_str(content);
            }
            ChunkBody::Retracted { from_offset } => self.retract(*from_offset),
            ChunkBody::ToolUseStart { tool_name, tool_id } => {
                let call = ToolCall {
                    id: Arc::clone(tool_id),
                    name: Arc::clone(tool_name),
                    input: None,
                    result: None,
                    is_error: false,
                };
                self.answer(chunk.turn).tool_calls.push(call);
            }
            ChunkBody::ToolUseInput { tool_id, input: Some(input), .. } => {
                if let Some(call) = self.call(tool_id) {
                    call.input = Some(input.clone());
                }
            }
            ChunkBody::ToolResult { tool_id, result, is_error } => {
                if let Some(call) = self.call(tool_id) {
                    (call.result, call.is_error) = (Some(Arc::clone(result)), *is_error);
                }
            }
            _ => {}
        }
    }

    /// The messages so far.
    #[must_use]
    pub fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    fn answer(&mut self, turn: u32) -> &mut Message {
        let known = self.messages.last().is_some_and(|last| last.role == Role::Assistant);
        if !known {
            self.messages.push(message(turn, Role::Assistant, ""));
            self.pieces.clear();
        }
        self.messages.last_mut().expect("one is there")
    }

    fn retract(&mut self, from: u64) {
        let keep = self.pieces.partition_point(|(offset, _)| *offset < from);
        let Some((_, begin)) = self.pieces.get(keep).copied() else { return };
        self.pieces.truncate(keep);
        if let Some(last) = self.messages.last_mut() {
            last.content.truncate(begin);
        }
    }

    fn call(&mut self, id: &str) -> Option<&mut ToolCall> {
        let last = self.messages.last_mut()?;
        last.tool_calls.iter_mut().rev().find(|call| &*call.id == id)
    }
}

fn message(turn: u32, role: Role, content: &str) -> Message {
    Message { turn, role, content: content.to_owned(), tool_calls: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> ChunkBody {
        ChunkBody::Text { content: content.into(), block: 0 }
    }

    #[test]
    fn what_was_withdrawn_is_no_part_of_the_answer() {
        let prompt = ChunkBody::TurnStarted { prompt: "go".into(), by: None, queued: false };
        let chunks = [
            prompt,
            text("kept, "),
            text("void"),
            ChunkBody::Retracted { from_offset: 2 },
            text("said"),
        ];
        let mut history = ChatHistory::default();
        for (offset, body) in chunks.into_iter().enumerate() {
            history.take(offset as u64, &StreamChunk::new(1, body));
        }
        let messages = history.into_messages();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].role, &*messages[0].content), (Role::User, "go"));
        assert_eq!((messages[1].role, &*messages[1].content), (Role::Assistant, "kept, said"));
    }
}

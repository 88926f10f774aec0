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

/// Folds chunks into messages, in the order of the turns. A prompt that is cancelled while it waits
/// says so at once, in the middle of the turn before it.
#[derive(Debug, Default)]
pub struct ChatHistory {
    messages: Vec<Message>,
    /// The turn that said the pieces.
    speaking: u32,
    /// For each piece of its answer: its offset in the topic and where it begins in the text.
    pieces: Vec<(u64, usize)>,
}

impl ChatHistory {
    /// Takes the chunk at `offset` of the chat's topic; they come in order.
    pub fn take(&mut self, offset: u64, chunk: &StreamChunk) {
        if chunk.parent_tool_id.is_some() {
            return;
        }
        let turn = chunk.turn;
        match &chunk.body {
            ChunkBody::TurnStarted { prompt, .. } => {
                let end = self.end_of(turn);
                self.messages.insert(end, message(turn, Role::User, prompt));
            }
            ChunkBody::Text { content, .. } => {
                if self.speaking != turn {
                    self.speaking = turn;
                    self.pieces.clear();
                }
                let text = &mut self.answer(turn).content;
                let begin = text.len();
                text.push_str(content);
                self.pieces.push((offset, begin));
            }
            ChunkBody::Retracted { from_offset } => self.retract(turn, *from_offset),
            ChunkBody::ToolUseStart { tool_name, tool_id } => {
                let call = ToolCall {
                    id: Arc::clone(tool_id),
                    name: Arc::clone(tool_name),
                    input: None,
                    result: None,
                    is_error: false,
                };
                self.answer(turn).tool_calls.push(call);
            }
            ChunkBody::ToolUseInput { tool_id, input: Some(input), .. } => {
                if let Some(call) = self.call(turn, tool_id) {
                    call.input = Some(input.clone());
                }
            }
            ChunkBody::ToolResult { tool_id, result, is_error } => {
                if let Some(call) = self.call(turn, tool_id) {
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

    /// Behind the messages of `turn`, and before those of later ones.
    fn end_of(&self, turn: u32) -> usize {
        let before = self.messages.iter().rposition(|known| known.turn <= turn);
        before.map_or(0, |last| last + 1)
    }

    /// What the agent says in `turn`; it begins when there is nothing yet.
    fn answer(&mut self, turn: u32) -> &mut Message {
        let end = self.end_of(turn);
        let last = end.checked_sub(1).filter(|last| {
            let known = &self.messages[*last];
            known.role == Role::Assistant && known.turn == turn
        });
        let place = last.unwrap_or_else(|| {
            self.messages.insert(end, message(turn, Role::Assistant, ""));
            end
        });
        &mut self.messages[place]
    }

    fn retract(&mut self, turn: u32, from: u64) {
        let keep = self.pieces.partition_point(|(offset, _)| *offset < from);
        let Some((_, begin)) = self.pieces.get(keep).copied() else { return };
        if self.speaking == turn {
            self.pieces.truncate(keep);
            self.answer(turn).content.truncate(begin);
        }
    }

    fn call(&mut self, turn: u32, id: &str) -> Option<&mut ToolCall> {
        let end = self.end_of(turn);
        let last = self.messages[..end].last_mut()?;
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

    #[test]
    fn a_prompt_that_is_cancelled_while_it_waits_does_not_tear_the_turn_before_it() {
        let prompt =
            |text: &str| ChunkBody::TurnStarted { prompt: text.into(), by: None, queued: false };
        let chunks = [
            (1, prompt("go")),
            (1, text("one ")),
            (2, prompt("never")),
            (1, text("void")),
            (1, ChunkBody::Retracted { from_offset: 3 }),
            (1, text("two")),
            (3, prompt("on")),
            (3, text("three")),
        ];
        let mut history = ChatHistory::default();
        for (offset, (turn, body)) in chunks.into_iter().enumerate() {
            history.take(offset as u64, &StreamChunk::new(turn, body));
        }
        let messages = history.into_messages();
        let said: Vec<_> =
            messages.iter().map(|message| (message.turn, &*message.content)).collect();
        assert_eq!(said, [(1, "go"), (1, "one two"), (2, "never"), (3, "on"), (3, "three")]);
    }
}

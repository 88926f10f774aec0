//! What comes of the items of a thread: text, thinking and tools, each once.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::item::{self, ItemKind};
use super::wire::{ItemHead, MessageItem, ReasoningItem, ToolItem};
use crate::dialect::Action;
use crate::event::{ChunkBody, StreamChunk};
use crate::json::Json;
use crate::limits;

/// The items of one thread in one turn.
///
/// A broken attempt of the model voids the items that are not complete: those that are, the program
/// keeps and the next attempt goes on from them. So the mark is at the beginning of each item.
#[derive(Debug)]
pub(super) struct Stream {
    turn: u32,
    /// The tool call behind it, when it is a sub-agent's. Its items are shown when they are
    /// complete: there is one mark in a turn, and that is the model's.
    parent: Option<Arc<str>>,
    text: Block,
    thinking: Block,
    /// The item, and the part of it, that is being said.
    speaking: Option<(String, Part)>,
    open: Vec<Open>,
    /// Items that are complete, lest one is told twice.
    done: VecDeque<String>,
    /// Whether something was said since the mark.
    said: bool,
    /// Whether a tool was used since somebody asked.
    tool_used: bool,
}

/// Which block comes next.
#[derive(Debug, Default)]
struct Block {
    number: u32,
    used: bool,
}

/// A part of an item: of its summary, or of what is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A message has only one.
    Whole,
    /// A part of a summary of thoughts.
    Summary(u32),
    /// A part of the thoughts themselves.
    Content(u32),
}

/// An item that is not complete.
#[derive(Debug)]
struct Open {
    id: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Message(Box<Said>),
    Reasoning { said: bool },
    Tool { changes: Option<Json> },
}

/// What was said of a message: its length and its digest, so that no text is kept.
#[derive(Debug, Default)]
struct Said {
    bytes: usize,
    digest: blake3::Hasher,
}

impl Said {
    fn push(&mut self, piece: &str) {
        self.bytes += piece.len();
        self.digest.update(piece.as_bytes());
    }

    /// What of `whole` was not said; none when something else was.
    fn rest<'a>(&self, whole: &'a str) -> Option<&'a str> {
        let (said, rest) = whole.split_at_checked(self.bytes)?;
        (blake3::hash(said.as_bytes()) == self.digest.finalize()).then_some(rest)
    }
}

impl Block {
    fn current(&mut self) -> u32 {
        self.used = true;
        self.number
    }

    fn close(&mut self) {
        self.number += u32::from(self.used);
        self.used = false;
    }
}

impl Stream {
    pub(super) fn new(turn: u32, parent: Option<Arc<str>>) -> Self {
        Self {
            turn,
            parent,
            text: Block::default(),
            thinking: Block::default(),
            speaking: None,
            open: Vec::new(),
            done: VecDeque::new(),
            said: false,
            tool_used: false,
        }
    }

    /// An item began; false when it is none that is known.
    pub(super) fn started(&mut self, raw: &RawValue, out: &mut Vec<Action>) -> bool {
        let Some((kind, name, id)) = head(raw) else { return false };
        match kind {
            ItemKind::Message | ItemKind::Reasoning if self.parent.is_some() => {}
            ItemKind::Message => self.begin_said(&id, What::Message(Box::default()), out),
            ItemKind::Reasoning => self.begin_said(&id, What::Reasoning { said: false }, out),
            ItemKind::Tool => {
                let Ok(tool) = serde_json::from_str(raw.get()) else { return false };
                if !self.has_tool(&id) {
                    self.tool_started(&name, &id, &tool, out);
                }
            }
            ItemKind::Silent => {}
        }
        true
    }

    /// An item is complete; false when it is none that is known.
    pub(super) fn completed(&mut self, raw: &RawValue, out: &mut Vec<Action>) -> bool {
        let Some((kind, name, id)) = head(raw) else { return false };
        if kind == ItemKind::Silent || (self.at(&id).is_none() && self.done.contains(&id)) {
            return true;
        }
        match kind {
            ItemKind::Message => {
                let Ok(item) = serde_json::from_str::<MessageItem>(raw.get()) else { return false };
                self.message_completed(&id, item.text.as_deref().unwrap_or_default(), out);
            }
            ItemKind::Reasoning => {
                let Ok(item) = serde_json::from_str(raw.get()) else { return false };
                self.reasoning_completed(&id, item, out);
            }
            _ => {
                let Ok(item) = serde_json::from_str(raw.get()) else { return false };
                self.tool_completed(&name, &id, &item, out);
            }
        }
        self.done.push_back(id);
        if self.done.len() > limits::CODEX_OPEN_ITEMS {
            self.done.pop_front();
        }
        true
    }

    /// The next piece of a message or of thoughts.
    pub(super) fn delta(&mut self, id: &str, part: Part, piece: &str, out: &mut Vec<Action>) {
        if self.parent.is_some() || piece.is_empty() {
            return;
        }
        if self.at(id).is_none() {
            let what = match part {
                Part::Whole => What::Message(Box::default()),
                _ => What::Reasoning { said: false },
            };
            self.begin_said(id, what, out);
        }
        match self.at(id).map(|at| &mut self.open[at].what) {
            Some(What::Message(said)) => said.push(piece),
            Some(What::Reasoning { said }) => *said = true,
            // Words of a tool are none of the model's, and no mark is where they would begin.
            _ => return,
        }
        self.said = true;
        self.say(id, part, piece, out);
    }

    /// The attempt of the model is void, and another one comes.
    pub(super) fn retry(&mut self, out: &mut Vec<Action>) {
        self.open.retain(|open| matches!(open.what, What::Tool { .. }));
        self.void(out);
    }

    /// The last of the items that the program counts to the turn: a message of it that was not
    /// said is said now.
    pub(super) fn finished(&mut self, items: &[&RawValue], out: &mut Vec<Action>) {
        let is_message =
            |raw: &&&RawValue| head(raw).is_some_and(|(kind, _, _)| kind == ItemKind::Message);
        if let Some(raw) = items.iter().rev().find(is_message) {
            self.completed(raw, out);
        }
    }

    /// What the change of files `id` would do, while it is not complete.
    pub(super) fn changes(&self, id: &str) -> Option<&Json> {
        match &self.open[self.at(id)?].what {
            What::Tool { changes } => changes.as_ref(),
            _ => None,
        }
    }

    /// Whether a tool is at work.
    pub(super) fn tool_works(&self) -> bool {
        self.open.iter().any(|open| matches!(open.what, What::Tool { .. }))
    }

    /// Whether a tool was used since this was asked last.
    pub(super) fn tool_was_used(&mut self) -> bool {
        std::mem::take(&mut self.tool_used)
    }

    fn at(&self, id: &str) -> Option<usize> {
        self.open.iter().position(|open| open.id == id)
    }

    fn has_tool(&self, id: &str) -> bool {
        self.at(id).is_some_and(|at| matches!(self.open[at].what, What::Tool { .. }))
    }

    fn begin(&mut self, id: &str, what: What) {
        self.open.retain(|open| open.id != id);
        if self.open.len() == limits::CODEX_OPEN_ITEMS {
            self.open.remove(0);
        }
        self.done.retain(|done| done != id);
        self.open.push(Open { id: id.into(), what });
    }

    /// A message or thoughts begin, perhaps for the second time: then the first is void.
    fn begin_said(&mut self, id: &str, what: What, out: &mut Vec<Action>) {
        if let Some(at) = self.at(id) {
            self.open.remove(at);
            self.void(out);
        }
        if !self.others_are_said() && self.parent.is_none() {
            out.push(Action::Mark);
            self.said = false;
        }
        self.begin(id, what);
    }

    fn void(&mut self, out: &mut Vec<Action>) {
        if std::mem::take(&mut self.said) {
            out.push(Action::Retract);
        }
        self.speaking = None;
        self.text.used = false;
        self.thinking.used = false;
    }

    fn message_completed(&mut self, id: &str, whole: &str, out: &mut Vec<Action>) {
        if self.at(id).is_none() {
            self.begin_said(id, What::Message(Box::default()), out);
        }
        let open = self.at(id).map(|at| self.open.remove(at).what);
        let Some(What::Message(said)) = open else { return };
        let rest = said.rest(whole).unwrap_or_else(|| {
            // It was not that which was said.
            self.void(out);
            whole
        });
        if !rest.is_empty() {
            self.said = true;
            self.say(id, Part::Whole, rest, out);
        }
        self.stands();
    }

    fn reasoning_completed(&mut self, id: &str, item: ReasoningItem, out: &mut Vec<Action>) {
        let open = self.at(id).map(|at| self.open.remove(at).what);
        if matches!(open, Some(What::Reasoning { said: true })) {
            return self.stands();
        }
        let summary = item.summary.filter(|parts| !parts.is_empty());
        let parts = summary.or(item.content).unwrap_or_default();
        for (part, number) in parts.iter().zip(0..) {
            if !part.is_empty() {
                self.say(id, Part::Summary(number), part, out);
            }
        }
        self.stands();
    }

    /// An item is complete: what was said stands, unless another one is open beside it.
    fn stands(&mut self) {
        self.said &= self.others_are_said();
        self.fall_silent();
    }

    fn others_are_said(&self) -> bool {
        self.open.iter().any(|open| !matches!(open.what, What::Tool { .. }))
    }

    /// What begins next is another block.
    fn fall_silent(&mut self) {
        self.speaking = None;
        self.text.close();
        self.thinking.close();
    }

    fn say(&mut self, id: &str, part: Part, piece: &str, out: &mut Vec<Action>) {
        let same = self.speaking.as_ref().is_some_and(|(last, same)| last == id && *same == part);
        if !same {
            self.fall_silent();
            self.speaking = Some((id.into(), part));
        }
        let content = piece.into();
        let body = match part {
            Part::Whole => ChunkBody::Text { content, block: self.text.current() },
            _ => ChunkBody::Thinking { content, block: self.thinking.current() },
        };
        self.emit(out, body);
    }

    fn tool_started(&mut self, kind: &str, id: &str, item: &ToolItem<'_>, out: &mut Vec<Action>) {
        self.fall_silent();
        self.tool_used = true;
        self.begin(id, What::Tool { changes: item.changes.map(Json::from) });
        let tool_name = item::tool_name(kind, item).into();
        self.emit(out, ChunkBody::ToolUseStart { tool_name, tool_id: id.into() });
        if item::begins_with_input(kind) {
            self.tool_input(kind, id, item, out);
        }
    }

    fn tool_input(&self, kind: &str, id: &str, item: &ToolItem<'_>, out: &mut Vec<Action>) {
        let input = Some(item::tool_input(kind, item));
        self.emit(out, ChunkBody::ToolUseInput { tool_id: id.into(), content: "".into(), input });
    }

    fn tool_completed(&mut self, kind: &str, id: &str, item: &ToolItem<'_>, out: &mut Vec<Action>) {
        if !self.has_tool(id) {
            self.tool_started(kind, id, item, out);
        }
        if !item::begins_with_input(kind) {
            self.tool_input(kind, id, item, out);
        }
        self.open.retain(|open| open.id != id);
        let (result, is_error) = item::tool_result(kind, item);
        let result = result.into();
        self.emit(out, ChunkBody::ToolResult { tool_id: id.into(), result, is_error });
    }

    fn emit(&self, out: &mut Vec<Action>, body: ChunkBody) {
        let mut chunk = StreamChunk::new(self.turn, body);
        chunk.parent_tool_id.clone_from(&self.parent);
        out.push(Action::Emit(chunk));
    }
}

/// What an item is, the name of its type, and its id.
fn head(raw: &RawValue) -> Option<(ItemKind, String, String)> {
    let head: ItemHead = serde_json::from_str(raw.get()).ok()?;
    let (name, id) = (head.kind?, head.id?);
    Some((item::kind(&name)?, name, id))
}

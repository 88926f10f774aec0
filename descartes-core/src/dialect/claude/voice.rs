//! What one speaker says, the agent or one of its sub-agents: once, although the program repeats
//! every block, and sometimes repeats another one.

use std::sync::Arc;

use super::wire::Message;
use crate::dialect::Action;
use crate::event::{ChunkBody, StreamChunk};
use crate::limits;

/// Where the chunks of a turn go.
pub(super) struct Sink<'a> {
    pub(super) turn: u32,
    pub(super) out: &'a mut Vec<Action>,
}

impl Sink<'_> {
    /// Emits `body`, which the sub-agent of `parent` says if there is one.
    pub(super) fn emit(&mut self, parent: Option<&Arc<str>>, body: ChunkBody) {
        let chunk = StreamChunk::new(self.turn, body);
        let chunk = match parent {
            Some(parent) => chunk.under(Arc::clone(parent)),
            None => chunk,
        };
        self.out.push(Action::Emit(chunk));
    }
}

/// What is said: part of the answer or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
}

/// Numbers of blocks: a new one begins with the first piece after a tool call.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    block: u32,
    used: bool,
}

impl Count {
    fn next(&mut self) {
        self.block += u32::from(self.used);
        self.used = false;
    }
}

/// How far a speaker is.
#[derive(Clone, Debug, Default)]
struct Said {
    text: Count,
    thinking: Count,
    /// The block of text that was begun last; empty where it is too long to be kept.
    last: String,
    last_is_whole: bool,
}

/// What came of the model in one go.
#[derive(Debug, Default)]
struct Attempt {
    id: Option<String>,
    /// It came in pieces, so that whole blocks are repetitions.
    streamed: bool,
    /// Its end has not come.
    open: bool,
    /// Why the model stopped.
    stop: Option<String>,
    /// Something of it was emitted.
    emitted: bool,
    /// It is too long to be compared with repetitions, which are believed then.
    lost: bool,
    bytes: usize,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    index: Option<u64>,
    kind: Kind,
    text: String,
    /// The program has repeated it.
    confirmed: bool,
}

/// What a block costs beside its text.
const BLOCK_BYTES: usize = 64;

/// A speaker.
#[derive(Debug)]
pub(super) struct Voice {
    parent: Option<Arc<str>>,
    said: Said,
    marked: Said,
    attempt: Attempt,
    /// The line that was read last.
    seen: Option<String>,
}

impl Voice {
    /// The agent, or the sub-agent of the tool call `parent`.
    pub(super) fn new(parent: Option<Arc<str>>) -> Self {
        Self {
            parent,
            said: Said::default(),
            marked: Said::default(),
            attempt: Attempt::default(),
            seen: None,
        }
    }

    pub(super) fn parent(&self) -> Option<&Arc<str>> {
        self.parent.as_ref()
    }

    /// A message begins to come in pieces. One that has not ended is dead.
    pub(super) fn begin(&mut self, id: Option<String>, sink: &mut Sink<'_>) {
        if self.attempt.open {
            self.void(sink);
        }
        self.mark(sink);
        self.attempt = Attempt { id, streamed: true, open: true, ..Attempt::default() };
    }

    /// A piece of a block.
    pub(super) fn piece(
        &mut self,
        kind: Kind,
        index: Option<u64>,
        text: &str,
        sink: &mut Sink<'_>,
    ) {
        if !self.attempt.streamed {
            self.begin(None, sink);
        }
        if text.is_empty() {
            return;
        }
        self.keep(Block { index, kind, text: text.to_owned(), confirmed: false });
        self.say(kind, text, sink);
    }

    /// Whether a line was the last one too.
    pub(super) fn is_repeated(&mut self, line: Option<String>) -> bool {
        let repeated = line.is_some() && line == self.seen;
        self.seen = line;
        repeated
    }

    /// A line of `message` follows. When it does not repeat what came in pieces, those are void.
    pub(super) fn attend(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) {
        let other =
            self.attempt.id.is_some() && message.id.is_some() && message.id != self.attempt.id;
        // Only a message that did not come in pieces knows its end before its blocks.
        if self.attempt.open && (other || message.stop_reason.is_some()) {
            self.void(sink);
            self.attempt.streamed = false;
        }
        if other || self.attempt.id.is_none() {
            if !self.attempt.streamed || other {
                self.mark(sink);
                self.attempt = Attempt::default();
            }
            self.attempt.id.clone_from(&message.id);
        }
        if message.stop_reason.is_some() {
            self.attempt.stop.clone_from(&message.stop_reason);
        }
    }

    /// A whole block, which repeats what came in pieces or is new.
    pub(super) fn whole(&mut self, kind: Kind, text: &str, sink: &mut Sink<'_>) {
        if !self.attempt.streamed {
            return self.say(kind, text, sink);
        }
        if self.attempt.lost {
            return;
        }
        let blocks = &mut self.attempt.blocks;
        let Some(block) = blocks.iter_mut().find(|b| b.kind == kind && !b.confirmed) else {
            self.keep(Block { index: None, kind, text: text.to_owned(), confirmed: true });
            return self.say(kind, text, sink);
        };
        if let Some(rest) = text.strip_prefix(&*block.text) {
            block.confirmed = true;
            return self.say(kind, rest, sink);
        }
        self.void(sink);
        self.keep(Block { index: None, kind, text: text.to_owned(), confirmed: true });
        self.say(kind, text, sink);
    }

    /// Something that no model said, and that is part of the answer all the same.
    pub(super) fn aside(&mut self, text: &str, sink: &mut Sink<'_>) {
        self.said.text.next();
        self.say(Kind::Text, text, sink);
    }

    /// More of the last block of text.
    pub(super) fn go_on(&mut self, text: &str, sink: &mut Sink<'_>) {
        self.say(Kind::Text, text, sink);
    }

    /// What came in pieces since the attempt began is not what the model said.
    pub(super) fn void(&mut self, sink: &mut Sink<'_>) {
        if self.attempt.emitted {
            if self.parent.is_none() {
                sink.out.push(Action::Retract);
                self.said.clone_from(&self.marked);
            } else {
                // Of a sub-agent nothing can be withdrawn: what it says now is another block.
                self.said.text.next();
                self.said.thinking.next();
            }
        }
        let attempt = &mut self.attempt;
        (attempt.open, attempt.emitted, attempt.lost) = (false, false, false);
        (attempt.blocks, attempt.bytes) = (Vec::new(), 0);
    }

    /// The model gave a reason to stop.
    pub(super) fn stopping(&mut self, reason: Option<String>) {
        self.attempt.stop = reason;
    }

    /// The message has ended.
    pub(super) fn stop(&mut self) {
        self.attempt.open = false;
    }

    /// Whether a message has begun to come in pieces and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.attempt.open
    }

    /// Whether the model has ended its message, and not to call a tool.
    pub(super) fn has_answered(&self) -> bool {
        !self.attempt.open && self.attempt.stop.as_deref().is_some_and(|stop| stop != "tool_use")
    }

    /// A tool was called: what follows is another block.
    pub(super) fn tool_called(&mut self) {
        self.said.text.next();
        self.said.thinking.next();
    }

    /// What of the program's final text `told` has not been said.
    pub(super) fn unsaid<'t>(&self, told: &'t str) -> Option<&'t str> {
        let said = &self.said;
        if told.trim().is_empty() || !said.last_is_whole && !said.last.is_empty() {
            return None;
        }
        if said.last.trim_end().ends_with(told.trim()) {
            return None;
        }
        match told.strip_prefix(&*said.last) {
            Some(rest) if self.said.text.used => Some(rest),
            _ => Some(told),
        }
    }

    fn mark(&mut self, sink: &mut Sink<'_>) {
        self.marked.clone_from(&self.said);
        if self.parent.is_none() {
            sink.out.push(Action::Mark);
        }
    }

    /// Remembers a piece, behind the ones of the same block.
    fn keep(&mut self, piece: Block) {
        let attempt = &mut self.attempt;
        attempt.bytes += piece.text.len() + BLOCK_BYTES;
        if attempt.lost || attempt.bytes > limits::CLAUDE_ATTEMPT_BYTES {
            attempt.lost = true;
            attempt.blocks = Vec::new();
            return;
        }
        match attempt.blocks.last_mut() {
            Some(last)
                if !last.confirmed && last.kind == piece.kind && last.index == piece.index =>
            {
                attempt.bytes -= BLOCK_BYTES;
                last.text.push_str(&piece.text);
            }
            _ => attempt.blocks.push(piece),
        }
    }

    fn say(&mut self, kind: Kind, text: &str, sink: &mut Sink<'_>) {
        if text.is_empty() {
            return;
        }
        self.attempt.emitted = true;
        let content = Arc::from(text);
        let body = match kind {
            Kind::Thinking => {
                self.said.thinking.used = true;
                ChunkBody::Thinking { content, block: self.said.thinking.block }
            }
            Kind::Text => {
                self.remember(text);
                ChunkBody::Text { content, block: self.said.text.block }
            }
        };
        sink.emit(self.parent.as_ref(), body);
    }

    /// Keeps the last block of the agent's text, if it can be kept whole.
    fn remember(&mut self, text: &str) {
        let said = &mut self.said;
        if !said.text.used {
            (said.text.used, said.last_is_whole) = (true, true);
            said.last.clear();
        }
        let fits = said.last.len() + text.len() <= limits::CLAUDE_ATTEMPT_BYTES;
        if self.parent.is_none() && said.last_is_whole {
            if fits {
                said.last.push_str(text);
            } else {
                said.last_is_whole = false;
            }
        }
    }
}

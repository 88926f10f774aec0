//! A turn: from the prompt to the line that closes it.

use std::sync::Arc;
use std::time::Instant;

use super::calls::Calls;
use super::failure::{self, Failure};
use super::spent::Spent;
use super::voice::{Kind, Sink, Voice};
use super::wire::{Block, Closing, Event, Line, Message, read};
use crate::dialect::{Action, TurnEnd};
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits;

/// How far the prompt is.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is kept until the program can take it.
    Kept(Vec<u8>),
    /// The program has it.
    Sent,
    /// The program works on it.
    Begun,
}

/// Somebody cancelled: when the program is asked again, and when it is sent a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cancelling {
    pub(super) again: Option<Instant>,
    pub(super) signal: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Turn {
    pub(super) number: u32,
    pub(super) stage: Stage,
    pub(super) cancelling: Option<Cancelling>,
    /// When a turn is over whose closing line was too long to be shown.
    pub(super) lost_end: Option<Instant>,
    /// How it ended, when the end of the process is still to come.
    pub(super) over: Option<TurnEnd>,
    voice: Voice,
    sub_agents: Vec<Voice>,
    calls: Calls,
    /// The calls of the messages that come in pieces, by speaker and block.
    pieces: Vec<(Option<Arc<str>>, u64, Arc<str>)>,
    spent: Spent,
    failure: Option<Failure>,
}

impl Turn {
    pub(super) fn new(number: u32, prompt: Vec<u8>) -> Self {
        Self {
            number,
            stage: Stage::Kept(prompt),
            cancelling: None,
            lost_end: None,
            over: None,
            voice: Voice::new(None),
            sub_agents: Vec::new(),
            calls: Calls::default(),
            pieces: Vec::new(),
            spent: Spent::default(),
            failure: None,
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self.stage, Stage::Kept(_))
    }

    /// What the model streams; false when it is not understood.
    pub(super) fn stream(&mut self, line: &Line<'_>, out: &mut Vec<Action>) -> bool {
        let Some(event) = read::<Event<'_>>(line.event) else { return false };
        let parent = line.parent_tool_use_id.as_deref().map(Arc::from);
        let sink = &mut Sink { turn: self.number, out };
        match event.kind.as_deref() {
            Some("message_start") => {
                let message = read::<Message<'_>>(event.message).unwrap_or_default();
                if parent.is_none() {
                    self.spent.begin(message.id.clone(), message.usage);
                }
                self.pieces.retain(|(of, ..)| *of != parent);
                self.speaker(parent).begin(message.id, sink);
            }
            Some("content_block_start") => self.block_begins(parent, &event, sink),
            Some("content_block_delta") => self.piece(parent, event, sink),
            Some("message_delta") => {
                if let (None, Some(tokens)) = (&parent, event.usage) {
                    self.spent.update(tokens);
                    sink.emit(None, ChunkBody::Usage(self.spent.so_far()));
                }
                let reason = event.delta.and_then(|delta| delta.stop_reason);
                self.speaker(parent).stopping(reason);
            }
            Some("message_stop") => {
                let ended = self.pieces.extract_if(.., |(of, ..)| *of == parent);
                for (_, _, id) in ended.collect::<Vec<_>>() {
                    self.calls.put_together(&id, sink);
                }
                self.speaker(parent).stop();
            }
            Some("content_block_stop" | "ping" | "error") => {}
            _ => return false,
        }
        true
    }

    fn block_begins(&mut self, parent: Option<Arc<str>>, event: &Event<'_>, sink: &mut Sink<'_>) {
        let Some(block) = read::<Block<'_>>(event.content_block) else { return };
        if let (Some(id), Some(index)) = (is_call(&block), event.index) {
            self.begin_call(id, block.name.as_deref(), parent.clone(), sink);
            if self.pieces.len() < limits::CLAUDE_TOOL_CALLS {
                self.pieces.push((parent, index, id.into()));
            }
            return;
        }
        for (kind, text) in [(Kind::Text, block.text), (Kind::Thinking, block.thinking)] {
            if let Some(text) = text {
                self.speaker(parent.clone()).piece(kind, event.index, &text, sink);
            }
        }
    }

    fn piece(&mut self, parent: Option<Arc<str>>, event: Event<'_>, sink: &mut Sink<'_>) {
        let Some(delta) = event.delta else { return };
        match delta.kind.as_deref() {
            Some("text_delta") => {
                let text = delta.text.unwrap_or_default();
                self.speaker(parent).piece(Kind::Text, event.index, &text, sink);
            }
            Some("thinking_delta") => {
                let text = delta.thinking.unwrap_or_default();
                self.speaker(parent).piece(Kind::Thinking, event.index, &text, sink);
            }
            Some("input_json_delta") => {
                let piece = delta.partial_json.unwrap_or_default();
                let mut calls = self.pieces.iter().rev();
                let call = calls.find(|(of, at, _)| *of == parent && Some(*at) == event.index);
                if let Some((_, _, id)) = call {
                    self.calls.piece(id, &piece, sink);
                }
            }
            // Signatures and citations say nothing to people.
            _ => {}
        }
    }

    /// A line that repeats a block, or brings one that was not streamed.
    pub(super) fn assistant(&mut self, line: Line<'_>, out: &mut Vec<Action>) -> bool {
        let Some(message) = read::<Message<'_>>(line.message) else { return false };
        let parent = line.parent_tool_use_id.as_deref().map(Arc::from);
        let sink = &mut Sink { turn: self.number, out };
        let synthetic = message.model.as_deref() == Some("<synthetic>");
        let blocks = message.blocks();
        let text = blocks.iter().find_map(|block| block.text.clone()).unwrap_or_default();
        if parent.is_none() && (line.error.is_some() || is_error_text(synthetic, &text)) {
            // The program's own words for a failure are no part of the answer.
            self.failure = Some(Failure { word: line.error, text });
            return true;
        }
        let voice = self.speaker(parent.clone());
        if voice.is_repeated(line.uuid) {
            return true;
        }
        if synthetic {
            voice.aside(&text, sink);
            return true;
        }
        voice.attend(&message, sink);
        if let (None, Some(tokens), Some(_)) = (&parent, message.usage, &message.stop_reason) {
            self.spent.begin(message.id.clone(), None);
            self.spent.update(tokens);
        }
        for block in &blocks {
            self.whole(parent.as_ref(), block, sink);
        }
        true
    }

    fn whole(&mut self, parent: Option<&Arc<str>>, block: &Block<'_>, sink: &mut Sink<'_>) {
        if let Some(id) = is_call(block) {
            self.begin_call(id, block.name.as_deref(), parent.cloned(), sink);
            if let Some(input) = block.input {
                self.calls.input(id, input, sink);
            }
            return;
        }
        match (block.kind.as_deref(), &block.text, &block.thinking, &block.tool_use_id) {
            (Some("text"), Some(text), ..) => {
                self.speaker(parent.cloned()).whole(Kind::Text, text, sink);
            }
            (Some("thinking"), _, Some(text), _) => {
                self.speaker(parent.cloned()).whole(Kind::Thinking, text, sink);
            }
            // A tool that the model's owner runs.
            (Some(kind), .., Some(id)) if kind.ends_with("tool_result") => {
                self.calls.result(id, &block.result(), block.is_error == Some(true), sink);
            }
            _ => {}
        }
    }

    /// What tools gave; false when it is of no call that is known.
    pub(super) fn user(&mut self, line: &Line<'_>, out: &mut Vec<Action>) -> bool {
        let Some(message) = read::<Message<'_>>(line.message) else { return false };
        let sink = &mut Sink { turn: self.number, out };
        let mut known = true;
        for block in message.blocks() {
            if let (Some("tool_result"), Some(id)) = (block.kind.as_deref(), &block.tool_use_id) {
                let failed = block.is_error == Some(true);
                known &= self.calls.result(id, &block.result(), failed, sink);
            }
        }
        known
    }

    /// The program tries again what it asked of the model.
    pub(super) fn retry(&mut self, out: &mut Vec<Action>) {
        // While tools run it may be a sub-agent that tries again.
        if self.voice.is_open() && !self.calls.running() {
            self.voice.void(&mut Sink { turn: self.number, out });
        }
    }

    /// Whether a tool of the agent works.
    pub(super) fn is_calling(&self) -> bool {
        self.calls.running()
    }

    /// Whether the process was told to end the turn by a signal, by which it ends too.
    pub(super) fn is_signalled(&self) -> bool {
        self.cancelling.is_some_and(|cancelling| cancelling.signal.is_none())
    }

    /// Whether nothing but the closing line can be expected.
    pub(super) fn has_answered(&self) -> bool {
        self.voice.has_answered() && !self.calls.running()
    }

    /// The end, as the program tells it, and what there was no chunk of.
    pub(super) fn close(&self, closing: Option<&Closing>, cost: Option<f64>) -> TurnEnd {
        let told = closing.map_or("", |closing| closing.terminal_reason.as_deref().unwrap_or(""));
        let aborted = told.starts_with("aborted");
        let subtype = closing.and_then(|closing| closing.subtype.as_deref());
        let failed = self.failure.is_some()
            || closing.is_some_and(|closing| closing.is_error == Some(true))
            || subtype.is_some_and(|subtype| subtype.starts_with("error"));
        let mut end = if self.cancelling.is_some() && (aborted || failed) {
            TurnEnd::new(self.number, TurnOutcome::Cancelled)
        } else if aborted {
            let message = "somebody else interrupted the program";
            let error = ChunkError::new(ChunkErrorKind::AgentCrashed, message);
            let end = TurnEnd::new(self.number, TurnOutcome::Interrupted);
            TurnEnd { error: Some(error), ..end }
        } else if failed {
            let unknown = Closing::default();
            let closing = closing.unwrap_or(&unknown);
            TurnEnd::failed(self.number, failure::of_turn(closing, self.failure.as_ref()))
        } else {
            TurnEnd::new(self.number, TurnOutcome::Completed)
        };
        end.usage = self.spent.total(closing, cost);
        end
    }

    /// Says what of the final text was never streamed.
    pub(super) fn complete(&mut self, closing: &Closing, out: &mut Vec<Action>) {
        let Some(text) = &closing.result else { return };
        let Some(rest) = self.voice.unsaid(text) else { return };
        let sink = &mut Sink { turn: self.number, out };
        if rest.len() < text.len() {
            self.voice.go_on(rest, sink);
        } else {
            self.voice.aside(rest, sink);
        }
    }

    fn begin_call(
        &mut self,
        id: &str,
        name: Option<&str>,
        parent: Option<Arc<str>>,
        sink: &mut Sink<'_>,
    ) {
        if self.calls.begin(id, name.unwrap_or("unknown"), parent.as_ref(), sink) {
            self.speaker(parent).tool_called();
        }
    }

    /// Who speaks for the tool call `parent`, or the agent itself.
    fn speaker(&mut self, parent: Option<Arc<str>>) -> &mut Voice {
        let Some(parent) = parent else { return &mut self.voice };
        let known = self.sub_agents.iter().position(|voice| voice.parent() == Some(&parent));
        let at = known.unwrap_or_else(|| {
            if self.sub_agents.len() >= limits::CLAUDE_SUB_AGENTS {
                self.sub_agents.remove(0);
            }
            self.sub_agents.push(Voice::new(Some(parent)));
            self.sub_agents.len() - 1
        });
        &mut self.sub_agents[at]
    }
}

/// The name of the call that a block begins, if it begins one.
fn is_call<'b>(block: &'b Block<'_>) -> Option<&'b str> {
    let call = block.kind.as_deref().is_some_and(|kind| kind.ends_with("tool_use"));
    block.id.as_deref().filter(|_| call)
}

/// Whether it is the program's way to say that the model cannot be reached.
fn is_error_text(synthetic: bool, text: &str) -> bool {
    synthetic && text.starts_with("API Error")
}

//! Shows an agent's lines to whoever understands them: its dialect, or the conversation with it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::chat::{Heard, Link};
use crate::cursor::Cursor;
use crate::dialect::{Action, Dialect, Input};
use crate::event::StreamName;
use crate::limits::DIALECT_LINE_BYTES;

/// Who understands an agent's lines.
pub(crate) struct Observer {
    lines: [Line; 2],
    listener: Listener,
}

enum Listener {
    /// A dialect that knows how to pause and nothing more.
    Words { dialect: Box<dyn Dialect>, paused: watch::Sender<bool> },
    /// A conversation, which has the dialect.
    Conversation(Arc<Link>),
}

#[derive(Default)]
struct Line {
    begun: Vec<u8>,
    /// How long it is.
    bytes: u64,
    /// The head of the journal when it began, which so has it behind that.
    began: Option<Cursor>,
}

impl Observer {
    /// Lines of an agent whose dialect knows how to pause.
    pub(crate) fn new(dialect: Box<dyn Dialect>) -> Self {
        let listener = Listener::Words { dialect, paused: watch::Sender::new(false) };
        Self { lines: Default::default(), listener }
    }

    /// Lines of an agent that somebody converses with.
    pub(crate) fn conversation(link: Arc<Link>) -> Self {
        Self { lines: Default::default(), listener: Listener::Conversation(link) }
    }

    /// Asks the agent to pause or to go on: what to write, and where its answer will show. None
    /// when it has no words for that.
    pub(crate) fn ask(&mut self, input: Input<'_>) -> Option<(Vec<u8>, watch::Receiver<bool>)> {
        let Listener::Words { dialect, paused } = &mut self.listener else { return None };
        let mut bytes = Vec::new();
        for action in handle(&mut **dialect, paused, input) {
            if let Action::Send(send) = action {
                bytes.extend(send);
            }
        }
        Some((bytes, paused.subscribe()))
    }

    /// Takes what the agent wrote, before it is written down; `head` tells how far the journal is.
    pub(crate) fn look(&mut self, stream: StreamName, mut bytes: &[u8], head: impl Fn() -> Cursor) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let line = &mut self.lines[stream as usize];
            if line.bytes == 0 && end > DIALECT_LINE_BYTES {
                line.began = Some(head());
            }
            line.push(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.show(stream);
        }
        let line = &mut self.lines[stream as usize];
        if line.bytes == 0 && !bytes.is_empty() {
            line.began = Some(head());
        }
        line.push(bytes);
    }

    /// Nothing more comes in this run: what has no newline is a line all the same.
    pub(crate) fn finish(&mut self) {
        for stream in StreamName::ALL {
            if self.lines[stream as usize].bytes > 0 {
                self.show(stream);
            }
        }
    }

    /// What joins the agent and its conversation, where it has one.
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        match &self.listener {
            Listener::Words { .. } => None,
            Listener::Conversation(link) => Some(link),
        }
    }

    /// Shows a line that has ended.
    fn show(&mut self, stream: StreamName) {
        let Line { begun, bytes, began } = std::mem::take(&mut self.lines[stream as usize]);
        let is_oversize = bytes > DIALECT_LINE_BYTES as u64;
        match &mut self.listener {
            Listener::Words { dialect, paused } => {
                let input = if is_oversize {
                    Input::Oversize { stream, bytes }
                } else {
                    Input::Line { stream, bytes: &begun }
                };
                handle(&mut **dialect, paused, input);
            }
            Listener::Conversation(link) if is_oversize => {
                link.tell(Heard::Oversize { stream, bytes, began });
            }
            Listener::Conversation(link) => link.tell(Heard::Line { stream, bytes: begun }),
        }
    }
}

fn handle(
    dialect: &mut dyn Dialect,
    paused: &watch::Sender<bool>,
    input: Input<'_>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    dialect.handle(Instant::now(), input, &mut actions);
    for action in &actions {
        match action {
            Action::Paused => drop(paused.send_replace(true)),
            Action::Resumed => drop(paused.send_replace(false)),
            _ => {}
        }
    }
    actions
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.bytes > DIALECT_LINE_BYTES as u64 {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }
}

//! Shows an agent's lines to its dialect, and keeps what the dialect says.

use std::time::Instant;

use tokio::sync::watch;

use crate::dialect::{Action, Dialect, Input};
use crate::event::StreamName;
use crate::limits::DIALECT_LINE_BYTES;

/// A dialect in conversation with one agent.
pub(crate) struct Observer {
    dialect: Box<dyn Dialect>,
    lines: [Line; 2],
    paused: watch::Sender<bool>,
}

#[derive(Default)]
struct Line {
    begun: Vec<u8>,
    /// How long it is.
    bytes: u64,
}

impl Observer {
    pub(crate) fn new(dialect: Box<dyn Dialect>) -> Self {
        Self { dialect, lines: Default::default(), paused: watch::Sender::new(false) }
    }

    /// Asks the agent to pause or to go on: what to write, and where its answer will show.
    pub(crate) fn ask(&mut self, input: Input<'_>) -> (Vec<u8>, watch::Receiver<bool>) {
        let mut bytes = Vec::new();
        for action in self.handle(input) {
            if let Action::Send(send) = action {
                bytes.extend(send);
            }
        }
        (bytes, self.paused.subscribe())
    }

    /// Takes what the agent wrote.
    pub(crate) fn look(&mut self, stream: StreamName, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let line = &mut self.lines[stream as usize];
            line.push(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let Line { begun, bytes: length } = std::mem::take(line);
            let input = if length > DIALECT_LINE_BYTES as u64 {
                Input::Oversize { stream, bytes: length }
            } else {
                Input::Line { stream, bytes: &begun }
            };
            self.handle(input);
        }
        self.lines[stream as usize].push(bytes);
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dialect.handle(Instant::now(), input, &mut actions);
        for action in &actions {
            match action {
                Action::Paused => drop(self.paused.send_replace(true)),
                Action::Resumed => drop(self.paused.send_replace(false)),
                _ => {}
            }
        }
        actions
    }
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

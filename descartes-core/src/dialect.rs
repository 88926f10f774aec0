//! Dialects: how to talk to an agent program, without I/O.
//!
//! Inputs and time go in, actions come out; core moves the bytes.

mod lines;

use std::time::Instant;

pub use lines::{Lines, PauseWords};

use crate::event::StreamName;

/// Something that happened to the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Somebody wants the agent to pause.
    Pause,
    /// Somebody wants it to go on.
    Resume,
    /// It wrote a line (without its newline).
    Line {
        /// On this stream.
        stream: StreamName,
        /// The line.
        bytes: &'a [u8],
    },
    /// It wrote a line that is too long to be shown.
    Oversize {
        /// On this stream.
        stream: StreamName,
    },
}

/// What a dialect wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes to the agent.
    Send(Vec<u8>),
    /// The agent says it has paused.
    Paused,
    /// The agent says it goes on.
    Resumed,
}

/// How to talk to one agent program.
pub trait Dialect: Send {
    /// Takes one input and pushes what is to be done to `out`. The only entry; called in order.
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>);

    /// Whether a pause can be asked for; without it agents are stopped by a signal.
    fn can_pause(&self) -> bool;
}

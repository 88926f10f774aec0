//! The dialect of programs that answer a line with lines, and know nothing of conversations.
//!
//! A prompt is written as it is, with a newline behind it; all that is written to standard output is
//! the answer. Such a program has no word for the end of an answer: it has ended when nothing more
//! was said for [`limits::LINES_QUIET`], or when the process has. What comes later is shown as `raw`.
//! A cancel is a signal, and the next prompt is for another process.

use std::time::Instant;

use super::raw::{StderrTail, oversize, raw};
use super::{Action, Dialect, Input, Prompt, PromptPart, TurnEnd, blame};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, StreamName, TurnOutcome};
use crate::limits;
use crate::runner::Signal;

#[cfg(test)]
mod tests;

/// Converses with a program that answers a line with lines.
#[derive(Debug, Default)]
pub struct LineTalk {
    opened: bool,
    turn: Option<u32>,
    last: u32,
    /// A prompt that came before the process ran.
    kept: Option<String>,
    said: bool,
    cancelled: bool,
    wait: Option<Instant>,
    stderr: StderrTail,
}

impl LineTalk {
    /// A program that has not been started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn prompt(&mut self, turn: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        (self.turn, self.last, self.said, self.cancelled) = (Some(turn), turn, false, false);
        if prompt.parts.iter().any(|part| !matches!(part, PromptPart::Text(_))) {
            let error = ChunkError::new(ChunkErrorKind::Protocol, "the program takes text alone");
            return self.end(TurnEnd::failed(turn, error), out);
        }
        self.kept = Some(prompt.as_text());
        self.write(out);
    }

    fn write(&mut self, out: &mut Vec<Action>) {
        if let Some(text) = self.kept.take_if(|_| self.opened) {
            out.push(Action::Send(format!("{text}\n").into_bytes()));
            out.push(Action::Activity(Some(Activity::Thinking)));
        }
    }

    /// Something was said; more may come.
    fn hears(&mut self, now: Instant) {
        if self.turn.is_some() && !self.cancelled {
            self.said = true;
            self.wait = Some(now + limits::LINES_QUIET);
        }
    }

    fn line(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Action>) {
        let Some(turn) = self.turn else { return out.push(Action::Emit(raw(self.last, bytes))) };
        let content = format!("{}\n", String::from_utf8_lossy(bytes)).into();
        let text = ChunkBody::Text { content, block: 0 };
        out.push(Action::Emit(StreamChunk::new(turn, text)));
        self.hears(now);
    }

    fn cancel(&mut self, now: Instant, turn: u32, out: &mut Vec<Action>) {
        if self.turn != Some(turn) || self.cancelled {
            return;
        }
        if self.kept.is_some() {
            return self.end(TurnEnd::new(turn, TurnOutcome::Cancelled), out);
        }
        self.cancelled = true;
        self.wait = Some(now + limits::ONE_SHOT_CANCEL);
        out.push(Action::Signal(Signal::Interrupt));
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.wait.take_if(|due| *due <= now).is_none() {
            return;
        }
        match self.turn {
            Some(turn) if !self.cancelled => {
                self.end(TurnEnd::new(turn, TurnOutcome::Completed), out);
            }
            _ => out.push(Action::Signal(Signal::Terminate)),
        }
    }

    fn ended(&mut self, code: Option<i32>, signal: Option<i32>, out: &mut Vec<Action>) {
        let Some(turn) = self.turn else { return };
        let end = if self.cancelled {
            TurnEnd::new(turn, TurnOutcome::Cancelled)
        } else if code == Some(0) && self.said {
            TurnEnd::new(turn, TurnOutcome::Completed)
        } else {
            let how = blame::end(code, signal);
            let error = blame::crash(ChunkErrorKind::AgentCrashed, &self.stderr, how);
            // What never reached the program did not begin.
            let begun = self.kept.is_none();
            let outcome = if begun { TurnOutcome::Interrupted } else { TurnOutcome::Failed };
            TurnEnd { error: Some(error), ..TurnEnd::new(turn, outcome) }
        };
        self.end(end, out);
    }

    fn end(&mut self, end: TurnEnd, out: &mut Vec<Action>) {
        (self.turn, self.kept, self.wait) = (None, None, None);
        out.push(Action::Activity(Some(Activity::Idle)));
        out.push(Action::TurnEnded(end));
    }
}

impl Dialect for LineTalk {
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        match input {
            Input::Opened => {
                self.opened = true;
                out.push(Action::Ready(self.capabilities()));
                self.write(out);
            }
            Input::Line { stream: StreamName::Stdout, bytes } => self.line(now, bytes, out),
            Input::Line { bytes, .. } => self.stderr.push(bytes),
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(oversize(self.last, bytes)));
                self.hears(now);
            }
            Input::Prompt { turn, prompt } => self.prompt(turn, prompt, out),
            Input::Cancel { turn } => self.cancel(now, turn, out),
            Input::Tick => self.tick(now, out),
            Input::Ended { code, signal } => self.ended(code, signal, out),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.wait
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { turns: true, ..Capabilities::default() }
    }
}

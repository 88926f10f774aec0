//! The dialect of Claude Code: lines of JSON both ways, with its control protocol.
//!
//! What it knows of the program (observed: 2.1.197):
//!
//! - Every block of an answer comes twice, in pieces and whole. A block that differs from its pieces
//!   takes their place: the stream broke and the program asked again.
//! - `subtype: "success"` may be an error, and an interrupted turn `error_during_execution`.
//! - What a turn cost is told as a sum over the process.
//! - It begins turns of its own when something that runs in the background has ended. They belong to
//!   no prompt; a prompt that comes meanwhile waits for their end.
//! - It asks before tools through `can_use_tool`, and withdraws the question with
//!   `control_cancel_request`.

mod calls;
mod failure;
mod launch;
mod lines;
mod questions;
mod say;
mod spent;
#[cfg(test)]
mod tests;
mod turn;
mod voice;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use questions::Questions;
use say::Wanted;
use turn::{Cancelling, Stage, Turn};

use super::raw::StderrTail;
use super::{Action, Dialect, Input, LaunchWords, Prompt, SessionSpec, TurnEnd};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkError, ChunkErrorKind, StreamName, TurnOutcome};
use crate::limits;
use crate::runner::Signal;

/// Claude Code.
#[derive(Debug, Default)]
pub struct Claude {
    cwd: PathBuf,
    phase: Phase,
    /// Requests that were made: the last one's number.
    requests: u64,
    session: Option<Arc<str>>,
    /// What the program said its mode is.
    mode: Option<String>,
    turn: Option<Turn>,
    last_turn: u32,
    own: OwnWork,
    questions: Questions,
    activity: Option<Activity>,
    /// What the process has cost.
    cost: f64,
    /// The line that closed the last turn.
    closed_by: Option<String>,
    stderr: StderrTail,
}

#[derive(Debug, Default)]
enum Phase {
    /// The process does not run yet.
    #[default]
    New,
    /// The handshake is to be answered until then.
    Greeting(Instant),
    /// Prompts can be sent.
    Ready,
    /// It takes no prompts, for this reason, and is to end until then.
    Broken(ChunkError, Option<Instant>),
}

/// Work that the program began by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OwnWork {
    #[default]
    None,
    /// Something in the background has ended: a prompt waits until then for it to begin.
    Near(Instant),
    /// The same, and a prompt is on its way: the next turn is not the prompt's.
    Next,
    /// It is at it; a prompt that waits does so until then.
    Under(Option<Instant>),
}

/// The number of the handshake among our requests.
const HANDSHAKE: u64 = 1;
/// What our requests are called, before their number.
const REQUEST: &str = "descartes-";
/// What the model is told when it asks outside of a turn.
const NOBODY: &str = "Nobody can be asked now: no prompt is being worked on.";

impl Claude {
    /// A program that has not been started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn request(&mut self, wanted: Wanted<'_>, out: &mut Vec<Action>) {
        self.requests += 1;
        let name = format!("{REQUEST}{}", self.requests);
        out.push(Action::Send(say::request(&name, wanted)));
    }

    fn prompt(&mut self, now: Instant, number: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        self.last_turn = number;
        self.turn = Some(Turn::new(number, say::prompt(prompt)));
        if let Phase::Broken(error, _) = &self.phase {
            let end = TurnEnd::failed(number, error.clone());
            return self.end(end, out);
        }
        if let OwnWork::Under(until) = &mut self.own {
            *until = Some(now + limits::CLAUDE_OWN_WORK);
        }
        self.send_prompt(out);
    }

    /// Sends the prompt that is kept, if the program can take it.
    fn send_prompt(&mut self, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Ready)
            || matches!(self.own, OwnWork::Near(_) | OwnWork::Under(_))
        {
            return;
        }
        if let Some(turn) = &mut self.turn
            && let Stage::Kept(prompt) = &mut turn.stage
        {
            out.push(Action::Send(std::mem::take(prompt)));
            turn.stage = Stage::Sent;
        }
    }

    fn cancel(&mut self, now: Instant, number: u32, out: &mut Vec<Action>) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.number == number) else { return };
        if turn.is_kept() {
            return self.end(TurnEnd::new(number, TurnOutcome::Cancelled), out);
        }
        if turn.cancelling.is_none() {
            turn.cancelling = Some(Cancelling {
                again: Some(now + limits::CLAUDE_INTERRUPT_AGAIN),
                signal: Some(now + limits::CLAUDE_INTERRUPT),
            });
            self.request(Wanted::Interrupt, out);
        }
    }

    /// It will take no prompts: the next one is for another process, which begins when this one has
    /// ended.
    fn breaks(&mut self, now: Instant, error: ChunkError, out: &mut Vec<Action>) {
        if let Some(turn) = &self.turn {
            self.end(TurnEnd::failed(turn.number, error.clone()), out);
        }
        self.phase = Phase::Broken(error, Some(now + limits::CLAUDE_LEAVES));
        out.push(Action::CloseStdin);
    }

    fn end(&mut self, end: TurnEnd, out: &mut Vec<Action>) {
        if self.activity.take().is_some() {
            out.push(Action::Activity(None));
        }
        self.turn = None;
        self.questions.clear();
        out.push(Action::TurnEnded(end));
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Phase::Greeting(until) = self.phase
            && due(Some(until))
        {
            let message = "the program did not answer the handshake in time";
            self.breaks(now, ChunkError::new(ChunkErrorKind::Stalled, message), out);
        }
        if let Phase::Broken(_, until) = &mut self.phase
            && due(*until)
        {
            *until = None;
            out.push(Action::Signal(Signal::Terminate));
        }
        if let OwnWork::Near(until) = self.own
            && due(Some(until))
        {
            self.own = OwnWork::None;
            self.send_prompt(out);
        }
        if let OwnWork::Under(until) = &mut self.own
            && due(*until)
        {
            *until = None;
            if let Some(turn) = &self.turn {
                let message = "the program is busy with work that it began by itself";
                let error = ChunkError::new(ChunkErrorKind::Stalled, message);
                self.end(TurnEnd::failed(turn.number, error), out);
            }
        }
        let Some(turn) = &mut self.turn else { return };
        if due(turn.lost_end) {
            let end = turn.close(None, None);
            return self.end(end, out);
        }
        let Some(cancelling) = &mut turn.cancelling else { return };
        if due(cancelling.signal) {
            (cancelling.signal, cancelling.again) = (None, None);
            out.push(Action::Signal(Signal::Interrupt));
        } else if due(cancelling.again) {
            cancelling.again = None;
            self.request(Wanted::Interrupt, out);
        }
    }

    /// The process has ended.
    fn ended(&mut self, code: Option<i32>, signal: Option<i32>, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        if let Some(end) = turn.over.take() {
            return self.end(end, out);
        }
        let mut end = turn.close(None, None);
        if turn.cancelling.is_some() {
            (end.outcome, end.error) = (TurnOutcome::Cancelled, None);
        } else {
            let began = !turn.is_kept();
            end.outcome = if began { TurnOutcome::Interrupted } else { TurnOutcome::Failed };
            end.error = Some(failure::of_end(self.stderr.text(), code, signal));
        }
        self.end(end, out);
    }
}

impl Dialect for Claude {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        self.cwd.clone_from(&session.cwd);
        launch::words(session, words);
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        match input {
            Input::Opened => {
                if let Phase::New = self.phase {
                    self.phase = Phase::Greeting(now + limits::CLAUDE_HANDSHAKE);
                    self.request(Wanted::Initialize { hooks: None }, out);
                }
            }
            Input::Line { stream: StreamName::Stdout, bytes } => self.line(now, bytes, out),
            Input::Line { bytes, .. } => self.stderr.push(bytes),
            Input::Oversize { stream: StreamName::Stdout, bytes } => self.oversize(now, bytes, out),
            Input::Prompt { turn, prompt } => self.prompt(now, turn, prompt, out),
            Input::Cancel { turn } => self.cancel(now, turn, out),
            Input::Decide { ask, decision } => self.questions.decide(ask, decision, out),
            Input::Tick => self.tick(now, out),
            Input::Ended { code, signal } => self.ended(code, signal, out),
            // The end of the process says more than the end of its streams; pauses are core's.
            Input::Eof { .. } | Input::Oversize { .. } | Input::Pause | Input::Resume => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let greeting = match self.phase {
            Phase::Greeting(until) => Some(until),
            Phase::Broken(_, until) => until,
            Phase::New | Phase::Ready => None,
        };
        let own = match self.own {
            OwnWork::Near(until) => Some(until),
            OwnWork::Under(until) => until,
            OwnWork::None | OwnWork::Next => None,
        };
        let turn = self.turn.as_ref();
        let cancelling = turn.and_then(|turn| turn.cancelling);
        let waits = [
            greeting,
            own,
            turn.and_then(|turn| turn.lost_end),
            cancelling.and_then(|cancelling| cancelling.again),
            cancelling.and_then(|cancelling| cancelling.signal),
        ];
        waits.into_iter().flatten().min()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            turns: true,
            resume: true,
            approvals: true,
            cancel: true,
            models: true,
            ..Capabilities::default()
        }
    }
}

//! The dialect of agents that speak the Agent Client Protocol, version 1, over standard input and
//! output: JSON-RPC 2.0, one message per line, ours the client's part.
//!
//! A prompt is one request, `session/prompt`, which the agent answers when the turn has ended; what
//! happens in between comes as notifications. Neither files nor terminals are offered to the agent.
//!
//! What it cannot know: the protocol has no word for text that is withdrawn. An agent that repeats
//! an answer after its model's stream broke sends both pieces under one name.

mod asks;
mod errors;
mod handshake;
mod lines;
mod peer;
mod setup;
#[cfg(test)]
mod tests;
mod tools;
mod turn;
mod updates;
mod usage;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use self::handshake::{Agent, Opening};
use self::peer::Peer;
use self::turn::{Turn, TurnPast};
use self::usage::Cost;
use super::blame;
use super::raw::{StderrTail, oversize};
use super::{Action, Dialect, Input, LaunchWords, SessionSpec, TurnEnd};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkError, ChunkErrorKind, StreamChunk, StreamName, TurnOutcome};
use crate::limits;

/// A conversation with an agent that speaks ACP.
#[derive(Debug, Default)]
pub struct Acp {
    words: Words,
    session: Option<SessionSpec>,
    stage: Stage,
    peer: Peer,
    opening: Opening,
    agent: Agent,
    native: Option<String>,
    turn: Option<Turn>,
    past: TurnPast,
    asked: u64,
    cost: Cost,
    /// What the model is to be told with the first prompt of a new conversation.
    preface: Option<Arc<str>>,
    activity: Option<Activity>,
    wait: Option<(Instant, Wait)>,
    tail: StderrTail,
}

/// What is known of the agent before it says anything.
#[derive(Clone, Debug, Default)]
struct Words {
    /// How it is authenticated with, when it offers that.
    auth_method: Option<String>,
    /// The mode in which it asks, when not `default`.
    mode: Option<String>,
    /// The argument that chooses the model, for agents that take one.
    model_argument: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Its process does not run yet, or the answers of the opening are waited for.
    #[default]
    Opening,
    /// It takes prompts.
    Ready,
    /// The opening failed; so does every prompt.
    Broken(ChunkError),
    /// The process has ended.
    Ended,
}

/// Why a tick is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Opening,
    /// The end of the history of a conversation that was loaded.
    History,
    /// The end of a cancelled turn.
    Cancel,
    /// The end of a process that has closed its output.
    Ended,
    /// The end of a process that is of no more use.
    Leave,
}

impl Acp {
    /// Any agent, as its command line starts it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Authenticates by `method` where the agent offers it, before the first session.
    ///
    /// Without it, an agent that wants authentication is given its one method that needs no
    /// browser and no terminal, if it has exactly one.
    #[must_use]
    pub fn with_auth_method(mut self, method: impl Into<String>) -> Self {
        self.words.auth_method = Some(method.into());
        self
    }

    /// The session mode in which the agent asks before it acts; `default` where that is not said.
    #[must_use]
    pub fn with_mode(mut self, mode: impl Into<String>) -> Self {
        self.words.mode = Some(mode.into());
        self
    }

    /// Chooses the model by this argument of the command line and not through the protocol.
    #[must_use]
    pub fn with_model_argument(mut self, argument: impl Into<String>) -> Self {
        self.words.model_argument = Some(argument.into());
        self
    }

    /// The turn that chunks are of: the open one, or the last.
    fn number(&self) -> u32 {
        self.turn.as_ref().map_or(self.past.number, |turn| turn.number)
    }

    fn is_broken(&self) -> bool {
        matches!(self.stage, Stage::Broken(_))
    }

    fn wait_for(&mut self, now: Instant, what: Wait) {
        let bound = match what {
            Wait::Opening => limits::ACP_ANSWER,
            Wait::History => limits::ACP_HISTORY_QUIET,
            Wait::Cancel => limits::ACP_CANCEL,
            Wait::Ended | Wait::Leave => limits::ACP_AFTER_EOF,
        };
        self.wait = Some((now + bound, what));
    }

    fn busy(&mut self, activity: Option<Activity>, out: &mut Vec<Action>) {
        if self.activity != activity {
            self.activity = activity;
            out.push(Action::Activity(activity));
        }
    }

    /// Ends the open turn. What the agent still asks is answered, so that it does not wait for ever.
    fn end_turn(&mut self, end: TurnEnd, out: &mut Vec<Action>) {
        self.end_denied(out);
        let Some(turn) = self.turn.take() else { return };
        for ask in turn.asks.into_requests() {
            Peer::answer(&ask, &asks::Outcome::cancelled(), out);
        }
        self.past = TurnPast {
            number: turn.number,
            message: turn.message.filter(|_| end.outcome == TurnOutcome::Cancelled),
            calls: turn.tools.into_ids(),
        };
        if matches!(self.wait, Some((_, Wait::Cancel))) {
            self.wait = None;
        }
        self.busy(Some(Activity::Idle), out);
        out.push(Action::TurnEnded(end));
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some((_, what)) = self.wait.take_if(|(due, _)| *due <= now) else { return };
        match what {
            Wait::Opening => {
                let waited = limits::ACP_ANSWER.as_secs();
                let text =
                    format!("the agent did not answer `{}` in {waited} s", self.opening.name());
                self.break_off(now, self.crash(ChunkErrorKind::Stalled, text), out);
            }
            Wait::History => self.set_up_first(now, out),
            Wait::Cancel => out.push(Action::Signal(crate::runner::Signal::Interrupt)),
            Wait::Ended => {
                self.end_in_the_middle(None, None, out);
                let how = "the agent closed its output".into();
                self.break_off(now, self.crash(ChunkErrorKind::AgentCrashed, how), out);
            }
            // The next prompt is for another process, which begins when this one has ended.
            Wait::Leave => out.push(Action::Signal(crate::runner::Signal::Terminate)),
        }
    }

    /// The process has ended, or says nothing more: so has the open turn.
    fn end_in_the_middle(&mut self, code: Option<i32>, signal: Option<i32>, out: &mut Vec<Action>) {
        let Some(turn) = &self.turn else { return };
        let number = turn.number;
        if turn.cancelled {
            self.end_turn(TurnEnd::new(number, TurnOutcome::Cancelled), out);
            return;
        }
        let how = match (code, signal) {
            (None, None) => "the agent closed its output".into(),
            _ => blame::end(code, signal),
        };
        let error = self.crash(ChunkErrorKind::AgentCrashed, how);
        // What never reached the agent did not begin.
        let outcome = if turn.sent { TurnOutcome::Interrupted } else { TurnOutcome::Failed };
        self.end_turn(TurnEnd { error: Some(error), ..TurnEnd::new(number, outcome) }, out);
    }

    /// The error for an agent that ended or does not answer: what it complained about last.
    fn crash(&self, kind: ChunkErrorKind, how: String) -> ChunkError {
        blame::crash(kind, &self.tail, how)
    }
}

impl Dialect for Acp {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        if let (Some(argument), Some(model)) = (&self.words.model_argument, &session.model) {
            words.args.extend([argument.clone(), model.to_string()]);
        }
        self.session = Some(session.clone());
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        if matches!(self.stage, Stage::Ended) {
            return;
        }
        match input {
            Input::Opened => self.opened(now, out),
            Input::Line { stream: StreamName::Stdout, bytes } => self.line(now, bytes, out),
            Input::Line { stream: StreamName::Stderr, bytes } => self.tail.push(bytes),
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(oversize(self.number(), bytes)));
            }
            Input::Eof { stream: StreamName::Stdout } if !self.is_broken() => {
                self.wait_for(now, Wait::Ended);
            }
            Input::Prompt { turn, prompt } => self.prompt(turn, prompt, out),
            Input::Cancel { turn } => self.cancel(now, turn, out),
            Input::Decide { ask, decision } => self.decide(ask, decision, out),
            Input::Tick => self.tick(now, out),
            Input::Ended { code, signal } => {
                (self.stage, self.wait) = (Stage::Ended, None);
                self.end_in_the_middle(code, signal, out);
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.wait.map(|(due, _)| due)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            turns: true,
            resume: self.agent.loads || self.agent.resumes,
            approvals: true,
            cancel: true,
            models: self.agent.models || self.words.model_argument.is_some(),
            pause: false,
        }
    }
}

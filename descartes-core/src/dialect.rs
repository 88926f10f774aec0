//! Dialects: how to talk to an agent program, without I/O.
//!
//! Inputs and time go in, actions come out; core moves the bytes. One dialect serves one process:
//! it begins with [`Input::Opened`] and sees nothing more after [`Input::Ended`].
//!
//! What every dialect keeps to:
//!
//! - Prompts come one at a time: the next one only after [`Action::TurnEnded`] of the one before.
//!   A prompt may come before the program is ready for it; the dialect keeps it until then.
//! - A turn ends exactly once, by `TurnEnded`, with the outcome that is true and not the one that
//!   the program claims. Nothing of a turn is emitted after its end.
//! - Text is emitted once. What a program repeats is dropped; what it withdraws is retracted
//!   ([`Action::Mark`], [`Action::Retract`]).
//! - A line that is not understood is emitted as `raw` and never ends anything; unknown members
//!   are ignored.
//! - Names that it makes up for its own requests are counted, so that a recording replays.

mod acp;
mod ask;
mod basic;
mod blame;
mod claude;
mod codex;
mod codex_exec;
mod gemini;
mod line_talk;
mod lines;
mod one_shot;
pub(crate) mod opencode;
mod raw;
mod session;
#[cfg(test)]
pub(crate) mod transcript;

use std::sync::Arc;
use std::time::Instant;

pub use acp::Acp;
pub use ask::{AskKind, AskOption, AskRequest, AskToken, Decision, OptionEffect, ToolEffect};
pub use basic::Basic;
pub use claude::Claude;
pub use codex::Codex;
pub use codex_exec::CodexExec;
pub use gemini::Gemini;
pub use line_talk::LineTalk;
pub use lines::{Lines, PauseWords};
pub use opencode::OpenCode;
pub(crate) use raw::cut;
pub use session::{ApprovalMode, LaunchWords, Prompt, PromptPart, SessionSpec, Thinking};

use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkError, StreamChunk, StreamName, TurnOutcome, Usage};
use crate::runner::Signal;

/// Something that happened to the conversation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The process runs and can be written to.
    Opened,
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
        /// How long it was.
        bytes: u64,
    },
    /// It closed a stream.
    Eof {
        /// Which.
        stream: StreamName,
    },
    /// A turn begins.
    Prompt {
        /// Which, from 1, through all processes of the conversation.
        turn: u32,
        /// What is asked.
        prompt: &'a Prompt,
    },
    /// Somebody cancels the turn. Comes at most once a turn, and perhaps after its end.
    Cancel {
        /// Which.
        turn: u32,
    },
    /// A question was decided.
    Decide {
        /// Which.
        ask: AskToken,
        /// How.
        decision: &'a Decision,
    },
    /// The time of [`Dialect::deadline`] has come. May come too early, or without one.
    Tick,
    /// The process has ended: its last input.
    Ended {
        /// Its exit code, when it ended by itself.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
}

/// What a dialect wants done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes to the agent.
    Send(Vec<u8>),
    /// The program can take prompts now; what it can do is known better than before.
    Ready(Capabilities),
    /// The program's own name of the conversation, by which it can be resumed.
    Session(Arc<str>),
    /// Something happened in a turn.
    Emit(StreamChunk),
    /// What is emitted from here on may be retracted: an attempt of the model begins.
    Mark,
    /// Text and thinking since the last [`Mark`](Self::Mark) are void.
    Retract,
    /// The agent is busy with this now.
    Activity(Option<Activity>),
    /// The program asks something and waits.
    Ask {
        /// By which name the answer is to come.
        ask: AskToken,
        /// What it asks.
        request: Box<AskRequest>,
    },
    /// The program does not wait for this answer any more.
    Withdraw {
        /// Which question.
        ask: AskToken,
    },
    /// A turn ended; questions that are open are void.
    TurnEnded(TurnEnd),
    /// Send the process this signal.
    Signal(Signal),
    /// Close its standard input.
    CloseStdin,
    /// The agent says it has paused.
    Paused,
    /// The agent says it goes on.
    Resumed,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TurnEnd {
    /// Which.
    pub turn: u32,
    /// How.
    pub outcome: TurnOutcome,
    /// What it used, as far as the program tells.
    pub usage: Option<Usage>,
    /// Why it did not succeed.
    pub error: Option<ChunkError>,
}

impl TurnEnd {
    /// Turn `turn` ended so.
    #[must_use]
    pub fn new(turn: u32, outcome: TurnOutcome) -> Self {
        Self { turn, outcome, usage: None, error: None }
    }

    /// Turn `turn` failed because of `error`.
    #[must_use]
    pub fn failed(turn: u32, error: ChunkError) -> Self {
        Self { error: Some(error), ..Self::new(turn, TurnOutcome::Failed) }
    }
}

/// Makes a dialect for each process.
pub(crate) type Maker = fn() -> Box<dyn Dialect>;

/// The dialects that a backend may be said to speak.
const NAMED: [(&str, Maker); 7] = [
    ("acp", || Box::new(Acp::new())),
    ("claude", || Box::new(Claude::new())),
    ("codex", || Box::new(Codex::new())),
    ("codex-exec", || Box::new(CodexExec::new())),
    ("gemini", || Box::new(Gemini::new())),
    ("line-talk", || Box::new(LineTalk::new())),
    ("opencode", || Box::new(OpenCode::new())),
];

/// The names of the dialects that one can converse in.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|(name, _)| *name)
}

/// The dialect of this name.
pub(crate) fn named(name: &str) -> Option<(&'static str, Maker)> {
    NAMED.into_iter().find(|(known, _)| *known == name)
}

/// How to talk to one agent program.
pub trait Dialect: Send {
    /// Adds to `words` what the program has to be started with for `session`.
    ///
    /// Called once, before everything else. The default adds nothing.
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        let _ = (session, words);
    }

    /// Takes one input and pushes what is to be done to `out`. The only entry; called in order.
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>);

    /// When [`Input::Tick`] is wanted.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What can be done with the program.
    fn capabilities(&self) -> Capabilities;

    /// The modes that mean with this program what they say: all, where it can be asked. The default
    /// for one that cannot is what nothing hinders.
    fn approval_modes(&self) -> &'static [ApprovalMode] {
        if self.capabilities().approvals { &ApprovalMode::ALL } else { &[ApprovalMode::AllowAll] }
    }
}

impl<D: Dialect + ?Sized> Dialect for Box<D> {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        (**self).launch(session, words);
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        (**self).handle(now, input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn approval_modes(&self) -> &'static [ApprovalMode] {
        (**self).approval_modes()
    }
}

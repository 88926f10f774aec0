//! Controls: what a runner is asked to do to a run, and the answer it owes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::agent::PauseMode;

/// Something to do to a running agent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// End the whole tree: ask, wait for `grace` (not at all when zero), then kill.
    /// Answered when nothing of the tree lives; the run's exit is reported besides.
    Kill {
        /// How long it may take to end by itself.
        grace: Duration,
    },
    /// Stop the tree by a signal.
    Pause,
    /// Let it go on.
    Resume,
    /// Send a signal to the leader's group.
    Signal(Signal),
    /// Queue bytes for standard input, and close it behind them when `close`.
    WriteStdin {
        /// The bytes.
        bytes: Bytes,
        /// Whether end of file follows.
        close: bool,
    },
}

/// A signal that may be sent to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "signal(7) is their documentation")]
pub enum Signal {
    Interrupt,
    Terminate,
    Kill,
    Stop,
    Continue,
    Hangup,
    Usr1,
    Usr2,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 8] = [
        Self::Interrupt,
        Self::Terminate,
        Self::Kill,
        Self::Stop,
        Self::Continue,
        Self::Hangup,
        Self::Usr1,
        Self::Usr2,
    ];

    /// The signal's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminate",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Continue => "continue",
            Self::Hangup => "hangup",
            Self::Usr1 => "usr1",
            Self::Usr2 => "usr2",
        }
    }

    /// The signal with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == text)
    }
}

/// What a control came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlOutcome {
    /// It was done; there is nothing to tell.
    Done,
    /// The tree is gone.
    Killed {
        /// Whether the grace was not enough.
        forced: bool,
        /// Processes beside the leader that had to be killed.
        swept: u32,
    },
    /// The tree is stopped.
    Paused(PauseMode),
}

/// Why standard input took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StdinError {
    /// Too much waits already.
    #[error("standard input has {queued} bytes waiting of at most {max}")]
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes that may.
        max: usize,
    },
    /// It is closed.
    #[error("standard input is closed")]
    Closed,
}

/// Why a control was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The run has ended, or its runner has gone.
    #[error("the run has ended")]
    Ended,
    /// This runner cannot do it.
    #[error("not supported: {0}")]
    Unsupported(Arc<str>),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(Arc<str>),
    /// Standard input took nothing.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// What runs the agent does not answer; whether it was done is not known.
    #[error("the agent cannot be reached: {0}")]
    ConnectionLost(Arc<str>),
}

/// A control and the answer that is owed for it.
///
/// Ends in exactly one of [`done`](Self::done), [`fail`](Self::fail) and
/// [`unsupported`](Self::unsupported); dropped, it answers that the run has ended.
pub struct ControlRequest {
    /// What to do.
    pub control: Control,
    reply: oneshot::Sender<Result<ControlOutcome, ControlError>>,
}

impl ControlRequest {
    pub(crate) fn new(control: Control) -> (Self, ControlReply) {
        let (reply, answer) = oneshot::channel();
        (Self { control, reply }, ControlReply(answer))
    }

    /// It was done.
    pub fn done(self, outcome: ControlOutcome) {
        drop(self.reply.send(Ok(outcome)));
    }

    /// It was tried and failed.
    pub fn fail(self, error: ControlError) {
        drop(self.reply.send(Err(error)));
    }

    /// This runner cannot do it.
    pub fn unsupported(self, reason: impl Into<Arc<str>>) {
        self.fail(ControlError::Unsupported(reason.into()));
    }
}

impl fmt::Debug for ControlRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlRequest").field("control", &self.control).finish_non_exhaustive()
    }
}

/// The asking side of a [`ControlRequest`].
#[derive(Debug)]
pub(crate) struct ControlReply(oneshot::Receiver<Result<ControlOutcome, ControlError>>);

impl ControlReply {
    pub(crate) async fn wait(self) -> Result<ControlOutcome, ControlError> {
        self.0.await.unwrap_or(Err(ControlError::Ended))
    }
}

/// The controls of one run, in the order they were asked for.
///
/// Boxed on their way: a channel keeps room for 32 of what it carries, for every agent.
#[derive(Debug)]
pub struct Controls(pub(crate) mpsc::Receiver<Box<ControlRequest>>);

impl Controls {
    /// The next control; none when nobody can ask for one any more.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped before it returns.
    pub async fn next(&mut self) -> Option<ControlRequest> {
        self.0.recv().await.map(|request| *request)
    }
}

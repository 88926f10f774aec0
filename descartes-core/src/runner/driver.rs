//! The runner's side of a run: controls come out of it, output and the exit go in.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Controls;
use crate::agent::{Activity, ExitReason};
use crate::event::StreamName;
use crate::output::OutputSink;

/// One run, as its runner holds it.
///
/// Dropped without [`AgentEvents::exited`], the run counts as lost.
#[derive(Debug)]
pub struct AgentDriver {
    controls: Controls,
    events: AgentEvents,
}

impl AgentDriver {
    pub(crate) fn new(
        controls: mpsc::Receiver<Box<super::ControlRequest>>,
        sink: Arc<OutputSink>,
        (exit, activity): (oneshot::Sender<RunExit>, watch::Sender<Option<Activity>>),
    ) -> Self {
        let events = AgentEvents { sink, exit, activity };
        Self { controls: Controls(controls), events }
    }

    /// Parts it, so that output that waits for the store never delays a control.
    #[must_use]
    pub fn split(self) -> (Controls, AgentEvents) {
        (self.controls, self.events)
    }
}

/// What happens in a run, as its runner tells it.
#[derive(Debug)]
pub struct AgentEvents {
    sink: Arc<OutputSink>,
    exit: oneshot::Sender<RunExit>,
    activity: watch::Sender<Option<Activity>>,
}

impl AgentEvents {
    /// The agent wrote `bytes` at offset `at` of `stream` of this run.
    ///
    /// What is journalled already is dropped, a hole becomes a gap in the stream's bytes. Waits
    /// while too much of this agent's output is uncommitted, so that a full disk blocks the agent
    /// and nobody else.
    ///
    /// # Cancel safety
    /// Call again with the same bytes: what was taken is not taken twice.
    pub async fn output(&self, stream: StreamName, at: u64, bytes: &[u8]) {
        self.sink.output(stream, at, bytes).await;
    }

    /// Where to write from, for a pump of one stream that runs apart from the others.
    #[must_use]
    pub fn output_handle(&self) -> OutputHandle {
        OutputHandle(Arc::clone(&self.sink))
    }

    /// How many bytes of `stream` of this run were taken.
    #[must_use]
    pub fn journalled(&self, stream: StreamName) -> u64 {
        self.sink.taken(stream)
    }

    /// What the agent is busy with now, or that it cannot be reached; none when nothing is to be
    /// said. Its status stays what it is.
    ///
    /// Never waits. What changes again before it was written down is not shown.
    pub fn activity(&self, activity: Option<Activity>) {
        self.activity.send_if_modified(|known| std::mem::replace(known, activity) != activity);
    }

    /// The run has ended and all its output was given.
    pub async fn exited(self, exit: RunExit) {
        self.sink.finish();
        let told = self.exit.send(exit);
        tracing::trace!(heard = told.is_ok(), "run ended");
    }
}

/// Takes the output of one run; cheap to clone.
#[derive(Clone, Debug)]
pub struct OutputHandle(Arc<OutputSink>);

impl OutputHandle {
    /// As [`AgentEvents::output`].
    pub async fn output(&self, stream: StreamName, at: u64, bytes: &[u8]) {
        self.0.output(stream, at, bytes).await;
    }

    /// The first half of [`output`](Self::output): takes the bytes at once, so that whoever read
    /// them can lend its buffer to somebody else.
    #[cfg(feature = "process")]
    pub(crate) fn take(&self, stream: StreamName, at: u64, bytes: &[u8]) {
        self.0.take(stream, at, bytes);
    }

    /// Until when the agent, which streams words, is best left alone.
    #[cfg(feature = "process")]
    pub(crate) fn pause(&self) -> Option<tokio::time::Instant> {
        self.0.pause()
    }

    /// The second half: waits until not too much is uncommitted.
    #[cfg(feature = "process")]
    pub(crate) async fn room(&self) {
        self.0.room().await;
    }
}

/// How a run ended, as its runner saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunExit {
    /// The exit code, when the program ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why. Whether somebody asked for it is core's to know.
    pub reason: ExitReason,
    /// Whether a grace was not enough.
    pub forced: bool,
    /// Processes of its tree beside the leader that had to be killed.
    pub swept: u32,
    /// What the other members do not say, for people: the reason of the last status change.
    pub why: Option<&'static str>,
}

impl RunExit {
    /// Ended by itself with `code`.
    #[must_use]
    pub fn code(code: i32) -> Self {
        Self { code: Some(code), reason: ExitReason::Exited, ..Self::lost() }
    }

    /// Ended by `signal`.
    #[must_use]
    pub fn signal(signal: i32) -> Self {
        Self { signal: Some(signal), reason: ExitReason::Signalled, ..Self::lost() }
    }

    /// Ended without anybody to see how.
    #[must_use]
    pub fn lost() -> Self {
        let reason = ExitReason::Lost;
        Self { code: None, signal: None, reason, forced: false, swept: 0, why: None }
    }
}

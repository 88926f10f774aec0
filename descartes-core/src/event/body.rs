//! The typed bodies of events.

use std::sync::Arc;

use bytes::Bytes;

use super::{EventKind, StreamChunk};
use crate::agent::{Activity, AgentRecord, AgentStatus, Exit};
use crate::approval::Approval;
use crate::time::Timestamp;

/// What an event says beyond its kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventBody {
    /// The agent as it was when it began to exist.
    AgentSpawned(Box<AgentRecord>),
    /// From which status to which.
    AgentStatusChanged(StatusChange),
    /// How a run ended.
    AgentExited(Exited),
    /// Where in the output the payload stands. The bytes are [`super::Event::payload`].
    AgentOutput(OutputChunk),
    /// The agent is forgotten.
    AgentRemoved,
    /// What happened in a chat.
    ChatChunk(Box<StreamChunk>),
    /// What an agent asks.
    ApprovalRequested(Box<Approval>),
    /// What became of it.
    ApprovalResolved(Box<Approval>),
    /// The host began.
    SystemStarted {
        /// The version of the host.
        version: String,
        /// How the one before ended.
        previous: PreviousEnd,
    },
    /// Why the host is not healthy.
    SystemDegraded {
        /// One sentence each.
        reasons: Vec<String>,
    },
    /// The host is healthy again.
    SystemRecovered,
    /// The host is about to stop.
    SystemDraining,
    /// Another configuration is in force.
    SystemReloaded(Reloaded),
    /// The encoded body (JSON) of a kind that this library does not know.
    Other(EventKind, Bytes),
}

impl EventBody {
    /// The kind of event that this body belongs to.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::AgentSpawned(_) => EventKind::AgentSpawned,
            Self::AgentStatusChanged(_) => EventKind::AgentStatusChanged,
            Self::AgentExited(_) => EventKind::AgentExited,
            Self::AgentOutput(_) => EventKind::AgentOutput,
            Self::AgentRemoved => EventKind::AgentRemoved,
            Self::ChatChunk(_) => EventKind::ChatChunk,
            Self::ApprovalRequested(_) => EventKind::ApprovalRequested,
            Self::ApprovalResolved(_) => EventKind::ApprovalResolved,
            Self::SystemStarted { .. } => EventKind::SystemStarted,
            Self::SystemDegraded { .. } => EventKind::SystemDegraded,
            Self::SystemRecovered => EventKind::SystemRecovered,
            Self::SystemDraining => EventKind::SystemDraining,
            Self::SystemReloaded(_) => EventKind::SystemReloaded,
            Self::Other(kind, _) => kind.clone(),
        }
    }
}

/// What became of a configuration that was read anew: names of keys, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Keys whose new values are in force.
    pub applied: Vec<String>,
    /// Keys whose new values take a restart of the host.
    pub needs_restart: Vec<String>,
}

impl Reloaded {
    /// The keys whose new values are in force, and those whose values take a restart.
    #[must_use]
    pub fn new(applied: Vec<String>, needs_restart: Vec<String>) -> Self {
        Self { applied, needs_restart }
    }
}

/// A step of an agent's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusChange {
    /// The status before.
    pub from: AgentStatus,
    /// The status now.
    pub to: AgentStatus,
    /// What it is busy with now.
    pub activity: Option<Activity>,
    /// Why, where there is something to say.
    pub reason: Option<Arc<str>>,
    /// In which run.
    pub run: u32,
}

impl StatusChange {
    /// The step `from` → `to` of run `run`.
    #[must_use]
    pub fn new(from: AgentStatus, to: AgentStatus, run: u32) -> Self {
        Self { from, to, activity: None, reason: None, run }
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exited {
    /// Which run, from 1.
    pub run: u32,
    /// How it ended.
    pub exit: Exit,
    /// Whether another run follows.
    pub will_restart: bool,
    /// When that begins.
    pub next_start_at: Option<Timestamp>,
}

impl Exited {
    /// The end of run `run`, with none to follow.
    #[must_use]
    pub fn new(run: u32, exit: Exit) -> Self {
        Self { run, exit, will_restart: false, next_start_at: None }
    }
}

/// A stream that an agent writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl StreamName {
    /// Both, standard output first.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// `stdout` or `stderr`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Stdout,
        }
    }
}

/// How much of one stream came before a place in the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCount {
    /// Bytes.
    pub bytes: u64,
    /// Newlines.
    pub lines: u64,
    /// Bytes since the row that is unfinished at this place began; 0 between rows.
    pub row_bytes: u32,
}

/// How much of an agent's output came before a place in it.
///
/// Every output event carries the extent before it, so that any line, row or byte is found by a
/// binary search over the topic's offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Standard output.
    pub stdout: StreamCount,
    /// Standard error.
    pub stderr: StreamCount,
    /// Rows finished by both streams together.
    pub rows: u64,
}

impl Extent {
    /// The count of one stream.
    #[must_use]
    pub fn of(&self, stream: StreamName) -> &StreamCount {
        match stream {
            StreamName::Stdout => &self.stdout,
            StreamName::Stderr => &self.stderr,
        }
    }

    /// The count of one stream, to change it.
    pub fn of_mut(&mut self, stream: StreamName) -> &mut StreamCount {
        match stream {
            StreamName::Stdout => &mut self.stdout,
            StreamName::Stderr => &mut self.stderr,
        }
    }
}

/// Where one block of output stands; its bytes are the event's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputChunk {
    /// Which stream.
    pub stream: StreamName,
    /// Which run wrote it, from 1.
    pub run: u32,
    /// What came before it.
    pub before: Extent,
    /// Newlines inside.
    pub lines: u64,
    /// Whether its last line goes on in a later block.
    pub partial: bool,
}

impl OutputChunk {
    /// The chunk of `stream` after `before`.
    #[must_use]
    pub fn new(stream: StreamName, run: u32, before: Extent) -> Self {
        Self { stream, run, before, lines: 0, partial: false }
    }

    /// The offset of its first byte in its stream.
    #[must_use]
    pub fn byte_offset(&self) -> u64 {
        self.before.of(self.stream).bytes
    }

    /// The number of its first line in its stream, from 0.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        self.before.of(self.stream).lines
    }
}

/// How the host that had this store before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousEnd {
    /// It stopped in order, or there was none.
    Clean,
    /// It did not.
    Crashed,
}

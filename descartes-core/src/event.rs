//! What happened: events, their topics and their kinds.
//!
//! An event's body is typed here ([`EventBody`]), bytes in the store (`store/format.rs`), and JSON
//! on the wire (in `descartes-rpc`). The three change at different speeds.

mod body;
mod chunk;
mod topic;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use body::{
    EventBody, Exited, Extent, OutputChunk, PreviousEnd, Reloaded, StatusChange, StreamCount,
    StreamName,
};
pub use chunk::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, TurnOutcome, Usage};
pub use topic::{Topic, TopicFilter};

use crate::cursor::Position;
use crate::store::format::{self, FormatError};
use crate::time::Timestamp;

/// The type of what stands in the place of an event that a repair of the store could not keep.
pub const LOST_KIND: &str = "store.lost";

/// What kind of thing happened; its text is the `type` of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// An agent began to exist.
    AgentSpawned,
    /// An agent's status or activity changed.
    AgentStatusChanged,
    /// A run of an agent ended.
    AgentExited,
    /// An agent wrote something.
    AgentOutput,
    /// An ended agent was forgotten.
    AgentRemoved,
    /// Something happened in a chat.
    ChatChunk,
    /// An agent asks something and waits.
    ApprovalRequested,
    /// What became of such a question.
    ApprovalResolved,
    /// The host began to work on this store.
    SystemStarted,
    /// Something that the host needs does not work.
    SystemDegraded,
    /// It works again.
    SystemRecovered,
    /// The host is about to stop.
    SystemDraining,
    /// Another configuration is in force.
    SystemReloaded,
    /// A kind of a later version, or of an application.
    Other(Arc<str>),
}

impl EventKind {
    const KNOWN: [(Self, &'static str); 13] = [
        (Self::AgentSpawned, "agent.spawned"),
        (Self::AgentStatusChanged, "agent.status_changed"),
        (Self::AgentExited, "agent.exited"),
        (Self::AgentOutput, "agent.output"),
        (Self::AgentRemoved, "agent.removed"),
        (Self::ChatChunk, "chat.chunk"),
        (Self::ApprovalRequested, "approval.requested"),
        (Self::ApprovalResolved, "approval.resolved"),
        (Self::SystemStarted, "system.started"),
        (Self::SystemDegraded, "system.degraded"),
        (Self::SystemRecovered, "system.recovered"),
        (Self::SystemDraining, "system.draining"),
        (Self::SystemReloaded, "system.reloaded"),
    ];

    /// The kind's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AgentSpawned => "agent.spawned",
            Self::AgentStatusChanged => "agent.status_changed",
            Self::AgentExited => "agent.exited",
            Self::AgentOutput => "agent.output",
            Self::AgentRemoved => "agent.removed",
            Self::ChatChunk => "chat.chunk",
            Self::ApprovalRequested => "approval.requested",
            Self::ApprovalResolved => "approval.resolved",
            Self::SystemStarted => "system.started",
            Self::SystemDegraded => "system.degraded",
            Self::SystemRecovered => "system.recovered",
            Self::SystemDraining => "system.draining",
            Self::SystemReloaded => "system.reloaded",
            Self::Other(text) => text,
        }
    }

    /// The kind with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let known = Self::KNOWN.iter().find(|(_, known)| *known == text);
        known.map_or_else(|| Self::Other(text.into()), |(kind, _)| kind.clone())
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event on its way into the journal: encoded, without a position yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewEvent {
    /// Where it will be read.
    pub topic: Topic,
    /// What happened.
    pub kind: EventKind,
    /// The principal or agent behind it.
    pub by: Arc<str>,
    /// When the host saw it.
    pub at: Timestamp,
    /// The version of the body's encoding.
    pub shape: u16,
    /// The encoded body.
    pub body: Bytes,
    /// Exact bytes that belong to it and are stored beside the body: an agent's output.
    pub payload: Bytes,
}

impl NewEvent {
    /// Encodes `body` as an event of `topic`.
    #[must_use]
    pub fn new(topic: Topic, by: Arc<str>, at: Timestamp, body: &EventBody) -> Self {
        let (kind, encoded) = (body.kind(), format::encode_body(body));
        Self { topic, kind, by, at, shape: format::SHAPE, body: encoded, payload: Bytes::new() }
    }

    /// The same event with `payload` beside its body.
    #[must_use]
    pub fn with_payload(mut self, payload: Bytes) -> Self {
        self.payload = payload;
        self
    }

    /// What this costs in a queue or a ring, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        EVENT_OVERHEAD_BYTES + self.body.len() + self.payload.len()
    }
}

/// Memory that an event costs beside its body and payload: itself, its place for a wire form, and
/// what an allocator adds to each of its four pieces.
const EVENT_OVERHEAD_BYTES: usize = 384;

/// Something that an application, or what is in front of this, writes into the journal.
#[derive(Clone, Debug)]
pub struct News {
    /// What kind of thing it is: a name of its own, as `app.did`.
    pub kind: Arc<str>,
    /// The principal or agent behind it.
    pub by: Arc<str>,
    /// What happened, as JSON.
    pub json: Bytes,
}

/// An event of the journal. Everything in it is shared: a clone copies no body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the whole journal.
    pub position: Position,
    /// Its place in its topic, from 0, without holes.
    pub offset: u64,
    /// Where it is read.
    pub topic: Topic,
    /// What happened.
    pub kind: EventKind,
    /// The principal or agent behind it.
    pub by: Arc<str>,
    /// When the host saw it.
    pub at: Timestamp,
    /// The version of the body's encoding.
    pub shape: u16,
    /// The encoded body; [`Event::decode`] reads it.
    pub body: Bytes,
    /// Exact bytes beside the body: an agent's output.
    pub payload: Bytes,
    wire: Arc<OnceLock<Bytes>>,
}

impl Event {
    /// `new` at the place that a store gave it.
    #[must_use]
    pub fn placed(new: NewEvent, position: Position, offset: u64) -> Self {
        let NewEvent { topic, kind, by, at, shape, body, payload } = new;
        let wire = Arc::default();
        Self { position, offset, topic, kind, by, at, shape, body, payload, wire }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When the body is of a newer shape than this library knows, or damaged.
    pub fn decode(&self) -> Result<EventBody, FormatError> {
        format::decode_body(&self.kind, self.shape, &self.body)
    }

    /// The event's form on the wire, made by `encode` for the first reader and shared by all.
    pub fn encoded(&self, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.wire.get_or_init(|| encode(self))
    }

    /// Memory that this event holds, in bytes, its wire form included once somebody made it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let wire = self.wire.get().map_or(0, Bytes::len);
        EVENT_OVERHEAD_BYTES + self.body.len() + self.payload.len() + wire
    }
}

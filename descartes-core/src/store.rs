//! The store: documents, and the events that led to them, in one atomic write.

pub mod format;
mod lost;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{
    BackedUp, BackupError, Damage, Durability, OpenError, Repaired, SqliteOptions, SqliteStore,
    StoreReport,
};

use crate::cursor::{Cursor, Position};
use crate::event::{Event, NewEvent, PreviousEnd, Topic, TopicFilter};
use crate::time::Timestamp;

/// Where documents and events are kept. Held as `Arc<dyn StateStore>`.
///
/// The [`Journal`](crate::journal::Journal) calls [`commit`](Self::commit) from one task, one call
/// at a time; everything else is called by readers, concurrently. No method may block the thread.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// Applies every change of `batch`, or none. Appended events get consecutive positions.
    ///
    /// When this returns, what was committed survives the death of the process. Once a position
    /// is readable no lower one may appear. A dropped future does not stop a commit that began.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an expected version does not hold: nothing was applied.
    /// Any other error also means that nothing was applied.
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;

    /// The document at `key`.
    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError>;

    /// The documents of `range`, in the order of their keys.
    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError>;

    /// Events after a position, oldest first, bounded in bytes: at least one when there is one.
    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError>;

    /// Events of one topic by their offsets, oldest first, bounded in bytes like [`Self::read`].
    ///
    /// Begins at the first kept offset when `from` was trimmed.
    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError>;

    /// What is kept of the topics that `filter` matches.
    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError>;

    /// Forgets what `retention` does not keep, a bounded piece of it a call.
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError>;

    /// Makes everything durable and marks the store as cleanly closed; later calls fail.
    async fn close(&self) -> Result<(), StoreError>;

    /// Which store this is, and which epochs its history has.
    fn identity(&self) -> &StoreIdentity;

    /// How much it holds.
    fn usage(&self) -> StoreUsage;
}

/// One atomic write: puts, then deletes, then forgotten topics, then events, each in its order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// Documents to write.
    pub puts: Vec<Put>,
    /// Documents to delete. Deleting what does not exist is no error.
    pub deletes: Vec<Key>,
    /// Topics whose events so far are forgotten; offsets go on. Done before `events`.
    pub forget: Vec<Topic>,
    /// Events to append, in order.
    pub events: Vec<NewEvent>,
    /// How urgent it is.
    pub lane: Lane,
}

impl Batch {
    /// An empty batch of control records.
    #[must_use]
    pub fn control() -> Self {
        Self::default()
    }

    /// An empty batch of output.
    #[must_use]
    pub fn output() -> Self {
        Self { lane: Lane::Output, ..Self::default() }
    }

    /// Adds a document to write.
    #[must_use]
    pub fn put(mut self, put: Put) -> Self {
        self.puts.push(put);
        self
    }

    /// Adds a document to delete.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.deletes.push(key);
        self
    }

    /// Adds an event to append.
    #[must_use]
    pub fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }

    /// What it costs in a queue, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let puts: usize = self.puts.iter().map(|put| put.body.len() + 128).sum();
        puts + self.events.iter().map(NewEvent::weight).sum::<usize>()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty()
            && self.deletes.is_empty()
            && self.forget.is_empty()
            && self.events.is_empty()
    }
}

/// How urgent a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Goes first, and may use the store's reserve when the disk is full.
    #[default]
    Control,
    /// Waits behind control.
    Output,
}

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub &'static str);

impl Space {
    /// Agents, by identity.
    pub const AGENT: Self = Self("agent");
    /// How far the output of an agent is journalled, by its identity.
    pub const OUTPUT: Self = Self("output");
    /// State of agents and global state, by `<agent or empty>/<key>`.
    pub const STATE: Self = Self("state");
    /// Chats, by identity.
    pub const CHAT: Self = Self("chat");
    /// What chats have cost in the last day, by identity of the chat.
    pub const COST: Self = Self("cost");
    /// Approvals, by identity.
    pub const APPROVAL: Self = Self("approval");
    /// Idempotency records.
    pub const IDEMPOTENCY: Self = Self("idempotency");
    /// Facts about the store's use.
    pub const META: Self = Self("meta");
}

/// The name of a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub space: Space,
    /// Its name within the kind.
    pub id: Arc<str>,
}

impl Key {
    /// The document `id` of `space`.
    #[must_use]
    pub fn new(space: Space, id: impl Into<Arc<str>>) -> Self {
        Self { space, id: id.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.space.0, self.id)
    }
}

/// A document to write.
#[derive(Clone, Debug)]
pub struct Put {
    /// Where.
    pub key: Key,
    /// Whose it is.
    pub owner: Arc<str>,
    /// What.
    pub body: Bytes,
    /// What must hold before.
    pub expect: Expect,
}

impl Put {
    /// Writes `body` at `key`, whatever was there.
    #[must_use]
    pub fn new(key: Key, owner: Arc<str>, body: Bytes) -> Self {
        Self { key, owner, body, expect: Expect::Any }
    }
}

/// What must hold before a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such document.
    Absent,
    /// The document has this version.
    Version(u64),
}

impl Expect {
    /// Whether a document may be written that has version `actual`, or none.
    #[must_use]
    pub fn holds(self, actual: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => actual.is_none(),
            Self::Version(version) => actual == Some(version),
        }
    }
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where.
    pub key: Key,
    /// Whose it is.
    pub owner: Arc<str>,
    /// 1 for the first write, growing by one.
    pub version: u64,
    /// What.
    pub body: Bytes,
}

/// Which documents to list.
#[derive(Clone, Debug)]
pub struct KeyRange {
    /// Of which kind.
    pub space: Space,
    /// Whose names begin so.
    pub prefix: Arc<str>,
    /// Begin after this name (before it, when `reverse`).
    pub after: Option<Arc<str>>,
    /// Greatest first.
    pub reverse: bool,
    /// At most so many.
    pub limit: usize,
}

impl KeyRange {
    /// All documents of `space` whose names begin with `prefix`, a page of `limit`.
    #[must_use]
    pub fn new(space: Space, prefix: impl Into<Arc<str>>, limit: usize) -> Self {
        Self { space, prefix: prefix.into(), after: None, reverse: false, limit }
    }
}

/// A page of documents.
#[derive(Clone, Debug)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Document>,
    /// Whether there are more behind the last of them.
    pub more: bool,
    /// The position that this page reflects.
    pub position: Position,
}

/// What a commit gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The position of the last event of the journal now; this batch's events are the last ones.
    pub head: Position,
    /// The topic offsets of the batch's events, in their order.
    pub offsets: Vec<u64>,
    /// The versions of the batch's puts, in their order.
    pub versions: Vec<u64>,
}

/// Which events to read.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Of these topics (any of the filters).
    pub topics: Vec<TopicFilter>,
    /// After this position.
    pub after: Position,
    /// At most so many events.
    pub max_events: usize,
    /// At most so many bytes of bodies and payloads, but at least one event.
    pub max_bytes: usize,
}

/// Which events of one topic to read.
#[derive(Clone, Debug)]
pub struct TopicQuery {
    /// The topic.
    pub topic: Topic,
    /// From this offset on.
    pub from: u64,
    /// At most so many events.
    pub max_events: usize,
    /// At most so many bytes of bodies and payloads, but at least one event.
    pub max_bytes: usize,
    /// Leave payloads out: only bodies are wanted.
    pub bodies_only: bool,
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Everything up to here was scanned, also when nothing matched.
    pub next: Position,
    /// The last position of the journal when this was read.
    pub head: Position,
    /// What was trimmed after the query's position, one entry for each topic that lost something.
    pub gaps: Vec<Gap>,
}

/// Events of one topic that are no longer kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which topic.
    pub topic: Topic,
    /// The first offset that the reader misses.
    pub from_offset: u64,
    /// The first offset that is kept again (the next one to come, when nothing is).
    pub to_offset: u64,
}

/// What is kept of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Which topic.
    pub topic: Topic,
    /// The first offset that is kept.
    pub first_offset: u64,
    /// The offset that the next event will get.
    pub next_offset: u64,
    /// Bytes of bodies and payloads.
    pub bytes: u64,
}

/// What a store shall keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Bytes of output of one agent.
    pub output_bytes_per_agent: u64,
    /// Bytes of output in all.
    pub output_bytes_total: u64,
    /// Bytes of events of one chat.
    pub chat_bytes: u64,
    /// Events other than output and audit older than this are forgotten.
    pub events_before: Timestamp,
    /// Events of audit older than this are forgotten.
    pub audit_before: Timestamp,
}

impl Retention {
    /// The documented defaults: 256 MiB an agent, 10 GiB in all, 64 MiB a chat, other events since
    /// `events_before`, and all of audit.
    #[must_use]
    pub fn new(events_before: Timestamp) -> Self {
        Self {
            output_bytes_per_agent: 256 << 20,
            output_bytes_total: 10 << 30,
            chat_bytes: 64 << 20,
            events_before,
            audit_before: Timestamp::from_millis(i64::MIN),
        }
    }

    /// From when on events of `topic`, which is none of output, are kept.
    #[must_use]
    pub fn before(&self, topic: &Topic) -> Timestamp {
        if topic.is_audit() { self.audit_before } else { self.events_before }
    }
}

/// What a call of [`StateStore::trim`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Output events forgotten.
    pub output_events: u64,
    /// Other events forgotten.
    pub other_events: u64,
    /// Whether there is more to forget: call again soon.
    pub more: bool,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes that it takes.
    pub bytes: u64,
    /// Bytes free where it lies, when it lies somewhere.
    pub free_bytes: Option<u64>,
}

/// Which store this is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreIdentity {
    /// Its number, made when it was created.
    pub store: u32,
    /// The number by which its host knows the processes that it started: `store`, unless it is a
    /// restored backup, whose original may have agents on the same machine.
    pub instance: u32,
    /// The current epoch, from 1.
    pub epoch: u32,
    /// For each epoch the position after which it begins, oldest first; the last is the current.
    pub epochs: Vec<(u32, Position)>,
    /// How the host that had it before ended.
    pub previous: PreviousEnd,
    /// The last position when it was opened.
    pub opened_at: Position,
}

impl StoreIdentity {
    /// A new store's.
    #[must_use]
    pub fn fresh(store: u32) -> Self {
        Self {
            store,
            instance: store,
            epoch: 1,
            epochs: vec![(1, Position::START)],
            previous: PreviousEnd::Clean,
            opened_at: Position::START,
        }
    }

    /// The cursor of a reader that has seen everything up to `position`.
    #[must_use]
    pub fn cursor(&self, position: Position) -> Cursor {
        let epoch = self.epochs.iter().rev().find(|(_, start)| *start < position);
        let epoch = epoch.map_or(self.epoch, |(epoch, _)| *epoch);
        // A place at the very end belongs to the current epoch: what follows it is of that one.
        Cursor { store: self.store, epoch, position, byte: 0 }
    }
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A document is not in the version that was expected.
    #[error("`{key}` is not in the expected version")]
    Conflict {
        /// Which document.
        key: Key,
        /// The version it has; none when there is no such document.
        actual: Option<u64>,
    },
    /// There is no space.
    #[error("no space is left for the store")]
    Full {
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The store cannot be written or read at present.
    #[error("the store does not work: {what}")]
    Unavailable {
        /// What does not work, for the log and the health report.
        what: Arc<str>,
    },
    /// What was read is not what was written.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What and where.
        what: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

//! The embedded store: rows and order in SQLite, big payloads in files beside it.

mod apply;
mod backup;
mod check;
mod checkpoint;
mod connection;
mod failure;
mod names;
mod open;
mod payload;
mod query;
mod reader;
mod repair;
mod reserve;
mod retention;
mod rows;
mod schema;
mod segment;
mod sums;
#[cfg(test)]
mod tests;
mod topics;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

pub use self::backup::{BackedUp, BackupError};
pub use self::check::{Damage, StoreReport};
pub use self::open::OpenError;
pub use self::repair::Repaired;

use self::reader::Readers;
use self::writer::{Request, Writer};
use super::{
    Batch, Committed, Document, EventPage, EventQuery, Key, KeyRange, Page, Retention, StateStore,
    StoreError, StoreIdentity, StoreUsage, TopicQuery, TopicState, Trimmed,
};
use crate::event::{Event, TopicFilter};

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The death of the process. A loss of power may take the last moments, and begins an epoch.
    #[default]
    Process,
    /// Also a loss of power: every commit waits for the disk.
    Power,
}

impl Durability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// How a store is opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// What a commit survives.
    pub durability: Durability,
    /// Bytes of its disk that are left to others: with less free, output is not taken, and the
    /// store is full to whoever asks; control goes on. 0 leaves nothing.
    pub min_free_bytes: u64,
}

impl SqliteOptions {
    /// The same options with other bytes of the disk that are left to others.
    #[must_use]
    pub fn min_free_bytes(mut self, bytes: u64) -> Self {
        self.min_free_bytes = bytes;
        self
    }

    /// The same options with another durability.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

/// A [`StateStore`] in a folder of its own: a SQLite database, and segment files for payloads.
///
/// One thread writes; queries run on tokio's blocking threads, a few at a time. Its methods must
/// be called inside a tokio runtime. Dropped without [`close`](StateStore::close), it waits for
/// the writer to end what it has begun, and the next one to open it learns that it crashed.
#[derive(Debug)]
pub struct SqliteStore {
    dir: PathBuf,
    identity: StoreIdentity,
    readers: Arc<Readers>,
    segment_bytes: Arc<AtomicU64>,
    /// None only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the store in `dir`, or makes it, its files readable by this user only.
    ///
    /// Blocks for some milliseconds. The structure and the rows of a database up to 8 MiB are
    /// checked; of a larger one nothing is, however much is stored. A store of an earlier format is
    /// brought up to date, which takes as long as reading its database.
    ///
    /// # Errors
    /// When somebody else has it open, when a later version wrote it, when it is damaged, or when
    /// the disk fails.
    pub fn open(dir: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_owned();
        let opened = open::open(&dir, options.durability)?;
        let identity = opened.identity.clone();
        let writer = Writer::new(opened, dir.clone(), options);
        let segment_bytes = Arc::clone(&writer.segment_bytes);
        let (requests, queue) = mpsc::channel(writer::QUEUE);
        let thread = std::thread::Builder::new().name("store-writer".into());
        let writer = thread
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::Io { path: dir.clone(), source: Arc::new(source) })?;
        Ok(Self {
            readers: Arc::new(Readers::new(dir.clone())),
            dir,
            identity,
            segment_bytes,
            requests: Some(requests),
            writer: Some(writer),
        })
    }

    /// Looks at every byte of the store in `dir`, which nobody may have open, and changes nothing.
    ///
    /// Where `secrets` are given (the folder of
    /// [`Builder::secrets_dir`](crate::Builder::secrets_dir)), values without an agent and agents
    /// without their values are noted. Blocks for as long as it takes to read everything.
    ///
    /// # Errors
    /// When there is no store, somebody has it open, or it is of another format. Damage is no
    /// error: it is what the report is for.
    pub fn check(dir: impl AsRef<Path>, secrets: Option<&Path>) -> Result<StoreReport, OpenError> {
        check::check(dir.as_ref(), secrets)
    }

    /// Puts a whole store in the place of the damaged one in `dir`, which nobody may have open.
    ///
    /// What is good is kept: every event keeps its place, and where one is lost there is a mark
    /// ([`LOST_KIND`](crate::event::LOST_KIND)). A new epoch begins. The old files stay beside the
    /// new ones, under the name that is told.
    ///
    /// # Errors
    /// When there is no store, somebody has it open, it is of another format, or the disk fails;
    /// then everything is as it was.
    pub fn repair(dir: impl AsRef<Path>) -> Result<Repaired, OpenError> {
        repair::repair(dir.as_ref())
    }

    /// Copies the store in `dir`, which somebody may have open and go on writing, to the new folder
    /// `to`, as it is at one moment.
    ///
    /// Who opens the copy finds all history up to that moment, and a new epoch. Blocks for as long as
    /// it takes to copy everything and to check the copy.
    ///
    /// # Errors
    /// When there is no store, `to` exists, the disk fails, or the copy is damaged because the
    /// original is; then there is no copy.
    pub fn backup(dir: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<BackedUp, BackupError> {
        backup::backup(dir.as_ref(), to.as_ref())
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        let sent = requests.send(request(answer)).await;
        sent.map_err(|_closed| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so on its own.
            drop(writer.join());
        }
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.ask(|answer| Request::Commit(batch, answer)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        let key = key.clone();
        self.readers.run(move |_, conn| query::get(conn, &key)).await
    }

    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError> {
        let range = range.clone();
        self.readers.run(move |_, conn| query::list(conn, &range)).await
    }

    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        let query = query.clone();
        self.readers.run(move |readers, conn| query::read(readers, conn, &query)).await
    }

    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        let query = query.clone();
        self.readers.run(move |readers, conn| query::read_topic(readers, conn, &query)).await
    }

    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        let filter = filter.clone();
        self.readers.run(move |_, conn| query::topics(conn, &filter)).await
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.ask(|answer| Request::Trim(retention.clone(), answer)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.ask(Request::Close).await
    }

    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn usage(&self) -> StoreUsage {
        let database = self.dir.join(connection::DATABASE);
        let size = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
        let rows = size(&database) + size(&database.with_extension("db-wal"));
        StoreUsage {
            bytes: rows + self.segment_bytes.load(Ordering::Relaxed),
            free_bytes: reserve::free_bytes(&self.dir),
        }
    }
}

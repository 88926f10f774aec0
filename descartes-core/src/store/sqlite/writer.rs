//! The one thread that writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::apply::INLINE_BYTES;
use super::checkpoint::Checkpoints;
use super::failure::{self, Failure};
use super::open::{Opened, StoreLock, set_meta};
use super::reserve::Reserve;
use super::segment::Segments;
use super::topics::{TopicRow, Topics};
use super::witness::{Seen, Witness};
use super::{Durability, SqliteOptions, connection};
use crate::event::Topic;
use crate::store::{Batch, Committed, Lane, Retention, StoreError, Trimmed};

/// Requests that may wait for the writer. The journal has one commit under way at a time.
pub(super) const QUEUE: usize = 16;

/// Free pages inside the database that let output go on while the reserve is away: 2 MiB.
const FREE_PAGES: u64 = 512;

/// Where an answer goes; whether somebody still wants it is not the writer's business.
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Batch, Answer<Committed>),
    Trim(Retention, Answer<Trimmed>),
    Close(Answer<()>),
    #[cfg(test)]
    Fault(Fault, Answer<()>),
}

/// What tests make fail.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// No space, until the reserve is released.
    FullUntilReleased,
    /// No space in the database.
    Full,
    /// No space in the segments.
    SegmentsFull,
    /// A write or a sync failed.
    Disk,
}

/// The writer's state, which only its thread touches.
#[derive(Debug)]
pub(super) struct Writer {
    /// None after a failure that leaves nothing to be trusted; made again before the next use.
    conn: Option<Connection>,
    pub(super) dir: PathBuf,
    pub(super) durability: Durability,
    pub(super) head: u64,
    /// Commits so far.
    commits: u64,
    store: u32,
    witness: Witness,
    pub(super) topics: Topics,
    pub(super) segments: Segments,
    reserve: Reserve,
    checkpoints: Checkpoints,
    /// Bytes of payloads in segments, for whoever asks how much there is.
    pub(super) segment_bytes: Arc<AtomicU64>,
    #[cfg(test)]
    fault: Fault,
    /// Released last, when everything is closed.
    _lock: StoreLock,
}

impl Writer {
    pub(super) fn new(opened: Opened, dir: PathBuf, options: &SqliteOptions) -> Self {
        Self {
            head: opened.identity.opened_at.0,
            commits: opened.commits,
            store: opened.identity.store,
            witness: opened.witness,
            topics: Topics::default(),
            segments: Segments::new(dir.clone()),
            reserve: Reserve::of(&dir, options.min_free_bytes),
            checkpoints: Checkpoints::new(dir.clone()),
            segment_bytes: Arc::default(),
            conn: Some(opened.conn),
            dir,
            durability: options.durability,
            #[cfg(test)]
            fault: Fault::None,
            _lock: opened.lock,
        }
    }

    /// Works until it is closed or nobody can ask anything any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.count_segments();
        while let Some(request) = requests.blocking_recv() {
            match request {
                Request::Commit(batch, answer) => {
                    drop(answer.send(self.commit(&batch).map_err(StoreError::from)));
                }
                Request::Trim(retention, answer) => {
                    drop(answer.send(self.trim(&retention).map_err(StoreError::from)));
                }
                Request::Close(answer) => {
                    let closed = self.close();
                    // The lock is free before the caller is told.
                    drop(self);
                    drop(answer.send(closed.map_err(StoreError::from)));
                    return;
                }
                #[cfg(test)]
                Request::Fault(fault, answer) => {
                    self.fault = fault;
                    self.segments.full = fault == Fault::SegmentsFull;
                    drop(answer.send(Ok(())));
                }
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<Committed, Failure> {
        let is_output = batch.lane == Lane::Output;
        let is_short = is_output && self.reserve.is_short();
        if is_short || self.reserve.is_away() && is_output && !self.has_free_pages() {
            return Err(Failure::Full(std::io::Error::from(rustix::io::Errno::NOSPC)));
        }
        let done = match self.attempt(|writer, conn| writer.apply(conn, batch)) {
            Err(Failure::Full(error)) => {
                self.checkpoints.fold();
                if batch.lane == Lane::Output || !self.reserve.release() {
                    return Err(Failure::Full(error));
                }
                tracing::warn!("the disk is full: control goes on with the reserve");
                self.attempt(|writer, conn| writer.apply(conn, batch))?
            }
            done => done?,
        };
        self.checkpoints.count(row_bytes(batch));
        Ok(done)
    }

    /// Whether the database has room inside itself: what retention freed there.
    fn has_free_pages(&mut self) -> bool {
        let free = self.attempt(|_, conn| {
            Ok(conn.pragma_query_value(None, "freelist_count", |row| row.get::<_, u64>(0))?)
        });
        free.is_ok_and(|free| free >= FREE_PAGES)
    }

    fn trim(&mut self, retention: &Retention) -> Result<Trimmed, Failure> {
        let trimmed = self.attempt(|writer, conn| writer.trim_piece(conn, retention))?;
        self.checkpoints.count(64 * 1024);
        let swept = self.attempt(|writer, conn| writer.sweep(conn))?;
        Ok(Trimmed { more: trimmed.more || swept, ..trimmed })
    }

    /// Runs `work` with the connection, and cleans up behind it when it fails.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.reconnect()?,
        };
        let (head, commits) = (self.head, self.commits);
        match work(self, &conn) {
            Ok(done) => {
                self.segments.keep();
                self.topics.shrink();
                self.conn = Some(conn);
                Ok(done)
            }
            Err(failure) => {
                (self.head, self.commits) = (head, commits);
                self.topics.clear();
                self.segments.undo();
                let failure = failure::probe(&self.dir, failure);
                let ended = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
                if ended && matches!(failure, Failure::Full(_) | Failure::Conflict { .. }) {
                    self.conn = Some(conn);
                } else {
                    self.segments.close();
                }
                Err(failure)
            }
        }
    }

    /// After a failed write or sync, what memory holds of the files is not what they hold.
    fn reconnect(&mut self) -> Result<Connection, Failure> {
        tracing::warn!("the store is opened again after a failure");
        let conn = connection::writer(&self.dir, self.durability)
            .map_err(|error| failure::probe(&self.dir, error.into()))?;
        let journal = TopicRow::journal(&conn)?;
        (self.head, self.commits) = (journal.last_seq, journal.next_off);
        Ok(conn)
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.checkpoints.stop();
        self.attempt(|writer, conn| {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            set_meta(conn, "clean", "1")?;
            writer.finish(conn)?;
            // A reader that is still at work keeps it from being whole, which harms nobody.
            let mut whole = conn.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
            drop(whole.query_row([], |row| row.get::<_, i64>(0)));
            Ok(())
        })
    }

    /// Counts the commit in the journal's own row, commits, and notes that beside the journal.
    pub(super) fn finish(&mut self, conn: &Connection) -> Result<(), Failure> {
        self.commits += 1;
        let mut journal = TopicRow::new(0, Topic::new(""));
        (journal.last_seq, journal.next_off) = (self.head, self.commits);
        journal.count(conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        let (store, commits, head) = (self.store, self.commits, self.head);
        self.witness.note(&Seen { store, commits, head });
        Ok(())
    }

    /// Sums up the segments once; from then on the sum is kept.
    fn count_segments(&mut self) {
        let sum = self.attempt(|_, conn| {
            let sum = "SELECT coalesce(sum(seg_bytes), 0) FROM topics";
            Ok(conn.query_row(sum, [], |row| row.get::<_, u64>(0))?)
        });
        self.segment_bytes.store(sum.unwrap_or(0), Ordering::Relaxed);
    }

    /// Fails where a test wants it to.
    #[cfg(test)]
    pub(super) fn check_fault(&mut self) -> Result<(), Failure> {
        let full = || Failure::Full(std::io::Error::from(rustix::io::Errno::NOSPC));
        match self.fault {
            Fault::None | Fault::SegmentsFull => Ok(()),
            Fault::FullUntilReleased if self.dir.join("reserve").exists() => Err(full()),
            Fault::FullUntilReleased => Ok(()),
            Fault::Full => Err(full()),
            Fault::Disk => Err(Failure::Disk("disk I/O error".to_owned())),
        }
    }
}

/// What `batch` puts into rows, and so into the log: everything but payloads in segments.
fn row_bytes(batch: &Batch) -> usize {
    let puts: usize = batch.puts.iter().map(|put| put.body.len()).sum();
    let inline = |payload: usize| if payload > INLINE_BYTES { 0 } else { payload };
    let events = batch.events.iter();
    puts + events.map(|event| 128 + event.body.len() + inline(event.payload.len())).sum::<usize>()
}

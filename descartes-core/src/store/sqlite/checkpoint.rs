//! Checkpoints: the write-ahead log is folded into the database beside the commits.
//!
//! A passive checkpoint disturbs nobody, but under a permanent flood it never reaches the end of
//! the log, which then never begins anew. So above a bound the end is awaited, when little is left.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection;

/// Bytes that are written between two checkpoints.
const CHECKPOINT_EVERY: usize = 4 << 20;
/// Bytes of log above which the next checkpoint waits for its end; the log's bound is about twice.
const LOG_BYTES: u64 = 24 << 20;
/// Bytes of log above which a commit waits until it has begun anew: on a machine so busy that the
/// checkpoints beside the commits do not keep up, nothing else bounds it.
const LOG_MOST: u64 = 40 << 20;
/// What a commit costs in the log beside what it carries: the pages of trees that it touches.
const COMMIT_BYTES: usize = 6 * 4096;

/// The thread that checkpoints, and when it is due.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dir: PathBuf,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
    written: usize,
    /// Held by whoever checkpoints: SQLite refuses a second one at once, whatever it would wait.
    turn: Arc<Mutex<()>>,
}

impl Checkpoints {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, thread: None, written: 0, turn: Arc::default() }
    }

    /// Counts a commit of `bytes`; wakes the thread when enough has come together.
    pub(super) fn count(&mut self, bytes: usize) {
        self.written += bytes + COMMIT_BYTES;
        if self.written < CHECKPOINT_EVERY {
            return;
        }
        self.written = 0;
        if self.log_bytes() > LOG_MOST {
            return self.begin_anew();
        }
        if self.thread.is_none() {
            self.thread = start(self.dir.clone(), Arc::clone(&self.turn));
        }
        if let Some((wake, _)) = &self.thread {
            // A full channel means that it is awake already.
            let _awake = wake.try_send(());
        }
    }

    fn log_bytes(&self) -> u64 {
        let log = self.dir.join(connection::DATABASE).with_extension("db-wal");
        log.metadata().map_or(0, |meta| meta.len())
    }

    /// Folds the whole log and cuts it, between two commits; readers are waited for.
    fn begin_anew(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let conn = connection::checkpointer(&self.dir);
        if let Err(error) = conn.and_then(|conn| checkpoint(&conn, "TRUNCATE")) {
            tracing::debug!(%error, "the log could not begin anew");
        }
    }

    /// Folds what can be folded now, so that the log's space can be used again.
    pub(super) fn fold(&mut self) {
        self.written = 0;
        if let Ok(conn) = connection::checkpointer(&self.dir) {
            drop(checkpoint(&conn, "PASSIVE"));
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn stop(&mut self) {
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            drop(thread.join());
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(dir: PathBuf, turn: Arc<Mutex<()>>) -> Option<(SyncSender<()>, JoinHandle<()>)> {
    let (wake, woken) = sync_channel(1);
    let thread = std::thread::Builder::new().name("store-checkpoint".into());
    match thread.spawn(move || run(&dir, &woken, &turn)) {
        Ok(thread) => Some((wake, thread)),
        Err(error) => {
            tracing::warn!(%error, "no thread for checkpoints: the log grows until there is one");
            None
        }
    }
}

fn run(dir: &Path, woken: &Receiver<()>, turn: &Mutex<()>) {
    let mut conn: Option<Connection> = None;
    while woken.recv().is_ok() {
        if conn.is_none() {
            conn = connection::checkpointer(dir).ok();
        }
        let Some(open) = &conn else { continue };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let done = checkpoint(open, "PASSIVE").and_then(|pages| {
            if pages * 4096 > LOG_BYTES { checkpoint(open, "RESTART") } else { Ok(pages) }
        });
        if let Err(error) = done {
            // A disk that fails shows itself to the writer too, which reports it.
            tracing::debug!(%error, "a checkpoint failed");
            conn = None;
        }
    }
}

/// Runs a checkpoint; tells how many pages the log has.
fn checkpoint(conn: &Connection, how: &str) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare_cached(&format!("PRAGMA wal_checkpoint({how})"))?;
    statement.query_row([], |row| Ok(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
}

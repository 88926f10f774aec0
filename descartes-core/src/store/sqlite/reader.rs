//! Connections for reading, lent to one query each.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection;
use super::failure::Failure;
use super::names::Names;
use crate::store::StoreError;

/// Queries that run at once; more wait. Each holds one blocking thread and one connection.
const READERS: usize = 4;
/// Connections that stay open while nobody reads, about half a MiB each once used.
const IDLE_READERS: usize = 2;
/// How often a query is made again because retention deleted a segment under it.
const TRIES: usize = 8;

/// What queries share.
#[derive(Debug)]
pub(super) struct Readers {
    pub(super) dir: PathBuf,
    pub(super) names: Names,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            names: Names::default(),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `query` on a thread that may block. It sees one state of the store throughout.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl Fn(&Self, &Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_closed| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let answer = readers.answer(&query);
            drop(permit);
            answer
        });
        match task.await {
            Ok(answer) => answer.map_err(StoreError::from),
            Err(error) => Err(StoreError::Unavailable { what: error.to_string().into() }),
        }
    }

    fn answer<T>(
        &self,
        query: &(impl Fn(&Self, &Connection) -> Result<T, Failure> + Send + 'static),
    ) -> Result<T, Failure> {
        let mut tries = TRIES;
        loop {
            let mut conn = match self.lock().pop() {
                Some(conn) => conn,
                None => connection::reader(&self.dir)?,
            };
            // The transaction only reads: dropped, it ends, and the log may go on behind it.
            let answer = match conn.transaction() {
                Ok(snapshot) => query(self, &snapshot),
                Err(error) => Err(error.into()),
            };
            tries -= 1;
            match answer {
                Err(Failure::Disk(_)) => return answer,
                Err(Failure::Moved) if tries > 0 => self.give_back(conn),
                answer => {
                    self.give_back(conn);
                    return answer;
                }
            }
        }
    }

    fn give_back(&self, conn: Connection) {
        let mut idle = self.lock();
        if idle.len() < IDLE_READERS && !self.closed.load(Ordering::Relaxed) {
            idle.push(conn);
        }
    }

    /// Refuses queries from now on and closes the connections.
    pub(super) fn close(&self) {
        self.permits.close();
        self.closed.store(true, Ordering::Relaxed);
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The journal: one durable, ordered log, its group commit, and its readers.
//!
//! Writers submit batches; one task merges what waits, commits it once, puts the events into a
//! ring of recent ones, wakes readers, and answers the writers: store, then show, then answer.
//! Readers hold a position and pull. A reader that is behind the ring reads the store.

mod committer;
mod counters;
mod health;
mod queue;
mod read;
mod ring;
mod subscription;
mod waiters;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use counters::JournalCounts;
pub use health::Trouble;
pub use read::{ReadPage, ReadRequest};
pub use ring::Group;
pub use subscription::{
    After, EventBatch, Item, Seen, Sight, SubscribeError, SubscribeRequest, Subscription,
};

use crate::cursor::{Cursor, Position};
use crate::store::{Batch, Committed, Gap, StateStore, StoreError};
use crate::time::Clock;
use counters::Counters;
use health::Health;
use queue::Queue;
use ring::Ring;
use waiters::Waiters;

/// The journal of one host. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

/// What the committer, the writers and the readers share.
pub(crate) struct Shared {
    store: Arc<dyn StateStore>,
    clock: Clock,
    queue: Queue,
    ring: Ring,
    waiters: Waiters,
    health: Health,
    /// Bytes of output since somebody was last told of them.
    bulk: AtomicUsize,
    bulky: Notify,
    counters: Counters,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// Something to do with a batch's places, in the moment in which its events become visible.
pub(crate) type Apply = Box<dyn FnOnce(&Committed) + Send>;

impl Journal {
    /// Starts the journal of `store`, whose committer is a task of the current runtime.
    pub(crate) fn start(store: Arc<dyn StateStore>, ring_bytes: usize, clock: Clock) -> Self {
        let head = store.identity().opened_at;
        let shared = Arc::new(Shared {
            store,
            clock,
            queue: Queue::default(),
            ring: Ring::new(head, ring_bytes),
            waiters: Waiters::default(),
            health: Health::default(),
            bulk: AtomicUsize::new(0),
            bulky: Notify::new(),
            counters: Counters::default(),
            committer: Mutex::new(None),
        });
        let task = tokio::spawn(committer::run(Arc::clone(&shared)));
        *shared.committer.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Self { shared }
    }

    /// Commits `batch`: when this returns its events are durable and visible.
    ///
    /// # Errors
    /// Nothing of the batch was applied then.
    ///
    /// # Cancel safety
    /// Dropped before the batch was taken, nothing happens; later, the commit goes on without you.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.commit_then(batch, None).await
    }

    /// As [`commit`](Self::commit), and runs `apply` in the moment the events become visible.
    pub(crate) async fn commit_then(
        &self,
        batch: Batch,
        apply: Option<Apply>,
    ) -> Result<Committed, StoreError> {
        let answer = self.shared.queue.submit(batch, apply).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// How much was written since it began, and how those are getting on who write and read.
    #[must_use]
    pub fn counts(&self) -> JournalCounts {
        let mut counts = self.shared.counters.read();
        (counts.subscriptions, counts.lag) = self.shared.waiters.shown(self.shared.ring.head());
        counts
    }

    /// Notes that the output of one agent more is not read on, or of one less.
    pub(crate) fn block(&self, begins: bool) {
        self.shared.counters.block(begins);
    }

    /// The place of a reader that has seen everything so far.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.cursor(self.shared.ring.head())
    }

    /// Runs `look` while nothing becomes visible, and tells the position it saw.
    pub(crate) fn at_head<T>(&self, look: impl FnOnce() -> T) -> (T, Cursor) {
        let (seen, head) = self.shared.ring.at_head(look);
        (seen, self.cursor(head))
    }

    /// The cursor of a reader that has seen everything up to `position`.
    #[must_use]
    pub fn cursor(&self, position: Position) -> Cursor {
        self.shared.store.identity().cursor(position)
    }

    /// Follows topics from a place in history on.
    ///
    /// # Errors
    /// When the cursor belongs to another store, or the store cannot be read.
    pub async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<Subscription, SubscribeError> {
        subscription::open(Arc::clone(&self.shared), request).await
    }

    /// Reads one page of events, waiting for the first one as long as the request says.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn read(&self, request: ReadRequest) -> Result<ReadPage, SubscribeError> {
        read::read(self, request).await
    }

    /// What keeps the store from working, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.health.trouble()
    }

    /// Follows [`trouble`](Self::trouble).
    #[must_use]
    pub fn watch_trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.health.watch()
    }

    /// Waits until the store works, at once when it does.
    pub async fn works(&self) {
        self.shared.health.works().await;
    }

    /// Waits until so much output was written that retention should not wait for its time.
    pub(crate) async fn bulk(&self) {
        self.shared.bulky.notified().await;
    }

    /// The store beneath.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.shared.store
    }

    /// Subscriptions that are open.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.waiters.len()
    }

    /// Commits what waits, refuses more, and ends every subscription.
    pub async fn close(&self) {
        self.shared.queue.close();
        let task = self.shared.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the journal's committer did not end well");
        }
        self.shared.ring.close();
        self.shared.waiters.wake_all();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("head", &self.shared.ring.head()).finish_non_exhaustive()
    }
}

/// Merges gaps of one topic: the reader is told once what it missed.
fn merge_gap(gaps: &mut Vec<Gap>, gap: Gap) {
    match gaps.iter_mut().find(|known| known.topic == gap.topic) {
        Some(known) => known.to_offset = known.to_offset.max(gap.to_offset),
        None => gaps.push(gap),
    }
}

//! Batches that wait for the committer: bounded, control first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::Apply;
use crate::limits::{COMMIT_OUTPUT_BYTES, JOURNAL_QUEUE_BATCHES, JOURNAL_QUEUE_BYTES};
use crate::store::{Batch, Committed, Lane, StoreError};

/// What a writer waits for.
pub(super) type Answer = oneshot::Receiver<Result<Committed, StoreError>>;

/// A batch, and what is owed for it.
pub(super) struct Waiting {
    pub(super) batch: Batch,
    pub(super) apply: Option<Apply>,
    pub(super) answer: oneshot::Sender<Result<Committed, StoreError>>,
    /// Given back when the batch is committed: the queue's bound counts what is in flight too.
    _room: OwnedSemaphorePermit,
}

/// Batches that wait, in two lanes with a bound each: output never takes control's room.
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    filled: Notify,
    control_room: Arc<Semaphore>,
    output_room: Arc<Semaphore>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Lanes {
    control: VecDeque<Waiting>,
    output: VecDeque<Waiting>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            filled: Notify::new(),
            control_room: Arc::new(Semaphore::new(JOURNAL_QUEUE_BATCHES)),
            output_room: Arc::new(Semaphore::new(JOURNAL_QUEUE_BYTES)),
            closed: AtomicBool::new(false),
        }
    }
}

impl Queue {
    /// Puts a batch in line, waiting for room.
    pub(super) async fn submit(
        &self,
        batch: Batch,
        apply: Option<Apply>,
    ) -> Result<Answer, StoreError> {
        let (semaphore, permits) = match batch.lane {
            Lane::Control => (&self.control_room, 1),
            // A batch over the whole bound is let in alone.
            Lane::Output => (&self.output_room, batch.weight().min(JOURNAL_QUEUE_BYTES)),
        };
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let room = Arc::clone(semaphore).acquire_many_owned(permits).await;
        let room = room.or(Err(StoreError::Closed))?;
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting { batch, apply, answer, _room: room };
        let mut lanes = self.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        match waiting.batch.lane {
            Lane::Control => lanes.control.push_back(waiting),
            Lane::Output => lanes.output.push_back(waiting),
        }
        drop(lanes);
        self.filled.notify_one();
        Ok(receiver)
    }

    /// Waits for batches and takes what one commit may hold; none when closed and empty.
    pub(super) async fn take(&self) -> Option<Vec<Waiting>> {
        loop {
            let taken = self.take_now();
            if !taken.is_empty() {
                return Some(taken);
            }
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self) -> Vec<Waiting> {
        let mut lanes = self.lock();
        let mut taken: Vec<_> = lanes.control.drain(..).collect();
        let mut bytes = 0;
        while let Some(next) = lanes.output.front() {
            bytes += next.batch.weight();
            let first = taken.is_empty();
            if bytes > COMMIT_OUTPUT_BYTES && !first {
                break;
            }
            taken.extend(lanes.output.pop_front());
        }
        taken
    }

    /// Refuses more; what waits is still taken.
    pub(super) fn close(&self) {
        let lanes = self.lock();
        self.closed.store(true, Ordering::Release);
        drop(lanes);
        self.control_room.close();
        self.output_room.close();
        self.filled.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

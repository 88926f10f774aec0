//! Batches that wait for the committer: bounded, control first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::Apply;
use crate::limits::{
    COMMIT_OUTPUT_BYTES, JOURNAL_QUEUE_BATCHES, JOURNAL_QUEUE_BYTES, PRESSING_OUTPUT_BYTES,
};
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
    /// There is more than a little output.
    pressing: Notify,
    control_room: Arc<Semaphore>,
    output_room: Arc<Semaphore>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Lanes {
    control: VecDeque<Waiting>,
    output: VecDeque<Waiting>,
    output_bytes: usize,
}

impl Lanes {
    /// Whether what waits may wait a moment longer for company.
    fn is_patient(&self) -> bool {
        self.control.is_empty()
            && !self.output.is_empty()
            && self.output_bytes < PRESSING_OUTPUT_BYTES
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            filled: Notify::new(),
            pressing: Notify::new(),
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
            Lane::Output => {
                lanes.output_bytes += waiting.batch.weight();
                lanes.output.push_back(waiting);
            }
        }
        let patient = lanes.is_patient();
        drop(lanes);
        self.filled.notify_one();
        if !patient {
            self.pressing.notify_one();
        }
        Ok(receiver)
    }

    /// Waits for batches and takes what one commit may hold; none when closed and empty. A little
    /// output alone is not taken before `paced`.
    pub(super) async fn take(&self, paced: Instant) -> Option<Vec<Waiting>> {
        loop {
            while self.may_wait() && Instant::now() < paced {
                tokio::select! {
                    () = self.pressing.notified() => {}
                    () = tokio::time::sleep_until(paced) => {}
                }
            }
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

    fn may_wait(&self) -> bool {
        self.lock().is_patient() && !self.closed.load(Ordering::Acquire)
    }

    fn take_now(&self) -> Vec<Waiting> {
        let mut lanes = self.lock();
        let mut taken: Vec<_> = lanes.control.drain(..).collect();
        let mut bytes = 0;
        while let Some(next) = lanes.output.front() {
            let weight = next.batch.weight();
            let first = taken.is_empty();
            if bytes + weight > COMMIT_OUTPUT_BYTES && !first {
                break;
            }
            bytes += weight;
            taken.extend(lanes.output.pop_front());
        }
        lanes.output_bytes -= bytes;
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
        self.pressing.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{EventBody, NewEvent, Topic};
    use crate::limits::OUTPUT_COMMIT_PACE;
    use crate::time::Timestamp;

    fn batch(lane: Batch, bytes: usize) -> Batch {
        let (topic, at) = (Topic::system(), Timestamp::from_millis(1));
        let event = NewEvent::new(topic, "me".into(), at, &EventBody::SystemDraining);
        lane.event(event.with_payload(vec![b'x'; bytes].into()))
    }

    async fn put(queue: &Queue, batch: Batch) {
        // Nobody waits for the answer.
        drop(queue.submit(batch, None).await.expect("the queue is open"));
    }

    /// How long after a commit the next one begins, and of how many batches it is.
    async fn next(queue: &Queue) -> (Duration, usize) {
        let began = Instant::now();
        let taken = queue.take(began + OUTPUT_COMMIT_PACE).await.expect("the queue is open");
        (began.elapsed(), taken.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_little_output_waits_for_more_and_everything_else_for_nothing() {
        let queue = Queue::default();
        put(&queue, batch(Batch::output(), 10)).await;
        put(&queue, batch(Batch::output(), 10)).await;
        assert_eq!(next(&queue).await, (OUTPUT_COMMIT_PACE, 2));
        put(&queue, batch(Batch::output(), 10)).await;
        put(&queue, batch(Batch::control(), 10)).await;
        assert_eq!(next(&queue).await, (Duration::ZERO, 2));
        put(&queue, batch(Batch::output(), PRESSING_OUTPUT_BYTES)).await;
        assert_eq!(next(&queue).await, (Duration::ZERO, 1));
        put(&queue, batch(Batch::output(), 10)).await;
        let taken = queue.take(Instant::now()).await.expect("the queue is open");
        assert_eq!(taken.len(), 1, "long after a commit output waits for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_more_goes_as_soon_as_it_presses() {
        let queue = Arc::new(Queue::default());
        put(&queue, batch(Batch::output(), 10)).await;
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { next(&queue).await }
        });
        tokio::task::yield_now().await;
        put(&queue, batch(Batch::control(), 10)).await;
        assert_eq!(waiting.await.expect("it ends"), (Duration::ZERO, 2));
    }
}

//! The queue between the task that feeds a subscription and its reader: bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::{ClientError, Update};

type Item = Result<Update, ClientError>;

/// What may wait for a reader, or one update that is longer. A reader that falls further behind
/// has to ask the daemon again: enough for a burst, little for sixty-four slow readers.
pub(super) const FEED_BYTES: usize = 256 * 1024;
/// A reader that has to catch up has done so when no more than this is left.
const CAUGHT_UP_BYTES: usize = FEED_BYTES / 4;
/// What an update costs beside its text.
const UPDATE_BYTES: usize = 256;

/// The end that is written to.
pub(super) struct Feed(Arc<Shared>);

/// The end that is read.
pub(super) struct Updates(Arc<Shared>);

/// Whether something can be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It can.
    Free,
    /// The reader has to catch up first.
    Full,
    /// There is no reader any more.
    Gone,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the writer when there is room again, or nobody to write for.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<(usize, Item)>,
    bytes: usize,
    /// Nothing more will be written.
    over: bool,
    /// Nobody will read.
    gone: bool,
    reader: Option<Waker>,
}

/// Both ends of a new queue.
pub(super) fn feed() -> (Feed, Updates) {
    let shared = Arc::<Shared>::default();
    (Feed(Arc::clone(&shared)), Updates(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, item: Option<Item>) {
        let reader = {
            let mut queue = self.lock();
            match item {
                Some(item) => {
                    let bytes = weight(&item);
                    queue.bytes += bytes;
                    queue.items.push_back((bytes, item));
                }
                None => queue.over = true,
            }
            queue.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    async fn until(&self, ready: impl Fn(&Queue) -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            notified.as_mut().enable();
            if ready(&self.lock()) {
                return;
            }
            notified.await;
        }
    }
}

fn weight(item: &Item) -> usize {
    match item {
        Ok(Update::Event(event)) => UPDATE_BYTES + event.json().len(),
        _ => UPDATE_BYTES,
    }
}

impl Feed {
    /// Whether something can be written now.
    pub(super) fn room(&self) -> Room {
        let queue = self.0.lock();
        match queue.gone {
            true => Room::Gone,
            false if queue.bytes >= FEED_BYTES => Room::Full,
            false => Room::Free,
        }
    }

    /// Writes, whether there is room or not: one more is not many.
    pub(super) fn push(&self, item: Item) {
        self.0.write(Some(item));
    }

    /// Ready when the reader has caught up, or is gone.
    pub(super) fn caught_up(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.0);
        async move { shared.until(|queue| queue.gone || queue.bytes <= CAUGHT_UP_BYTES).await }
    }

    /// Ready when there is no reader any more.
    pub(super) async fn gone(&self) {
        self.0.until(|queue| queue.gone).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.write(None);
    }
}

impl Updates {
    /// The next update; `None` after the last.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Item>> {
        let mut queue = self.0.lock();
        let Some((bytes, item)) = queue.items.pop_front() else {
            if queue.over {
                return Poll::Ready(None);
            }
            queue.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        queue.bytes -= bytes;
        let caught_up = queue.bytes <= CAUGHT_UP_BYTES;
        drop(queue);
        if caught_up {
            self.0.room.notify_waiters();
        }
        Poll::Ready(Some(item))
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.lock();
            queue.gone = true;
            std::mem::take(&mut queue.items)
        };
        drop(left);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn synced(cursor: &str) -> Item {
        Ok(Update::Synced { cursor: cursor.to_owned() })
    }

    #[tokio::test]
    async fn a_full_queue_is_free_again_when_its_reader_has_caught_up() {
        let (feed, mut updates) = feed();
        let mut written = 0;
        while feed.room() == Room::Free {
            feed.push(synced("c"));
            written += 1;
        }
        assert_eq!((feed.room(), written), (Room::Full, FEED_BYTES / UPDATE_BYTES));
        let caught_up = feed.caught_up();
        tokio::pin!(caught_up);
        for _ in 0..written * 3 / 4 - 1 {
            assert!(std::future::poll_fn(|cx| updates.poll(cx)).await.is_some());
        }
        assert!(caught_up.as_mut().now_or_never().is_none());
        assert!(std::future::poll_fn(|cx| updates.poll(cx)).await.is_some());
        caught_up.await;
        assert_eq!(feed.room(), Room::Free);
    }

    #[tokio::test]
    async fn what_was_written_is_read_to_its_end() {
        let (feed, mut updates) = feed();
        feed.push(synced("1"));
        feed.push(Err(ClientError::Protocol));
        drop(feed);
        assert!(std::future::poll_fn(|cx| updates.poll(cx)).await.unwrap().is_ok());
        assert!(std::future::poll_fn(|cx| updates.poll(cx)).await.unwrap().is_err());
        assert!(std::future::poll_fn(|cx| updates.poll(cx)).await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed() {
        let (feed, updates) = feed();
        assert!(feed.gone().now_or_never().is_none());
        let gone = feed.gone();
        tokio::pin!(gone);
        assert!(gone.as_mut().now_or_never().is_none());
        drop(updates);
        gone.await;
        feed.caught_up().await;
        assert_eq!(feed.room(), Room::Gone);
    }
}

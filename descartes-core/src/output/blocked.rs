//! Whether an agent's output is not read on: counted by the journal, an agent once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::journal::Journal;

/// How many streams of an agent are not read on.
#[derive(Debug, Default)]
pub(super) struct Blocked(AtomicUsize);

impl Blocked {
    /// Waits for `room`, and counts the agent as long as there is none.
    pub(super) async fn during<F: Future>(&self, journal: &Journal, room: F) -> F::Output {
        let (mut room, mut counted) = (pin!(room), None);
        poll_fn(|cx| {
            let polled = room.as_mut().poll(cx);
            if polled.is_pending() {
                counted.get_or_insert_with(|| Counted::begin(&self.0, journal));
            }
            polled
        })
        .await
    }
}

/// A stream that is not read on until this is dropped.
struct Counted<'a> {
    streams: &'a AtomicUsize,
    journal: &'a Journal,
}

impl<'a> Counted<'a> {
    fn begin(streams: &'a AtomicUsize, journal: &'a Journal) -> Self {
        if streams.fetch_add(1, Ordering::AcqRel) == 0 {
            journal.block(true);
        }
        Self { streams, journal }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.journal.block(false);
        }
    }
}

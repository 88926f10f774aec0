//! How much was written since the journal began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::tally::{COMMITS, Times};

/// How much was written since the journal began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalCounts {
    /// Commits that succeeded.
    pub commits: u64,
    /// How long they took.
    pub times: Times,
    /// Their events.
    pub events: u64,
    /// Bytes of output in them.
    pub output_bytes: u64,
    /// Agents whose output is not read on just now, because too much of it is not written yet.
    pub blocked: u64,
    /// Subscriptions that are open; who reads a page is none.
    pub subscriptions: u64,
    /// How many events the subscription has not looked at yet that is behind the most.
    pub lag: u64,
}

#[derive(Debug)]
pub(super) struct Counters {
    times: Mutex<Times>,
    blocked: AtomicU64,
    events: AtomicU64,
    output_bytes: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            times: Mutex::new(Times::of(&COMMITS)),
            blocked: AtomicU64::new(0),
            events: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A commit of so many events, with so many bytes of output, has succeeded.
    pub(super) fn count(&self, (events, bytes): (usize, usize), took: Duration) {
        let add = |counter: &AtomicU64, more: usize| {
            counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.events, events);
        add(&self.output_bytes, bytes);
        self.times().note(took);
    }

    /// One agent more is not read on, or one less.
    pub(super) fn block(&self, begins: bool) {
        if begins {
            self.blocked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.blocked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> JournalCounts {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let times = *self.times();
        JournalCounts {
            commits: times.count(),
            times,
            events: number(&self.events),
            output_bytes: number(&self.output_bytes),
            blocked: number(&self.blocked),
            ..JournalCounts::default()
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

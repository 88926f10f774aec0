//! How much was written since the journal began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much was written since the journal began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalCounts {
    /// Commits that succeeded.
    pub commits: u64,
    /// What they took together.
    pub took: Duration,
    /// Their events.
    pub events: u64,
    /// Bytes of output in them.
    pub output_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    micros: AtomicU64,
    events: AtomicU64,
    output_bytes: AtomicU64,
}

impl Counters {
    /// A commit of so many events, with so many bytes of output, has succeeded.
    pub(super) fn count(&self, (events, bytes): (usize, usize), took: Duration) {
        let add = |counter: &AtomicU64, more: usize| {
            counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.commits, 1);
        add(&self.events, events);
        add(&self.output_bytes, bytes);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> JournalCounts {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalCounts {
            commits: number(&self.commits),
            took: Duration::from_micros(number(&self.micros)),
            events: number(&self.events),
            output_bytes: number(&self.output_bytes),
        }
    }
}

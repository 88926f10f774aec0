//! What the unfinished messages of many connections may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::UNFINISHED_FREE;

/// Bytes that are left for the unfinished messages of many connections.
#[derive(Debug)]
pub(crate) struct Unfinished(AtomicUsize);

impl Unfinished {
    /// So many bytes in all.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The share of one connection; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    all: Option<Arc<Unfinished>>,
    taken: usize,
}

impl Share {
    /// A share of `all`.
    pub(super) fn of(all: Arc<Unfinished>) -> Self {
        Self { all: Some(all), taken: 0 }
    }

    /// Bytes that are held of it now.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Says that `held` bytes are held now; whether they may be.
    pub(super) fn hold(&mut self, held: usize) -> bool {
        let Some(all) = &self.all else { return true };
        let due = held.saturating_sub(UNFINISHED_FREE);
        if due == self.taken {
            // Nearly always, with nothing on either side: what all share is left alone.
            return true;
        }
        if due > self.taken && !all.take(due - self.taken) {
            return false;
        }
        all.give(self.taken.saturating_sub(due));
        self.taken = due;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_gives_back_another_may_have_and_little_costs_nothing() {
        let all = Unfinished::new(100);
        let (mut one, mut other) = (Share::of(Arc::clone(&all)), Share::of(all));
        assert!(one.hold(UNFINISHED_FREE) && one.hold(UNFINISHED_FREE + 80));
        assert!(other.hold(UNFINISHED_FREE));
        assert!(!other.hold(UNFINISHED_FREE + 30));
        assert!(one.hold(UNFINISHED_FREE + 70) && other.hold(UNFINISHED_FREE + 30));
        drop(one);
        assert!(other.hold(UNFINISHED_FREE + 100));
        assert!(Share::default().hold(usize::MAX));
    }
}

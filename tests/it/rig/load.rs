//! What others notice of it: how long an answer takes, while something else goes on.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Caller;

/// How long answers took, the shortest first.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Asks `caller` how it is, so many times.
    pub(crate) fn of(caller: &mut impl Caller, times: usize) -> Self {
        let mut all = Self(Vec::with_capacity(times));
        for _ in 0..times {
            all.ask(caller);
        }
        all
    }

    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// What several have measured, together.
    pub(crate) fn joined(all: impl IntoIterator<Item = Self>) -> Self {
        let mut joined: Vec<Duration> = all.into_iter().flat_map(|one| one.0).collect();
        joined.sort_unstable();
        Self(joined)
    }

    /// Asks once more.
    pub(crate) fn ask(&mut self, caller: &mut impl Caller) {
        let asked = Instant::now();
        caller.ok("system.health", json!({}));
        let took = asked.elapsed();
        let at = self.0.partition_point(|known| *known <= took);
        self.0.insert(at, took);
    }

    /// The time that so many of a hundred were within.
    #[track_caller]
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        *self.0.get(at).expect("something was measured")
    }
}

/// Waits as long as the daemon says, and not as this machine's scheduler does: the wait of a call
/// for events that do not come.
#[track_caller]
pub(crate) fn rest(caller: &mut impl Caller, millis: u64) {
    let nothing = json!({"topics": ["system"], "after": "now", "wait_ms": millis});
    caller.ok("event.read", nothing);
}

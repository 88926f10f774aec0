//! How often one principal may call.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    bounded_map::{BoundedMap, Memory},
    error::RpcError,
    limits::PRINCIPALS,
};

/// The configuration key that errors name.
const KEY: &str = "limits.rate_per_second";

/// How often one principal may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls a second in the long run.
    pub per_second: u64,
    /// Calls at once, after a time without any.
    pub burst: u64,
}

impl RateLimit {
    /// The time that one call takes of its caller's.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / u32::try_from(self.per_second.max(1)).unwrap_or(u32::MAX)
    }

    /// How far ahead of its time a caller may be.
    fn ahead(self) -> Duration {
        let more = u32::try_from(self.burst.saturating_sub(1)).unwrap_or(u32::MAX);
        self.interval().saturating_mul(more)
    }
}

/// The callers of a service and how far each is ahead of its time; control calls are not counted.
#[derive(Debug, Default)]
pub struct Rates {
    is_limited: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: Option<RateLimit>,
    callers: BoundedMap<Box<str>, PaidUntil>,
}

/// When a principal will have used up what it has called; in the past, or never, counts nothing.
#[derive(Debug, Default)]
struct PaidUntil(Option<Instant>);

impl Memory for PaidUntil {
    fn is_over(&self, now: Instant) -> bool {
        self.0.is_none_or(|until| until <= now)
    }
}

impl Default for State {
    fn default() -> Self {
        Self { limit: None, callers: BoundedMap::new(PRINCIPALS) }
    }
}

impl Rates {
    /// Puts another limit in force, or none; what was called before still counts.
    pub fn set(&self, limit: Option<RateLimit>) {
        let mut state = self.lock();
        state.limit = limit;
        self.is_limited.store(limit.is_some(), Ordering::Release);
    }

    /// Counts a call of `principal`, or refuses it.
    pub(crate) fn count(&self, principal: &str) -> Result<(), RpcError> {
        if !self.is_limited.load(Ordering::Acquire) {
            return Ok(());
        }
        let (now, mut state) = (Instant::now(), self.lock());
        let Some(limit) = state.limit else { return Ok(()) };
        let paid_until = state.callers.of(principal, now);
        let from = paid_until.0.map_or(now, |until| until.max(now));
        let early = (from - now).saturating_sub(limit.ahead());
        if early.is_zero() {
            paid_until.0 = Some(from + limit.interval());
            return Ok(());
        }
        let wait = u64::try_from(early.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let error = RpcError::exhausted(KEY, limit.per_second, limit.per_second);
        Err(error.with("retry_after_ms", wait))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u64, burst: u64) -> Rates {
        let rates = Rates::default();
        rates.set(Some(RateLimit { per_second, burst }));
        rates
    }

    /// How many calls of `principal` pass until one is refused, and how long that one has to wait.
    fn passed(rates: &Rates, principal: &str) -> (usize, u64) {
        for passed in 0..1000 {
            if let Err(error) = rates.count(principal) {
                let data = error.data();
                assert_eq!(
                    (data["limit"].as_str(), data["retryable"].as_bool()),
                    (Some(KEY), Some(true))
                );
                return (passed, data["retry_after_ms"].as_u64().unwrap());
            }
        }
        (1000, 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_its_rate() {
        let rates = rates(10, 5);
        let (first, wait) = passed(&rates, "a");
        assert_eq!((first, wait), (5, 101));
        assert_eq!(passed(&rates, "b").0, 5, "each has its own");
        tokio::time::advance(Duration::from_millis(wait)).await;
        assert_eq!(passed(&rates, "a").0, 1, "who waits as told is let in");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(passed(&rates, "a").0, 5, "no more than a burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_is_in_force_at_once_and_none_counts_nothing() {
        let rates = rates(1, 1);
        assert_eq!(passed(&rates, "a").0, 1);
        rates.set(None);
        assert_eq!(passed(&rates, "a").0, 1000);
        rates.set(Some(RateLimit { per_second: 1, burst: 3 }));
        assert_eq!(passed(&rates, "a").0, 2, "the call from before still counts");
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_take_no_more_memory_than_is_bounded() {
        let rates = rates(1, 1);
        for number in 0..PRINCIPALS + 100 {
            drop(rates.count(&number.to_string()));
        }
        assert!(rates.lock().callers.len() <= PRINCIPALS);
        assert!(rates.count("one more").is_err(), "those that are too many share one");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(rates.count("one more").is_ok());
        assert_eq!(rates.lock().callers.len(), 1, "who calls no more is forgotten");
    }
}

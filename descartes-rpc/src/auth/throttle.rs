//! Failed logins are slowed, for each address apart.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    bounded_map::{BoundedMap, Memory, Place},
    error::RpcError,
    limits::{
        FAILURE_ADDRESSES, FAILURE_MEMORY, FAILURE_PAUSE, FAILURE_PAUSE_MOST, FAILURES_WAITING,
        FREE_FAILURES,
    },
};

/// The configuration key that errors name; it is a constant.
const KEY: &str = "auth.failed_logins";

/// What every failed login costs.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<BoundedMap<Source, Failures>>);

/// Whose failures are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    /// A socket of this machine.
    Local,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    waiting: u32,
    last: Option<Instant>,
}

/// A failed login that waits for its answer.
struct Waiting<'a> {
    throttle: &'a Throttle,
    place: Place<Source>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(FAILURE_ADDRESSES)))
    }
}

impl Throttle {
    /// Refuses to look at anything of `address` while too much of it has failed.
    pub(super) fn check(&self, address: Option<&str>) -> Result<(), RpcError> {
        let waiting = self.lock().get(&Source::of(address)).map_or(0, |failures| failures.waiting);
        if waiting < FAILURES_WAITING {
            return Ok(());
        }
        let retry = u64::try_from(FAILURE_PAUSE_MOST.as_millis()).unwrap_or(u64::MAX);
        Err(RpcError::exhausted(KEY, waiting, FAILURES_WAITING)
            .with("retry_after_ms", retry)
            .hint("too many logins of this address have failed; try again later"))
    }

    /// Waits for as long as a failed login of `address` has to.
    pub(super) async fn pay(&self, address: Option<&str>) {
        let (place, pause) = self.fail(Source::of(address));
        let _waiting = Waiting { throttle: self, place };
        tokio::time::sleep(pause).await;
    }

    /// Counts a failure and says how long its answer waits.
    fn fail(&self, source: Source) -> (Place<Source>, Duration) {
        let mut all = self.lock();
        let now = Instant::now();
        let place = all.place(&source, now);
        let failures = all.at(&place);
        if failures.is_over(now) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.waiting += 1;
        failures.last = Some(now);
        (place, pause(failures.count))
    }

    fn lock(&self) -> MutexGuard<'_, BoundedMap<Source, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut all = self.throttle.lock();
        let failures = all.at(&self.place);
        failures.waiting = failures.waiting.saturating_sub(1);
    }
}

impl Memory for Failures {
    fn is_over(&self, now: Instant) -> bool {
        let is_old = |last| now.duration_since(last) > FAILURE_MEMORY;
        self.waiting == 0 && self.last.is_none_or(is_old)
    }
}

impl Source {
    /// Of an address of IPv6 only the network counts: a host has as many as it likes.
    fn of(address: Option<&str>) -> Self {
        let Some(address) = address.and_then(|text| text.parse::<SocketAddr>().ok()) else {
            return Self::Local;
        };
        Self::Address(match address.ip().to_canonical() {
            IpAddr::V6(host) if !host.is_loopback() => {
                IpAddr::V6(Ipv6Addr::from_bits(host.to_bits() & (u128::MAX << 64)))
            }
            other => other,
        })
    }
}

/// How long the answer to the failure `count` waits.
fn pause(count: u32) -> Duration {
    let Some(over) = count.checked_sub(FREE_FAILURES + 1) else { return Duration::ZERO };
    FAILURE_PAUSE.saturating_mul(2_u32.saturating_pow(over)).min(FAILURE_PAUSE_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<&str> = Some("192.0.2.1:4000");

    #[test]
    fn the_pause_grows_from_nothing_to_its_bound() {
        let millis = |count| pause(count).as_millis();
        assert_eq!((1..=FREE_FAILURES).map(millis).max(), Some(0));
        let grown: Vec<_> = (FREE_FAILURES + 1..FREE_FAILURES + 7).map(millis).collect();
        assert_eq!(grown, [50, 100, 200, 400, 500, 500]);
        assert_eq!(pause(u32::MAX), FAILURE_PAUSE_MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_for_each_address_and_forgotten_after_a_while() {
        let throttle = Throttle::default();
        let took = async |address| {
            let begin = Instant::now();
            throttle.pay(address).await;
            begin.elapsed() >= FAILURE_PAUSE
        };
        for _ in 0..FREE_FAILURES {
            assert!(!took(HERE).await);
        }
        assert!(took(HERE).await);
        assert!(took(Some("192.0.2.1:4001")).await, "another port of the same host");
        assert!(!took(Some("192.0.2.2:4000")).await && !took(None).await);
        tokio::time::sleep(FAILURE_MEMORY + Duration::from_secs(1)).await;
        assert!(!took(HERE).await);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_that_wait_are_not_looked_at_and_others_are() {
        let throttle = std::sync::Arc::new(Throttle::default());
        for _ in 0..FREE_FAILURES {
            throttle.pay(HERE).await;
        }
        let waiting: Vec<_> = (0..FAILURES_WAITING)
            .map(|_| {
                let throttle = std::sync::Arc::clone(&throttle);
                tokio::spawn(async move { throttle.pay(HERE).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let refused = throttle.check(HERE).unwrap_err();
        assert_eq!(refused.detail("max").unwrap(), FAILURES_WAITING);
        assert!(refused.detail("retry_after_ms").is_some());
        assert!(throttle.check(Some("192.0.2.2:1")).is_ok());
        for one in waiting {
            one.await.unwrap();
        }
        assert!(throttle.check(HERE).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text| Source::of(Some(text));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::2]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.1:2"));
        assert_eq!(Source::of(None), Source::Local);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_without_end_share_one_count() {
        let throttle = Throttle::default();
        for host in 0..u32::try_from(FAILURE_ADDRESSES).unwrap() + 10 {
            let address = format!("{}:1", std::net::Ipv4Addr::from_bits(host + (10 << 24)));
            throttle.pay(Some(&address)).await;
        }
        assert!(throttle.lock().len() <= FAILURE_ADDRESSES);
    }
}

//! What a service and its transports count. Each service has its own: nothing here is global.

mod doors;
mod reasons;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use doors::{Arrivals, Connected};
pub use reasons::{AuthFailure, Rejection};

use crate::error::RpcError;
use doors::Doors;

/// The upper ends, in microseconds, of the times that are told apart: a millisecond to half a
/// minute, which is as long as a call may take that does not wait by its nature.
pub const BUCKETS: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// What stands for every method that there is not, so that nobody can make up labels.
const UNKNOWN: &str = "unknown";

/// What a service counts of its calls, by method and transport, and its transports of those who
/// come: all of it by closed sets. Cheap to clone; clones count together.
///
/// An application that wants the numbers of its transports gives them the one of its service
/// ([`Rpc::meter`](crate::service::Rpc::meter)), or makes one and gives it to both.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    calls: RwLock<HashMap<(&'static str, &'static str), Arc<Counts>>>,
    doors: Doors,
}

/// The calls of one method over one transport.
#[derive(Debug, Default)]
struct Counts {
    at_work: AtomicU64,
    succeeded: AtomicU64,
    unanswered: AtomicU64,
    failed: Mutex<BTreeMap<&'static str, u64>>,
    /// How many took no longer than each bucket and longer than the one before; the last took more.
    times: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

/// What has been counted of one method over one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// The method; `unknown` is every one that there is not.
    pub method: &'static str,
    /// The transport.
    pub transport: &'static str,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Notifications, which are never answered.
    pub unanswered: u64,
    /// Calls that failed, by the kind of their error.
    pub failed: BTreeMap<&'static str, u64>,
    /// How many took no longer than each of [`BUCKETS`] and longer than the one before; the last
    /// took more than all of them.
    pub times: [u64; BUCKETS.len() + 1],
    /// What all of them took together.
    pub took: Duration,
}

impl Counted {
    /// All calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.succeeded + self.unanswered + self.failed.values().sum::<u64>()
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Succeeded,
    Unanswered,
    Failed(&'static str),
}

impl Meter {
    /// Counts a call of `method`, none if there is no such method.
    pub(crate) fn count(
        &self,
        (method, transport): (Option<&'static str>, &'static str),
        ended: Ended,
        took: Duration,
    ) {
        let counts = self.of((method.unwrap_or(UNKNOWN), transport));
        match ended {
            Ended::Succeeded => drop(counts.succeeded.fetch_add(1, Ordering::Relaxed)),
            Ended::Unanswered => drop(counts.unanswered.fetch_add(1, Ordering::Relaxed)),
            Ended::Failed(kind) => {
                let mut failed = counts.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed.entry(kind).or_default() += 1;
            }
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|end| *end < micros);
        counts.times[bucket].fetch_add(1, Ordering::Relaxed);
        counts.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Calls that are under way, waiting ones included, by method.
    #[must_use]
    pub fn at_work(&self) -> BTreeMap<&'static str, u64> {
        let all = self.0.calls.read().unwrap_or_else(PoisonError::into_inner);
        let mut at_work = BTreeMap::new();
        for ((method, _), counts) in all.iter() {
            let count = counts.at_work.load(Ordering::Relaxed);
            if count > 0 {
                *at_work.entry(*method).or_default() += count;
            }
        }
        at_work
    }

    /// Counts a call of `method` as under way until that is dropped.
    pub(crate) fn begin(
        &self,
        (method, transport): (Option<&'static str>, &'static str),
    ) -> UnderWay {
        let counts = self.of((method.unwrap_or(UNKNOWN), transport));
        counts.at_work.fetch_add(1, Ordering::Relaxed);
        UnderWay(counts)
    }

    /// Counts something that was answered with `error` before it was known to be a call.
    pub fn refused(&self, transport: &'static str, why: Rejection, error: &RpcError) {
        self.count((None, transport), Ended::Failed(error.kind().as_str()), Duration::ZERO);
        self.rejected(why);
        if let Some(reason) = AuthFailure::of(error) {
            self.auth_failed(reason);
        }
    }

    /// Counts something that was refused.
    pub fn rejected(&self, why: Rejection) {
        self.0.doors.rejected(why);
    }

    /// Counts somebody who was not believed.
    pub fn auth_failed(&self, why: AuthFailure) {
        self.0.doors.auth_failed(why);
    }

    /// Counts a connection of `transport` that lasts as long as what this returns.
    #[must_use]
    pub fn connected(&self, transport: &'static str) -> Connected {
        let connected = self.newcomer(transport);
        connected.settle();
        connected
    }

    /// The same for one that may still become one of another transport: it is active, and is
    /// counted among all when it [settles](Connected::settle) or ends.
    #[must_use]
    pub fn newcomer(&self, transport: &'static str) -> Connected {
        Connected::new(self.clone(), transport)
    }

    /// The connections of each transport that had some.
    #[must_use]
    pub fn arrivals(&self) -> BTreeMap<&'static str, Arrivals> {
        self.0.doors.arrivals()
    }

    /// How often something was refused, by the reason; all reasons are there.
    #[must_use]
    pub fn rejections(&self) -> Vec<(Rejection, u64)> {
        self.0.doors.rejections()
    }

    /// How often somebody was not believed, by the reason; all reasons are there.
    #[must_use]
    pub fn auth_failures(&self) -> Vec<(AuthFailure, u64)> {
        self.0.doors.auth_failures()
    }

    /// What has been counted of calls so far, by method and transport.
    #[must_use]
    pub fn read(&self) -> Vec<Counted> {
        let all = self.0.calls.read().unwrap_or_else(PoisonError::into_inner);
        let mut read: Vec<_> = all.iter().map(|(key, counts)| counts.read(*key)).collect();
        read.sort_unstable_by_key(|counted| (counted.method, counted.transport));
        read
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.read().iter().map(Counted::calls).sum()
    }

    fn of(&self, key: (&'static str, &'static str)) -> Arc<Counts> {
        if let Some(counts) = self.0.calls.read().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Arc::clone(counts);
        }
        let mut all = self.0.calls.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_default())
    }
}

/// A call that is under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    fn read(&self, (method, transport): (&'static str, &'static str)) -> Counted {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            method,
            transport,
            succeeded: number(&self.succeeded),
            unanswered: number(&self.unanswered),
            failed: self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            times: self.times.each_ref().map(number),
            took: Duration::from_micros(number(&self.micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_counted_once_under_its_method_transport_and_time() {
        let meter = Meter::default();
        let list = (Some("agent.list"), "unix");
        meter.count(list, Ended::Succeeded, Duration::from_millis(1));
        meter.count(list, Ended::Failed("timeout"), Duration::from_secs(31));
        meter.count(list, Ended::Unanswered, Duration::from_micros(1001));
        meter.count((None, "http"), Ended::Failed("method_not_found"), Duration::ZERO);
        let [list, unknown] = &meter.read()[..] else { panic!("two rows: {:?}", meter.read()) };
        assert_eq!((list.method, list.transport, list.calls()), ("agent.list", "unix", 3));
        assert_eq!(list.failed, BTreeMap::from([("timeout", 1)]));
        assert_eq!((list.times[0], list.times[1], list.times[BUCKETS.len()]), (1, 1, 1));
        assert_eq!(list.took, Duration::from_micros(31_002_001));
        assert_eq!((unknown.method, unknown.calls()), (UNKNOWN, 1));
        assert_eq!(meter.calls(), 4);
    }

    #[test]
    fn calls_under_way_are_named_by_their_method_until_they_end() {
        let meter = Meter::default();
        let by_two =
            [meter.begin((Some("agent.wait"), "unix")), meter.begin((Some("agent.wait"), "http"))];
        assert_eq!(meter.at_work(), BTreeMap::from([("agent.wait", 2)]));
        drop(by_two);
        assert!(meter.at_work().is_empty());
    }
}

//! Who comes, who is refused, and why.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{AuthFailure, Meter, Rejection};

/// What the doors of a service have counted.
#[derive(Debug, Default)]
pub(super) struct Doors {
    arrivals: Mutex<BTreeMap<&'static str, Arrivals>>,
    rejections: [AtomicU64; Rejection::ALL.len()],
    auth_failures: [AtomicU64; AuthFailure::ALL.len()],
}

/// The connections of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrivals {
    /// All so far.
    pub total: u64,
    /// Those that are there.
    pub active: u64,
}

impl Doors {
    pub(super) fn rejected(&self, why: Rejection) {
        self.rejections[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn auth_failed(&self, why: AuthFailure) {
        self.auth_failures[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn arrivals(&self) -> BTreeMap<&'static str, Arrivals> {
        self.lock().clone()
    }

    pub(super) fn rejections(&self) -> Vec<(Rejection, u64)> {
        let counts = self.rejections.iter().map(|count| count.load(Ordering::Relaxed));
        Rejection::ALL.into_iter().zip(counts).collect()
    }

    pub(super) fn auth_failures(&self) -> Vec<(AuthFailure, u64)> {
        let counts = self.auth_failures.iter().map(|count| count.load(Ordering::Relaxed));
        AuthFailure::ALL.into_iter().zip(counts).collect()
    }

    fn change(&self, transport: &'static str, change: impl FnOnce(&mut Arrivals)) {
        change(self.lock().entry(transport).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arrivals>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted as active until this is dropped.
#[derive(Debug)]
pub struct Connected {
    meter: Meter,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    transport: &'static str,
    settled: bool,
}

impl Connected {
    pub(super) fn new(meter: Meter, transport: &'static str) -> Self {
        meter.0.doors.change(transport, |arrivals| arrivals.active += 1);
        Self { meter, state: Mutex::new(State { transport, settled: false }) }
    }

    /// It is known what it is: counts it among all; once, however often it is asked.
    pub fn settle(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.settled, true) {
            self.meter.0.doors.change(state.transport, |arrivals| arrivals.total += 1);
        }
    }

    /// It goes on as one of `transport`, and is counted as that among all.
    pub fn settle_as(&self, transport: &'static str) {
        let before = std::mem::replace(&mut *self.lock(), State { transport, settled: true });
        let doors = &self.meter.0.doors;
        doors.change(before.transport, |arrivals| arrivals.active -= 1);
        doors.change(transport, |arrivals| {
            arrivals.active += 1;
            arrivals.total += 1;
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.settle();
        let transport = self.lock().transport;
        self.meter.0.doors.change(transport, |arrivals| arrivals.active -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_counted_once_as_what_it_has_become() {
        let meter = Meter::default();
        let of = |transport| meter.arrivals().get(transport).copied().unwrap_or_default();
        let (first, second) = (meter.newcomer("http"), meter.newcomer("http"));
        assert_eq!(of("http"), Arrivals { total: 0, active: 2 });
        first.settle();
        first.settle();
        second.settle_as("ws");
        assert_eq!(of("http"), Arrivals { total: 1, active: 1 });
        assert_eq!(of("ws"), Arrivals { total: 1, active: 1 });
        drop((first, second, meter.newcomer("http"), meter.connected("unix")));
        assert_eq!(of("http"), Arrivals { total: 2, active: 0 });
        assert_eq!(of("ws"), Arrivals { total: 1, active: 0 });
        assert_eq!(of("unix"), Arrivals { total: 1, active: 0 });
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let meter = Meter::default();
        for (times, why) in Rejection::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| meter.rejected(why));
        }
        for (times, why) in AuthFailure::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| meter.auth_failed(why));
        }
        for (times, (why, count)) in meter.rejections().into_iter().enumerate() {
            assert_eq!((why, count), (Rejection::ALL[times], times as u64));
        }
        for (times, (why, count)) in meter.auth_failures().into_iter().enumerate() {
            assert_eq!((why, count), (AuthFailure::ALL[times], times as u64));
        }
    }
}

//! How many calls are at work in all.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use descartes_core::Swap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{ErrorKind, RpcError},
    limits,
};

/// The bounds of [`Slots`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SlotLimits {
    /// Calls at work in all.
    pub calls: usize,
    /// Further ones that only control calls get.
    pub control: usize,
    /// Calls that wait for a slot.
    pub queue: usize,
    /// How long a call waits for a slot; zero refuses it at once.
    pub patience: Duration,
    /// Waiting calls in all.
    pub waits: usize,
}

impl Default for SlotLimits {
    fn default() -> Self {
        Self {
            calls: limits::CALLS,
            control: limits::CONTROL_SLOTS,
            queue: limits::SLOT_QUEUE,
            patience: limits::SLOT_WAIT,
            waits: limits::WAITS,
        }
    }
}

/// The slots of a service, shared by all its clones and connections.
#[derive(Debug)]
pub struct Slots {
    limits: Swap<SlotLimits>,
    work: Arc<Lane>,
    control: Arc<Lane>,
    queued: AtomicUsize,
    waits: AtomicUsize,
}

impl Slots {
    /// Slots within `limits`.
    #[must_use]
    pub fn new(limits: SlotLimits) -> Arc<Self> {
        Arc::new(Self {
            work: Lane::of(limits.calls),
            control: Lane::of(limits.control),
            queued: AtomicUsize::new(0),
            waits: AtomicUsize::new(0),
            limits: Swap::new(limits),
        })
    }

    /// Puts other bounds in force. No call loses its slot: where there are fewer from now on, those
    /// that are given back are given to nobody until that many are left.
    pub fn resize(&self, limits: SlotLimits) {
        self.work.resize(limits.calls);
        self.control.resize(limits.control);
        self.limits.store(limits);
    }

    /// Calls at work.
    #[must_use]
    pub fn at_work(&self) -> usize {
        self.work.taken() + self.control.taken()
    }

    /// Calls that only wait.
    #[must_use]
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::Relaxed)
    }

    /// A slot if one is free.
    pub(super) fn try_take(&self, control: bool) -> Option<Slot> {
        self.work.try_take().or_else(|| control.then(|| self.control.try_take()).flatten())
    }

    /// A slot as soon as one is free.
    ///
    /// Control calls queue for their own lane only: those slots come back soon whatever the others
    /// do.
    pub(super) async fn take(self: Arc<Self>, control: bool) -> Result<Slot, RpcError> {
        let limits = self.limits.load();
        let _place = Place::take(&self, &limits).ok_or_else(|| self.no_slot())?;
        let lane = if control { &self.control } else { &self.work };
        match tokio::time::timeout(limits.patience, lane.take()).await {
            Ok(Some(slot)) => Ok(slot),
            Ok(None) | Err(_) => Err(self.no_slot()),
        }
    }

    fn no_slot(&self) -> RpcError {
        RpcError::new(ErrorKind::Unavailable, "too many calls are at work")
            .reason("no_slot")
            .with("limit", "pool.max_size")
            .with("current", self.at_work())
            .with("max", self.limits.load().calls)
            .hint("try again later")
    }

    /// Notes one more call that only waits.
    pub(super) fn begin_wait(self: &Arc<Self>) -> Result<Waiting, RpcError> {
        let (current, max) = (self.waits.fetch_add(1, Ordering::Relaxed), self.limits.load().waits);
        let waiting = Waiting { slots: Arc::clone(self) };
        if current >= max {
            return Err(RpcError::exhausted("limits.waits", current as u64, max as u64));
        }
        Ok(waiting)
    }
}

/// Slots of one kind.
#[derive(Debug)]
struct Lane {
    free: Arc<Semaphore>,
    /// How many there are to be; held while that changes.
    size: Mutex<usize>,
    /// How many of those that are taken are not to come back.
    owed: AtomicUsize,
}

impl Lane {
    fn of(size: usize) -> Arc<Self> {
        let size = size.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(size));
        Arc::new(Self { free, size: Mutex::new(size), owed: AtomicUsize::new(0) })
    }

    fn resize(&self, to: usize) {
        let to = to.min(Semaphore::MAX_PERMITS);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let more = to.saturating_sub(*size);
        let kept = (0..more).take_while(|_| self.pay()).count();
        self.free.add_permits(more - kept);
        let fewer = size.saturating_sub(to);
        self.owed.fetch_add(fewer - self.free.forget_permits(fewer), Ordering::AcqRel);
        *size = to;
    }

    /// Whether one was owed, which is one less now.
    fn pay(&self) -> bool {
        let less = |owed: usize| owed.checked_sub(1);
        self.owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn taken(&self) -> usize {
        let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = self.owed.load(Ordering::Acquire);
        (size + owed).saturating_sub(self.free.available_permits())
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(|permit| self.slot(permit))
    }

    async fn take(self: &Arc<Self>) -> Option<Slot> {
        Arc::clone(&self.free).acquire_owned().await.ok().map(|permit| self.slot(permit))
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot { permit: Some(permit), lane: Arc::clone(self) }
    }
}

/// A call's slot, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    lane: Arc<Lane>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.lane.pay()
        {
            permit.forget();
        }
    }
}

/// A place in the queue for a slot.
struct Place<'a>(&'a Slots);

impl<'a> Place<'a> {
    fn take(slots: &'a Slots, limits: &SlotLimits) -> Option<Self> {
        let place = Self(slots);
        let before = slots.queued.fetch_add(1, Ordering::Relaxed);
        let room = before < limits.queue && !limits.patience.is_zero();
        room.then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that only waits, until this is dropped.
pub(super) struct Waiting {
    slots: Arc<Slots>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.slots.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(calls: usize) -> Arc<Slots> {
        Slots::new(SlotLimits { calls, control: 0, patience: Duration::ZERO, ..Default::default() })
    }

    fn resize(slots: &Slots, calls: usize) {
        slots.resize(SlotLimits { calls, control: 0, ..Default::default() });
    }

    fn take_all(slots: &Slots) -> Vec<Slot> {
        std::iter::from_fn(|| slots.try_take(false)).collect()
    }

    #[test]
    fn fewer_slots_take_none_away_and_are_fewer_when_they_come_back() {
        let slots = slots(4);
        let mut taken = take_all(&slots);
        assert_eq!(taken.len(), 4);
        resize(&slots, 2);
        assert_eq!(slots.at_work(), 4, "calls at work go on");
        taken.truncate(2);
        assert_eq!((slots.at_work(), take_all(&slots).len()), (2, 0), "two are gone for good");
        taken.truncate(1);
        let more = take_all(&slots);
        assert_eq!((slots.at_work(), more.len()), (2, 1));
        drop((taken, more));
        assert_eq!((slots.at_work(), take_all(&slots).len()), (0, 2));
    }

    #[test]
    fn more_slots_are_there_at_once_also_while_some_were_owed() {
        let slots = slots(3);
        let taken = take_all(&slots);
        resize(&slots, 1);
        resize(&slots, 5);
        assert_eq!(slots.at_work(), 3);
        assert_eq!(take_all(&slots).len(), 2, "five in all, of which three are taken");
        drop(taken);
        assert_eq!((slots.at_work(), take_all(&slots).len()), (0, 5));
    }
}

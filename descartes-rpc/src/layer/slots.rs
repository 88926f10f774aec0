//! How many calls are at work in all.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

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
    limits: SlotLimits,
    work: Arc<Semaphore>,
    control: Arc<Semaphore>,
    queued: AtomicUsize,
    waits: AtomicUsize,
}

impl Slots {
    /// Slots within `limits`.
    #[must_use]
    pub fn new(limits: SlotLimits) -> Arc<Self> {
        Arc::new(Self {
            work: Arc::new(Semaphore::new(limits.calls)),
            control: Arc::new(Semaphore::new(limits.control)),
            queued: AtomicUsize::new(0),
            waits: AtomicUsize::new(0),
            limits,
        })
    }

    /// Calls at work.
    #[must_use]
    pub fn at_work(&self) -> usize {
        let free = self.work.available_permits() + self.control.available_permits();
        (self.limits.calls + self.limits.control).saturating_sub(free)
    }

    /// Calls that only wait.
    #[must_use]
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::Relaxed)
    }

    /// A slot if one is free.
    pub(super) fn try_take(&self, control: bool) -> Option<OwnedSemaphorePermit> {
        let work = Arc::clone(&self.work).try_acquire_owned().ok();
        work.or_else(|| {
            let reserved = Arc::clone(&self.control);
            control.then(|| reserved.try_acquire_owned().ok()).flatten()
        })
    }

    /// A slot as soon as one is free.
    ///
    /// Control calls queue for their own lane only: those slots come back soon whatever the others
    /// do.
    pub(super) async fn take(
        self: Arc<Self>,
        control: bool,
    ) -> Result<OwnedSemaphorePermit, RpcError> {
        let _place = Place::take(&self).ok_or_else(|| self.no_slot())?;
        let lane = Arc::clone(if control { &self.control } else { &self.work });
        match tokio::time::timeout(self.limits.patience, lane.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.no_slot()),
        }
    }

    fn no_slot(&self) -> RpcError {
        RpcError::new(ErrorKind::Unavailable, "too many calls are at work")
            .reason("no_slot")
            .with("limit", "pool.max_size")
            .with("current", self.at_work())
            .with("max", self.limits.calls)
            .hint("try again later")
    }

    /// Notes one more call that only waits.
    pub(super) fn begin_wait(self: &Arc<Self>) -> Result<Waiting, RpcError> {
        let (current, max) = (self.waits.fetch_add(1, Ordering::Relaxed), self.limits.waits);
        let waiting = Waiting { slots: Arc::clone(self) };
        if current >= max {
            return Err(RpcError::exhausted("limits.waits", current as u64, max as u64));
        }
        Ok(waiting)
    }
}

/// A place in the queue for a slot.
struct Place<'a>(&'a Slots);

impl<'a> Place<'a> {
    fn take(slots: &'a Slots) -> Option<Self> {
        let place = Self(slots);
        let before = slots.queued.fetch_add(1, Ordering::Relaxed);
        let room = before < slots.limits.queue && !slots.limits.patience.is_zero();
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

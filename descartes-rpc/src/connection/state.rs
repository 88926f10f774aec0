//! What all calls of one connection share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    subscriptions::{SubscriptionTicket, Subscriptions},
    turns::{OrderKey, Turn, Turns},
    waits::{WaitEnd, WaitTicket, Waits},
};
use crate::{
    error::RpcError,
    layer::Seat,
    limits,
    message::{EndReason, Id},
};

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Longest message, in bytes; what the codec was given, so that the error can name it.
    pub request_bytes: usize,
    /// Calls at work.
    pub calls: usize,
    /// Control calls at work, beside the others.
    pub control: usize,
    /// Waiting calls.
    pub waits: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Bytes not taken by the peer above which nothing more is read.
    pub unsent_bytes: usize,
    /// Bytes not taken by the peer above which subscriptions rest.
    pub stream_bytes: usize,
    /// A peer that takes nothing for so long is cut.
    pub stall: Duration,
    /// The same while draining.
    pub stall_draining: Duration,
    /// A connection on which nothing is under way for so long is closed; `None`: never.
    pub idle: Option<Duration>,
    /// How long a peer that nobody knows may take to log in; `None`: it is known by other means.
    pub login: Option<Duration>,
    /// Whether a peer that sends no more may still listen, as on a socket of which one side can be
    /// closed. Where the end is the end of both, streams and waits end with it.
    pub half_close: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            request_bytes: limits::REQUEST_BYTES,
            calls: limits::CALLS_PER_CONNECTION,
            control: limits::CONTROL_PER_CONNECTION,
            waits: limits::WAITS_PER_CONNECTION,
            subscriptions: limits::SUBSCRIPTIONS_PER_CONNECTION,
            unsent_bytes: limits::UNSENT_BYTES,
            stream_bytes: limits::STREAM_BYTES,
            stall: limits::STALL,
            stall_draining: limits::STALL_DRAINING,
            idle: None,
            login: None,
            half_close: true,
        }
    }
}

/// One connection as its calls see it: counters, waiting calls, subscriptions and the order of
/// effects. Cheap to clone; a request over HTTP has one of its own.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    limits: ConnectionLimits,
    duplex: bool,
    calls: AtomicUsize,
    control: AtomicUsize,
    batches: AtomicUsize,
    turns: Turns,
    waits: Waits,
    subscriptions: Subscriptions,
    /// Whom it is counted for, where that is counted.
    seat: Mutex<Option<Seat>>,
}

/// Which of a connection's counters a call is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    /// An ordinary call.
    Work,
    /// A call that must get through although the ordinary ones are too many.
    Control,
    /// A batch, whose calls count as one.
    Batch,
}

impl Connection {
    /// A duplex connection of its own, with nothing on it yet.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self::of(limits, true)
    }

    fn of(limits: ConnectionLimits, duplex: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                duplex,
                calls: AtomicUsize::new(0),
                control: AtomicUsize::new(0),
                batches: AtomicUsize::new(0),
                turns: Turns::default(),
                waits: Waits::default(),
                subscriptions: Subscriptions::default(),
                seat: Mutex::default(),
            }),
        }
    }

    /// The bounds it was made with.
    #[must_use]
    pub fn limits(&self) -> &ConnectionLimits {
        &self.shared.limits
    }

    /// Whether messages come both ways for as long as it lasts, so that somebody can log in on it.
    #[must_use]
    pub fn is_duplex(&self) -> bool {
        self.shared.duplex
    }

    /// Ends the waiting call `id` with `cancelled`; false when none of that name waits.
    #[must_use]
    pub fn cancel(&self, id: &Id) -> bool {
        self.shared.waits.cancel(id)
    }

    /// Ends every waiting call, also those that begin to wait after this.
    pub(crate) fn end_waits(&self, end: WaitEnd) {
        self.shared.waits.end_all(end);
    }

    /// Opens a subscription.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when the connection has too many.
    pub fn open_subscription(&self) -> Result<SubscriptionTicket, RpcError> {
        let max = self.shared.limits.subscriptions;
        self.shared.subscriptions.open(self, max)
    }

    /// Ends the subscription `id` as its reader wishes; false when there is none of that name.
    #[must_use]
    pub fn unsubscribe(&self, id: &str) -> bool {
        self.shared.subscriptions.end(id, EndReason::Unsubscribed)
    }

    /// Ends every subscription, also those that are opened after this.
    pub fn end_streams(&self, reason: EndReason) {
        self.shared.subscriptions.end_all(reason);
    }

    /// How many subscriptions are open.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.shared.subscriptions.len()
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.shared.subscriptions
    }

    pub(super) fn waits(&self) -> &Waits {
        &self.shared.waits
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.shared.turns
    }

    /// Counts a call as at work, or refuses it because the connection has too many.
    pub(crate) fn begin(&self, class: CallClass) -> Result<CallTicket, RpcError> {
        let (max, key) = match class {
            CallClass::Work => (self.shared.limits.calls, "limits.calls_per_connection"),
            CallClass::Control => (self.shared.limits.control, "limits.control_per_connection"),
            CallClass::Batch => (limits::BATCHES_PER_CONNECTION, "limits.batches_per_connection"),
        };
        let counter = self.counter(class);
        let current = counter.fetch_add(1, Ordering::Relaxed);
        if current >= max {
            counter.fetch_sub(1, Ordering::Relaxed);
            return Err(RpcError::exhausted(key, current as u64, max as u64)
                .hint("wait for answers before sending more"));
        }
        Ok(CallTicket { connection: self.clone(), class })
    }

    /// Sees to it that it is counted for `principal`, and for nobody else.
    pub(crate) fn sit(
        &self,
        principal: &str,
        take: impl FnOnce() -> Result<Seat, RpcError>,
    ) -> Result<(), RpcError> {
        let mut seat = self.shared.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if !seat.as_ref().is_some_and(|seat| seat.is_of(principal)) {
            *seat = Some(take()?);
        }
        Ok(())
    }

    /// Takes the next place in the order of effects on `key`.
    pub(crate) fn take_turn(&self, key: OrderKey) -> Turn {
        self.shared.turns.take(self, key)
    }

    /// Notes that the call `id` only waits from now on.
    pub(crate) fn begin_wait(&self, id: Option<&Id>) -> Result<WaitTicket, RpcError> {
        self.shared.waits.begin(self, id, self.shared.limits.waits)
    }

    fn counter(&self, class: CallClass) -> &AtomicUsize {
        match class {
            CallClass::Work => &self.shared.calls,
            CallClass::Control => &self.shared.control,
            CallClass::Batch => &self.shared.batches,
        }
    }
}

/// The connection of one message.
impl Default for Connection {
    fn default() -> Self {
        Self::of(ConnectionLimits::default(), false)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("calls", &self.shared.calls)
            .field("waits", &self.shared.waits.len())
            .field("subscriptions", &self.subscription_count())
            .finish_non_exhaustive()
    }
}

/// A call that is counted as at work until this is dropped.
#[derive(Debug)]
pub(crate) struct CallTicket {
    connection: Connection,
    class: CallClass,
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        self.connection.counter(self.class).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_over_the_bound_is_refused_and_control_still_passes() {
        let connection = Connection::default();
        let held: Vec<_> = (0..64).map(|_| connection.begin(CallClass::Work).unwrap()).collect();
        let refused = connection.begin(CallClass::Work).unwrap_err();
        assert_eq!(refused.detail("max").unwrap(), 64);
        assert!(connection.begin(CallClass::Control).is_ok());
        drop(held);
        assert!(connection.begin(CallClass::Work).is_ok());
    }
}

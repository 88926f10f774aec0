//! Where a connection stands, as seen by its socket, its requests and the server.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use futures_util::task::AtomicWaker;

use super::registry::Registry;

/// What the connection is waiting for; each phase has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The rest of a request head.
    Head,
    /// The rest of a request body.
    Body,
    /// Our own answer.
    Answer,
    /// The next request.
    Idle,
    /// The end of a body that was refused.
    Discard,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Head, Self::Body, Self::Answer, Self::Idle, Self::Discard];
}

const DRAIN: u8 = 1;
const CUT: u8 = 2;

/// Shared by the parts of one connection.
///
/// Everything but `orders` and `waker` is written by the connection's own task; the atomics only
/// make it shareable. Changes are counted and not timed: the driver looks at the clock once for
/// each time it waits, instead of once for each step of a request.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    id: u64,
    registry: Arc<Registry>,
    phase: AtomicU8,
    steps: AtomicU32,
    body_bytes: AtomicU64,
    heard: AtomicU64,
    written: AtomicU64,
    write_blocked: AtomicBool,
    unread_body: AtomicBool,
    settled: AtomicBool,
    orders: AtomicU8,
    waker: AtomicWaker,
}

impl ConnectionState {
    pub(super) fn new(id: u64, registry: Arc<Registry>) -> Self {
        Self {
            id,
            registry,
            phase: AtomicU8::new(Phase::Head as u8),
            steps: AtomicU32::new(0),
            body_bytes: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            written: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            unread_body: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            orders: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        let stored = self.phase.load(Ordering::Relaxed);
        Phase::ALL.into_iter().find(|phase| *phase as u8 == stored).unwrap_or(Phase::Answer)
    }

    pub(super) fn steps(&self) -> u32 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Bytes came in: after an answer they begin the next request.
    pub(super) fn received(&self, bytes: usize) {
        self.heard.fetch_add(bytes as u64, Ordering::Relaxed);
        match self.phase() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Body => drop(self.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed)),
            Phase::Head | Phase::Answer | Phase::Discard => {}
        }
    }

    /// All bytes that have come.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// What has come of the present body since its head was read.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.write_blocked.store(false, Ordering::Relaxed);
    }

    pub(super) fn send_blocked(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
    }

    /// How much the peer has taken, if it is being waited for.
    pub(super) fn blocked_at(&self) -> Option<u64> {
        let blocked = self.write_blocked.load(Ordering::Relaxed);
        blocked.then(|| self.written.load(Ordering::Relaxed))
    }

    /// The peer has sent a whole request: it is no newcomer any more.
    pub(crate) fn settle(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.registry.settle(self.id);
        }
    }

    /// The rest of this request's body will not be read, but must be taken from the socket before
    /// it is closed: closing over unread bytes resets the connection and the peer may lose the
    /// answer.
    pub(crate) fn leave_body_unread(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    /// A new request began, so nothing of an earlier one is left.
    pub(crate) fn begin(&self) {
        self.unread_body.store(false, Ordering::Relaxed);
        self.body_bytes.store(0, Ordering::Relaxed);
        self.enter(Phase::Body);
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Finish what is being answered, then close.
    pub(super) fn drain(&self) {
        self.order(DRAIN);
    }

    /// Close now.
    pub(super) fn cut(&self) {
        self.order(CUT);
    }

    /// Completes when the connection has to close now.
    pub(super) async fn cut_ordered(&self) {
        poll_fn(|cx| {
            self.watch(cx.waker());
            if self.is_cut() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Completes when who has not asked for anything has to leave.
    #[cfg(feature = "tls")]
    pub(super) async fn leave_ordered(&self) {
        poll_fn(|cx| {
            self.watch(cx.waker());
            if self.is_cut() || self.is_draining() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.orders.load(Ordering::Acquire) & DRAIN != 0
    }

    pub(super) fn is_cut(&self) -> bool {
        self.orders.load(Ordering::Acquire) & CUT != 0
    }

    #[cfg(test)]
    pub(super) fn waker_for_test(&self) {
        self.waker.wake();
    }

    fn order(&self, order: u8) {
        self.orders.fetch_or(order, Ordering::Release);
        self.waker.wake();
    }
}

/// Travels in the body of an answer: when that is gone, the connection waits for the next request.
#[derive(Debug)]
pub(crate) struct AnswerEnd(pub(crate) Arc<ConnectionState>);

impl Drop for AnswerEnd {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

//! When a ping is due, and when a silent peer is gone: for transports whose wire has pings.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of one connection. A peer of which nothing is heard between two pings is gone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::{future::poll_fn, time::Duration};
///
/// use descartes_rpc::keepalive::{Beat, Keepalive};
///
/// let mut keepalive = Keepalive::new(Duration::from_secs(20), true);
/// assert_eq!(poll_fn(|cx| keepalive.poll(cx)).await, Beat::Ping);
/// keepalive.heard();
/// assert_eq!(poll_fn(|cx| keepalive.poll(cx)).await, Beat::Ping);
/// assert_eq!(poll_fn(|cx| keepalive.poll(cx)).await, Beat::Gone);
/// # }
/// ```
#[derive(Debug)]
pub struct Keepalive {
    every: Duration,
    /// Whether the peer knows pings.
    pings: bool,
    timer: Pin<Box<Sleep>>,
    /// When the next beat is.
    beat: Instant,
    /// Nothing was heard since the last ping.
    unanswered: bool,
    /// The peer promised to be heard of before.
    promised: Option<Instant>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A ping is due.
    Ping,
    /// The peer knows no ping; nothing is to be done but to give memory back.
    Rest,
    /// The peer gives no sign of life.
    Gone,
}

impl Keepalive {
    /// A beat after each `every`; `pings` says whether the peer knows pings. Must be called inside a
    /// runtime, whose clock it uses.
    #[must_use]
    pub fn new(every: Duration, pings: bool) -> Self {
        let beat = Instant::now() + every;
        let timer = Box::pin(sleep_until(beat));
        Self { every, pings, timer, beat, unanswered: false, promised: None }
    }

    /// Anything that comes shows that the peer is there.
    pub fn heard(&mut self) {
        (self.unanswered, self.promised) = (false, None);
    }

    /// The peer says that it will be heard of within this time.
    pub fn promised(&mut self, within: Duration) {
        let until = Instant::now() + within;
        self.promised = Some(until);
        if until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
    }

    /// Waits for the next beat.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.promised.is_some_and(|until| until <= now) {
                return Poll::Ready(Beat::Gone);
            }
            if self.beat <= now {
                if self.unanswered {
                    return Poll::Ready(Beat::Gone);
                }
                self.unanswered = self.pings;
                self.beat = now + self.every;
                self.rearm();
                // The timer must know whom to wake.
                if self.timer.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Ready(if self.pings { Beat::Ping } else { Beat::Rest });
            }
            self.rearm();
        }
        Poll::Pending
    }

    fn rearm(&mut self) {
        let next = self.promised.map_or(self.beat, |until| until.min(self.beat));
        self.timer.as_mut().reset(next);
    }
}

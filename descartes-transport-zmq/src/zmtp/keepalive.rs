//! When a PING is due, and when a silent peer is gone ("Connection Heartbeating").

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Keepalive {
    every: Duration,
    /// Whether the peer knows PING.
    pings: bool,
    timer: Pin<Box<Sleep>>,
    /// When the next beat is.
    beat: Instant,
    /// Nothing was heard since the last PING.
    unanswered: bool,
    /// The peer promised to be heard of before.
    promised: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Ping,
    /// The peer knows no PING; nothing is to be done but to give memory back.
    Rest,
    Gone,
}

impl Keepalive {
    /// Must be called inside a runtime, whose clock it uses.
    pub(super) fn new(every: Duration, pings: bool) -> Self {
        let beat = Instant::now() + every;
        let timer = Box::pin(sleep_until(beat));
        Self { every, pings, timer, beat, unanswered: false, promised: None }
    }

    /// Anything that comes shows that the peer is there.
    pub(super) fn heard(&mut self) {
        (self.unanswered, self.promised) = (false, None);
    }

    /// A PING came that says when the next is due at the latest, in tenths of seconds.
    pub(super) fn promised(&mut self, ttl: u16) {
        if ttl > 0 {
            let until = Instant::now() + Duration::from_millis(u64::from(ttl) * 100);
            self.promised = Some(until);
            if until < self.timer.deadline() {
                self.timer.as_mut().reset(until);
            }
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
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

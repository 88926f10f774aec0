//! What is to be sent and has not been taken yet.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Sink;

/// Frames in order. Many are fed before one flush.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Bytes>,
    queued: usize,
    /// Bytes that the sink has taken since it was last flushed to its end.
    fed: usize,
    /// Counts what the sink took, so that standing still can be told.
    progress: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.queued += frame.len();
        self.frames.push_back(frame);
    }

    /// Forgets everything: nobody takes it any more.
    pub(super) fn clear(&mut self) {
        let progress = self.progress + 1;
        *self = Self { progress, ..Self::default() };
    }

    /// Bytes that the peer has not taken yet.
    pub(super) const fn unsent(&self) -> usize {
        self.queued + self.fed
    }

    /// Changes whenever the sink has taken something.
    pub(super) const fn progress(&self) -> u64 {
        self.progress
    }

    /// Feeds what the sink takes and flushes it. Ready when nothing is left.
    pub(super) fn poll_drain<T>(
        &mut self,
        mut io: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        T: Sink<Bytes, Error = io::Error>,
    {
        while !self.frames.is_empty() {
            ready!(io.as_mut().poll_ready(cx))?;
            if let Some(frame) = self.frames.pop_front() {
                self.queued -= frame.len();
                self.fed += frame.len();
                self.progress += 1;
                io.as_mut().start_send(frame)?;
            }
        }
        if self.fed > 0 {
            ready!(io.poll_flush(cx))?;
            self.fed = 0;
            self.progress += 1;
        }
        Poll::Ready(Ok(()))
    }
}

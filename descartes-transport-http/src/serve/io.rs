//! The connection as hyper sees it: it reports what comes, and ends without losing the last answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    long_head::LongHead,
    secure::Wire,
    state::{ConnectionState, Phase},
};
use crate::limits::MAX_DISCARDED_BYTES;

const DISCARD_BUFFER: usize = 8 << 10;

/// What requests come over; it tells its [`ConnectionState`] about them.
#[derive(Debug)]
pub(super) struct WatchedStream {
    wire: Wire,
    state: Arc<ConnectionState>,
    long_head: LongHead,
    discarded: u64,
    shut: bool,
}

impl WatchedStream {
    pub(super) fn new(wire: Wire, state: Arc<ConnectionState>) -> Self {
        Self { wire, state, long_head: LongHead::default(), discarded: 0, shut: false }
    }

    /// Says in our words what hyper would say of a head that is too long, if `bytes` are that.
    fn poll_long_head(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.state.phase() == Phase::Head && self.long_head.is_refused_by(bytes) {
            self.state.leave_body_unread();
        }
        let Self { wire, long_head, .. } = self;
        let left = long_head.left()?;
        while !left.is_empty() {
            match Pin::new(&mut *wire).poll_write(cx, left) {
                // Hyper takes that for the end that it is.
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Ok(0))),
                Poll::Ready(Ok(written)) => left.advance(written),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        Some(Poll::Ready(Ok(bytes.len())))
    }

    /// Reads away what a refused request still sends, up to a bound; the driver bounds the time.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [0; DISCARD_BUFFER];
        while self.discarded < MAX_DISCARDED_BYTES {
            let mut read = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut self.wire).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    self.discarded += read.filled().len() as u64;
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.wire).poll_read(cx, buffer);
        let received = buffer.filled().len() - before;
        if received > 0 {
            self.state.received(received);
            if self.state.phase() == Phase::Head {
                self.long_head.hear(&buffer.filled()[before..]);
            }
        }
        result
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_long_head(cx, bytes) {
            Some(told) => told,
            None => Pin::new(&mut self.wire).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bytes.iter().find(|piece| !piece.is_empty());
        match first.and_then(|piece| self.poll_long_head(cx, piece)) {
            Some(told) => told,
            None => Pin::new(&mut self.wire).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.wire).poll_shutdown(cx))?;
            self.shut = true;
            if self.state.has_unread_body() {
                self.state.enter(Phase::Discard);
            }
        }
        if self.state.has_unread_body() { self.poll_discard(cx) } else { Poll::Ready(Ok(())) }
    }
}

//! A duplex connection inside one process.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::Sink;

use crate::limits::MEMORY_PAIR_BYTES;

/// Two ends of a connection: what one is given as messages, the other yields.
///
/// Each direction holds at most [`MEMORY_PAIR_BYTES`], or one message that is longer; then its
/// sender waits. Dropping or closing an end ends the other's stream once it is read out.
#[must_use]
pub fn pair() -> (MemoryIo, MemoryIo) {
    let (there, back) = (Arc::new(Lane::default()), Arc::new(Lane::default()));
    let left = MemoryIo { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) };
    (left, MemoryIo { incoming: there, outgoing: back })
}

/// One end of a connection inside the process.
pub struct MemoryIo {
    incoming: Arc<Lane>,
    outgoing: Arc<Lane>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let (reader, writer) = {
            let mut state = self.lock();
            state.closed = true;
            (state.reader.take(), state.writer.take())
        };
        for waker in [reader, writer].into_iter().flatten() {
            waker.wake();
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other end is gone")
}

impl Stream for MemoryIo {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut state = self.incoming.lock();
        let Some(frame) = state.frames.pop_front() else {
            if state.closed {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= frame.len();
        let writer = state.writer.take();
        drop(state);
        if let Some(waker) = writer {
            waker.wake();
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Sink<Bytes> for MemoryIo {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.outgoing.lock();
        if state.closed {
            return Poll::Ready(Err(gone()));
        }
        if state.bytes < MEMORY_PAIR_BYTES {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        let mut state = self.outgoing.lock();
        if state.closed {
            return Err(gone());
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        let reader = state.reader.take();
        drop(state);
        if let Some(waker) = reader {
            waker.wake();
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryIo {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

impl fmt::Debug for MemoryIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryIo")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, SinkExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn what_one_end_is_given_the_other_yields() {
        let (mut left, mut right) = pair();
        left.send(Bytes::from_static(b"there")).await.unwrap();
        right.send(Bytes::from_static(b"back")).await.unwrap();
        assert_eq!(right.next().await.unwrap().unwrap(), "there");
        assert_eq!(left.next().await.unwrap().unwrap(), "back");
        left.send(Bytes::from_static(b"last")).await.unwrap();
        drop(left);
        assert_eq!(right.next().await.unwrap().unwrap(), "last");
        assert!(right.next().await.is_none());
        assert!(right.send(Bytes::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_its_writer() {
        let (mut left, mut right) = pair();
        let frame = Bytes::from(vec![0; MEMORY_PAIR_BYTES]);
        left.send(frame.clone()).await.unwrap();
        let mut second = Box::pin(left.send(frame));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(right.next().await.is_some());
        second.await.unwrap();
    }
}

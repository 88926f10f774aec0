//! The frames of one connection, and what it has not taken yet.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, StreamExt};

use super::Call;
use crate::client::FrameIo;

/// Bytes that wait to be written, above which callers wait instead: a peer that takes nothing must
/// not be written for in memory.
const QUEUED_BYTES: usize = 1024 * 1024;

/// A connection with the messages that wait for it.
///
/// It is not split in two, because the halves of `futures_util` would take a message before the
/// connection does, and then nobody knows any more that it was never sent.
pub(super) struct Link {
    io: Box<dyn FrameIo>,
    /// Each with the call that it is, if it is one.
    queue: VecDeque<(Option<u64>, Bytes)>,
    bytes: usize,
    unflushed: bool,
}

/// What moved.
pub(super) enum Moved {
    /// A frame has come; `None` at the end.
    Frame(Option<Bytes>),
    /// There is room for more messages again.
    Room,
}

impl Link {
    pub(super) fn new(io: Box<dyn FrameIo>) -> Self {
        Self { io, queue: VecDeque::new(), bytes: 0, unflushed: false }
    }

    pub(super) fn push(&mut self, call: Option<u64>, message: Bytes) {
        self.bytes += message.len();
        self.queue.push_back((call, message));
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes < QUEUED_BYTES
    }

    /// Writes what waits, but no call that nobody waits for, and reads. Nothing is lost if this
    /// future is dropped.
    pub(super) async fn next(&mut self, calls: &mut HashMap<u64, Call>) -> io::Result<Moved> {
        poll_fn(|cx| {
            let had_room = self.has_room();
            if let Poll::Ready(Err(error)) = self.poll_write(calls, cx) {
                return Poll::Ready(Err(error));
            }
            if !had_room && self.has_room() {
                return Poll::Ready(Ok(Moved::Room));
            }
            self.io.poll_next_unpin(cx).map(|frame| frame.transpose().map(Moved::Frame))
        })
        .await
    }

    /// Writes what waits and says goodbye in the transport's way.
    pub(super) async fn close(&mut self, calls: &mut HashMap<u64, Call>) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(calls, cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.io).poll_close(cx)).await
    }

    fn poll_write(
        &mut self,
        calls: &mut HashMap<u64, Call>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            ready!(Pin::new(&mut self.io).poll_ready(cx))?;
            let Some((call, message)) = self.queue.pop_front() else { break };
            self.bytes -= message.len();
            if let Some(id) = call {
                let Some(call) = calls.get_mut(&id) else { continue };
                // From here on nobody knows whether it arrived.
                call.sent += 1;
            }
            self.unflushed = true;
            Pin::new(&mut self.io).start_send(message)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

//! One conversation of a connection: what was heard and not read, what was said and not sent.
//!
//! A conversation is served like a connection of its own. Its two ends are a [`Lane`], which the
//! server of the conversation reads and writes, and a [`Conversation`], which the connection feeds
//! and empties.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use descartes_rpc::frame::Arrival;
use futures_core::Stream;
use futures_util::Sink;

use super::{
    activity::Activity,
    envelope::{Codec, Envelope},
    signal::{Signal, Task},
};
use crate::limits::{INBOX_BYTES, INBOX_MESSAGES, OUTBOX_BYTES};

/// What serves a conversation.
pub(super) type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

#[derive(Debug, Default)]
struct Queues {
    inbox: VecDeque<Arrival>,
    inbox_bytes: usize,
    /// Nothing more will come.
    ended: bool,
    outbox: VecDeque<Bytes>,
    outbox_bytes: usize,
    /// Nobody takes what is said.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Queues>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The end of the one who serves: messages in, messages out.
#[derive(Debug)]
pub(super) struct Lane(Shared);

impl Stream for Lane {
    type Item = io::Result<Arrival>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queues = self.0.lock();
        match queues.inbox.pop_front() {
            Some(arrival) => {
                queues.inbox_bytes -= size(&arrival);
                Poll::Ready(Some(Ok(arrival)))
            }
            None if queues.ended => Poll::Ready(None),
            None => {
                queues.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn size(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Message(message) => message.len(),
        Arrival::Oversize => 0,
    }
}

impl Lane {
    /// Ready when there is room, which is also all that flushing waits for: the connection looks
    /// itself whether its peer takes something.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queues = self.0.lock();
        if queues.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if queues.outbox_bytes < OUTBOX_BYTES {
            return Poll::Ready(Ok(()));
        }
        queues.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink<Bytes> for Lane {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        let mut queues = self.0.lock();
        queues.outbox_bytes += message.len();
        queues.outbox.push_back(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_room(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The connection's end.
pub(super) struct Conversation {
    pub(super) envelope: Envelope,
    pub(super) codec: Codec,
    /// Whether it has the bounds of the connection, as the first one does, and not a share.
    pub(super) whole: bool,
    /// When it was last heard.
    pub(super) heard: u64,
    shared: Shared,
    activity: Activity,
    signal: Arc<Signal>,
    waker: Waker,
    /// Nothing when it has ended.
    serving: Option<Serving>,
}

impl Conversation {
    /// A conversation that `serve` makes the server of. It is polled with the others of `task`.
    pub(super) fn new(
        (envelope, codec): (Envelope, Codec),
        whole: bool,
        task: &Arc<Task>,
        serve: impl FnOnce(Lane, Activity) -> Serving,
    ) -> Self {
        let shared = Shared::default();
        let activity = Activity::default();
        let (signal, waker) = Signal::new(task);
        let serving = Some(serve(Lane(shared.clone()), activity.clone()));
        Self { envelope, codec, whole, heard: 0, shared, activity, signal, waker, serving }
    }

    /// Whether messages of this envelope and language belong to it.
    pub(super) fn is_of(&self, envelope: &Envelope, codec: Codec) -> bool {
        self.codec == codec && self.envelope == *envelope && !self.has_ended()
    }

    /// Whether it has ended or is told to.
    pub(super) fn has_ended(&self) -> bool {
        self.serving.is_none() || self.shared.lock().ended
    }

    /// Whether it has ended, and all is sent.
    pub(super) fn is_over(&self) -> bool {
        self.serving.is_none() && self.shared.lock().outbox.is_empty()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        let queues = self.shared.lock();
        let empty = queues.inbox.is_empty() && queues.outbox.is_empty();
        empty && self.activity.is_none() && !self.signal.is_set()
    }

    /// Whether it reads what it is given.
    pub(super) fn has_room(&self) -> bool {
        let queues = self.shared.lock();
        queues.inbox.len() < INBOX_MESSAGES && queues.inbox_bytes < INBOX_BYTES
    }

    /// Bytes that were said and not sent.
    pub(super) fn unsent(&self) -> usize {
        self.shared.lock().outbox_bytes
    }

    pub(super) fn hear(&self, arrival: Arrival) {
        let mut queues = self.shared.lock();
        queues.inbox_bytes += size(&arrival);
        queues.inbox.push_back(arrival);
        wake(queues.reader.take());
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut queues = self.shared.lock();
        queues.ended = true;
        wake(queues.reader.take());
    }

    /// Nobody takes what is said.
    pub(super) fn break_off(&self) {
        let mut queues = self.shared.lock();
        queues.broken = true;
        queues.outbox.clear();
        queues.outbox_bytes = 0;
        wake(queues.writer.take());
    }

    /// The next message that was said.
    pub(super) fn said(&self) -> Option<Bytes> {
        let mut queues = self.shared.lock();
        let message = queues.outbox.pop_front()?;
        queues.outbox_bytes -= message.len();
        if queues.outbox_bytes < OUTBOX_BYTES {
            wake(queues.writer.take());
        }
        Some(message)
    }

    /// Whether there is something to do.
    pub(super) fn is_due(&self) -> bool {
        self.serving.is_some() && self.signal.is_set()
    }

    /// Goes on if there is something to do; ready when it has ended.
    pub(super) fn poll(&mut self) -> Poll<io::Result<()>> {
        let Some(serving) = &mut self.serving else { return Poll::Pending };
        if !self.signal.take() {
            return Poll::Pending;
        }
        let ended = serving.as_mut().poll(&mut Context::from_waker(&self.waker));
        if ended.is_ready() {
            self.serving = None;
        }
        ended
    }
}

//! Notifications as server-sent events.
//!
//! The reader pulls: nothing is taken from the subscription until hyper has room for it, and then
//! all that is due goes out as one block, so that a burst costs one write for each reader.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use descartes_rpc::{
    codec::onto_one_line,
    message::{EndReason, Notification, NotificationStream, Text},
};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::{MAX_FRAME_BYTES, RETRY_MILLIS};

/// What the `data:` of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The event object itself; gap, synced and ended are events of that name (`GET /events`).
    Events,
    /// A JSON-RPC message (`POST` that accepts an event stream).
    Messages,
}

/// The bytes of one event stream.
pub(crate) struct EventBody {
    framing: Framing,
    /// Written before anything else.
    first: BytesMut,
    notifications: Option<NotificationStream>,
    /// Which subscription this is, and the position reached: for the farewell.
    subscription_id: Text,
    cursor: String,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    heartbeat: Duration,
    timer: Pin<Box<Sleep>>,
    last_sent: Instant,
}

impl EventBody {
    pub(crate) fn new(
        framing: Framing,
        notifications: Option<NotificationStream>,
        shutdown: CancellationToken,
        heartbeat: Duration,
    ) -> Self {
        let mut first = BytesMut::new();
        if framing == Framing::Events {
            first.put_slice(format!("retry: {RETRY_MILLIS}\n\n").as_bytes());
        }
        Self {
            framing,
            first,
            notifications,
            subscription_id: Text::default(),
            cursor: String::new(),
            shutdown: Box::pin(shutdown.cancelled_owned()),
            heartbeat,
            timer: Box::pin(sleep(heartbeat)),
            last_sent: Instant::now(),
        }
    }

    /// Sends `message` as the first event.
    pub(crate) fn begin_with(mut self, message: &[u8]) -> Self {
        put_data(&mut self.first, |out| out.put_slice(message));
        self
    }

    /// The position to say farewell with if nothing follows.
    pub(crate) fn starting_at(mut self, cursor: String) -> Self {
        self.cursor = cursor;
        self
    }

    /// All that is due, as one block; `None` after the last.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut block = std::mem::take(&mut self.first);
        if self.notifications.is_some() {
            self.collect(&mut block, cx);
        } else if block.is_empty() {
            return Poll::Ready(None);
        }
        if self.notifications.is_some() && self.shutdown.as_mut().poll(cx).is_ready() {
            self.notifications = None;
            self.farewell(&mut block);
        }
        if block.is_empty() && self.notifications.is_some() {
            return self.poll_heartbeat(cx).map(Some);
        }
        self.last_sent = Instant::now();
        Poll::Ready((!block.is_empty()).then(|| block.freeze()))
    }

    fn collect(&mut self, block: &mut BytesMut, cx: &mut Context<'_>) {
        let mut last = None;
        while block.len() < MAX_FRAME_BYTES
            && let Some(notifications) = &mut self.notifications
        {
            match notifications.as_mut().poll_next(cx) {
                Poll::Ready(Some(notification)) => {
                    put_notification(block, self.framing, &notification);
                    if matches!(notification, Notification::Ended { .. }) {
                        self.notifications = None;
                    } else {
                        last = Some(notification);
                    }
                }
                Poll::Ready(None) => self.notifications = None,
                Poll::Pending => break,
            }
        }
        if let Some(notification) = last {
            self.note(&notification);
        }
    }

    /// Copies, because holding on to a cursor's text could hold its whole event in memory.
    fn note(&mut self, notification: &Notification) {
        self.cursor.clear();
        self.cursor.push_str(notification.cursor());
        if self.subscription_id.is_empty() {
            self.subscription_id = Text::from(notification.subscription_id());
        }
    }

    /// The server ends the stream; the reader can come back with the position it is told.
    fn farewell(&self, block: &mut BytesMut) {
        let ended = Notification::Ended {
            subscription_id: self.subscription_id.clone(),
            reason: EndReason::Shutdown,
            cursor: Text::from(self.cursor.as_str()),
        };
        put_notification(block, self.framing, &ended);
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last_sent + self.heartbeat;
            if due <= now {
                self.last_sent = now;
                self.timer.as_mut().reset(now + self.heartbeat);
                return Poll::Ready(Bytes::from_static(b":\n\n"));
            }
            self.timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

fn put_notification(out: &mut BytesMut, framing: Framing, notification: &Notification) {
    out.reserve(notification.encoded_len());
    let cursor = notification.cursor_text();
    if !cursor.is_empty() {
        out.put_slice(b"id: ");
        out.put_slice(cursor.as_bytes());
        out.put_u8(b'\n');
    }
    match (framing, notification.event_json()) {
        (Framing::Messages, _) => put_data(out, |out| notification.encode_into(out)),
        (Framing::Events, Some(event)) => put_data(out, |out| out.put_slice(event)),
        (Framing::Events, None) => {
            out.put_slice(b"event: ");
            out.put_slice(notification.kind().as_bytes());
            out.put_u8(b'\n');
            put_data(out, |out| out.put_slice(&notification.params_json()));
        }
    }
}

/// One `data:` line.
fn put_data(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    out.put_slice(b"data: ");
    let begin = out.len();
    write(out);
    onto_one_line(&mut out[begin..]);
    out.put_slice(b"\n\n");
}

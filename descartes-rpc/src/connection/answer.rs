//! One message in, one answer out.

use std::{
    fmt,
    future::{pending, poll_fn},
    pin::pin,
    task::Poll,
};

use bytes::Bytes;

use super::{
    Connection,
    exchange::{Answered, Exchange, Origin},
    waits::WaitEnd,
};
use crate::{
    error::RpcError,
    limits::REQUEST_BYTES_KEY,
    message::{Id, NotificationStream, Response},
    peer::Peer,
    service::RpcService,
};

/// What goes back for one message.
#[derive(Default)]
#[non_exhaustive]
pub struct Answer {
    /// The JSON-RPC message to send; `None` when the message held notifications only.
    pub body: Option<Bytes>,
    /// What follows the body, if it was a subscription and a stream may follow.
    pub notifications: Option<NotificationStream>,
    /// Whether nothing in the message could be taken for a call: what HTTP calls a bad request.
    pub malformed: bool,
    /// The connection of this one message, by which its stream is ended
    /// ([`Connection::end_streams`]).
    pub connection: Connection,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("body", &self.body)
            .field("notifications", &self.notifications.is_some())
            .finish_non_exhaustive()
    }
}

/// Answers one message, be it a call, a batch or rubbish. No stream can follow.
///
/// Dropping the future ends waiting calls; what a call has begun to change goes on.
pub async fn answer<S: RpcService>(service: S, peer: Peer, message: Bytes) -> Answer {
    exchange(service, peer, message, false).await
}

/// Answers one message to a peer that can take notifications after the answer.
///
/// Dropping the future ends waiting calls; what a call has begun to change goes on.
pub async fn answer_streaming<S: RpcService>(service: S, peer: Peer, message: Bytes) -> Answer {
    exchange(service, peer, message, true).await
}

/// Answers one message as long as the transport is not going down: when `drain` completes first, or
/// the credentials of `peer` are over, waiting calls end and say so, and what has begun to change
/// goes on to its answer. Streams may follow if `streams` says so; ending those is left to the
/// transport.
///
/// `drain` is not looked at for a message that is answered at once.
pub async fn answer_until<S: RpcService>(
    service: S,
    peer: Peer,
    message: Bytes,
    streams: bool,
    drain: impl Future<Output = ()>,
) -> Answer {
    let connection = Connection::default();
    let origin = Origin { peer: peer.clone(), connection: connection.clone(), streams };
    let started = Exchange::start(&service, &origin, &message);
    drop(message);
    let answered = until(started, (&peer, &connection), drain).await;
    let Answered { body, notifications, malformed } = answered;
    Answer { body, notifications, malformed, connection }
}

/// What `work` comes to; when `drain` completes first, or the credentials of `peer` are over, the
/// waiting calls of `connection` end.
pub(super) async fn until<T>(
    work: impl Future<Output = T>,
    (peer, connection): (&Peer, &Connection),
    drain: impl Future<Output = ()>,
) -> T {
    let end = async {
        tokio::select! {
            () = drain => WaitEnd::Draining,
            over = peer.validity_end() => WaitEnd::Over(over),
        }
    };
    let (mut work, mut end) = (pin!(work), pin!(end));
    let mut told = false;
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if !told && let Poll::Ready(why) = end.as_mut().poll(cx) {
            told = true;
            connection.end_waits(why);
            return work.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await
}

async fn exchange<S: RpcService>(service: S, peer: Peer, message: Bytes, streams: bool) -> Answer {
    answer_until(service, peer, message, streams, pending()).await
}

/// What a message longer than `max` bytes is answered with, where the transport has not read it.
#[must_use]
pub fn oversize_body(max: usize) -> Bytes {
    Response::failed(Id::Null, RpcError::oversize(REQUEST_BYTES_KEY, max as u64)).encode()
}

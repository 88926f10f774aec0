//! What is spoken on a duplex connection.

use bytes::Bytes;
use futures_core::Stream;

use super::{
    Connection,
    exchange::{Answered, Exchange, Origin},
};
use crate::{
    error::RpcError,
    limits::REQUEST_BYTES_KEY,
    message::{Id, Notification, NotificationStream, Response},
    peer::Peer,
    service::RpcService,
};

/// How messages of a duplex connection are answered: JSON-RPC, or another protocol over the same
/// methods, which then has the same bounds, the same order and the same end
/// ([`serve_language`](super::serve_language)).
pub trait Language: Send {
    /// The answer to one message, in the making. It is polled once as soon as it is there, so that
    /// what has an order begins in the order of arrival. Dropping it ends waits; what the call has
    /// begun to change goes on.
    type Answering: Future<Output: Into<Spoken<Self::Stream>>> + Send;
    /// What follows an answer. Dropping it unsubscribes.
    type Stream: Stream + Send + Unpin;
    /// The name of the bound of a message's bytes, which errors tell.
    const BYTES_KEY: &'static str;

    /// Begins to answer one message. Its calls are made on `connection`.
    fn answer(&mut self, connection: &Connection, message: Bytes) -> Self::Answering;

    /// An answer that is over: what stands in its place in the meantime.
    fn over() -> Self::Answering;

    /// The answer to a message of which nothing was read, and why.
    fn refuse(&mut self, error: RpcError) -> Bytes;

    /// One message of a stream.
    fn follow(item: <Self::Stream as Stream>::Item) -> Bytes;
}

/// What goes back for one message.
#[derive(Clone, Debug)]
pub struct Spoken<S> {
    /// The message to send, if one is due.
    pub body: Option<Bytes>,
    /// What follows it.
    pub stream: Option<S>,
}

/// JSON-RPC 2.0.
pub(super) struct JsonRpc<S> {
    service: S,
    peer: Peer,
}

impl<S> JsonRpc<S> {
    pub(super) const fn new(service: S, peer: Peer) -> Self {
        Self { service, peer }
    }
}

impl<S: RpcService> Language for JsonRpc<S> {
    type Answering = Exchange<S>;
    type Stream = NotificationStream;
    const BYTES_KEY: &'static str = REQUEST_BYTES_KEY;

    fn answer(&mut self, connection: &Connection, message: Bytes) -> Exchange<S> {
        let (peer, connection) = (self.peer.clone(), connection.clone());
        Exchange::start(&self.service, &Origin { peer, connection, streams: true }, &message)
    }

    fn over() -> Exchange<S> {
        Exchange::Done { answered: None }
    }

    fn refuse(&mut self, error: RpcError) -> Bytes {
        self.peer.count_refusal(&error);
        Response::failed(Id::Null, error).encode()
    }

    fn follow(notification: Notification) -> Bytes {
        notification.encode()
    }
}

impl From<Answered> for Spoken<NotificationStream> {
    fn from(answered: Answered) -> Self {
        Self { body: answered.body, stream: answered.notifications }
    }
}

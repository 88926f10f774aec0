//! The typed client, over any channel.
//!
//! Every declared method is a method here ([`Client::agent_spawn`] and so on). Over a duplex
//! channel many calls are under way at once and a lost connection is made again; over a
//! request-and-response channel each call is an exchange of its own.

mod backoff;
mod duplex;
mod error;
mod exchange;
mod follower;
mod in_memory;
mod incoming;
mod subscription;

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::Sink;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::auth::Principal;
use crate::error::RpcError;
use crate::limits;
use crate::method::{Method, MethodParams};
use crate::service::Rpc;
use crate::wire::event::SubscribeParams;

pub use backoff::Reconnect;
pub use error::ClientError;
pub use subscription::{Subscription, Update};

/// A duplex of frames: one JSON-RPC message each.
pub trait FrameIo:
    Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send + Unpin
{
}

impl<T> FrameIo for T where
    T: Stream<Item = io::Result<Bytes>> + Sink<Bytes, Error = io::Error> + Send + Unpin
{
}

/// Makes connections of a duplex transport.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// Makes one connection. Called again after it was lost, with a pause that grows.
    ///
    /// # Errors
    /// What the system said; calls that were never sent fail with it at once.
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>>;

    /// The transport's name, for messages.
    fn transport_name(&self) -> &'static str;
}

/// A transport on which every request has its own response, such as HTTP.
#[async_trait]
pub trait Exchange: Send + Sync + 'static {
    /// Sends one message and gives its answer.
    ///
    /// # Errors
    /// `ConnectionRefused` or `NotFound` when the message was never sent; anything else when that
    /// is not known.
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes>;

    /// Sends one message and gives everything that follows: its answer, then notifications.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>>;

    /// The transport's name, for messages.
    fn transport_name(&self) -> &'static str;
}

/// Calls a daemon. Cheap to clone; clones share one connection.
///
/// Dropping the future of a call does not stop its effect; it ends the waiting of a call that
/// waits. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

#[derive(Clone)]
enum Channel {
    Duplex(Arc<duplex::Duplex>),
    Exchange(Arc<exchange::Exchanger>),
}

/// A call, encoded, and how it may be treated.
struct Outgoing {
    /// Everything of the message between its `id` and its end.
    rest: Vec<u8>,
    /// Whether it may be sent again when nobody knows if it arrived.
    repeatable: bool,
    /// Whether the daemon may wait long before it answers.
    waits: bool,
}

impl Outgoing {
    fn new(method: &str, params: &(impl Serialize + ?Sized)) -> Result<Self, ClientError> {
        let mut rest = b",\"method\":".to_vec();
        serde_json::to_writer(&mut rest, method).map_err(ClientError::Encode)?;
        rest.extend_from_slice(b",\"params\":");
        serde_json::to_writer(&mut rest, params).map_err(ClientError::Encode)?;
        rest.push(b'}');
        if rest.len() > limits::REQUEST_BYTES {
            let most = u64::try_from(limits::REQUEST_BYTES).unwrap_or(u64::MAX);
            return Err(RpcError::oversize(limits::REQUEST_BYTES_KEY, most).into());
        }
        Ok(Self { rest, repeatable: false, waits: false })
    }

    fn message(&self, id: u64) -> Bytes {
        let mut message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}").into_bytes();
        message.extend_from_slice(&self.rest);
        message.into()
    }
}

impl Client {
    /// The owner's client of a service in the same process: the same dispatcher, no socket.
    #[must_use]
    pub fn in_memory(rpc: Rpc) -> Self {
        Self::in_memory_as(rpc, Principal::owner())
    }

    /// A client of a service in the same process, for anybody.
    #[must_use]
    pub fn in_memory_as(rpc: Rpc, principal: Principal) -> Self {
        Self::connect(in_memory::InMemory::new(rpc, principal))
    }

    /// A client over a duplex transport. Connects with the first call, and again when the
    /// connection is lost.
    #[must_use]
    pub fn connect(connector: impl Connect) -> Self {
        Self::connect_with(connector, Reconnect::default())
    }

    /// The same with pauses of its own between attempts to reconnect.
    #[must_use]
    pub fn connect_with(connector: impl Connect, reconnect: Reconnect) -> Self {
        let duplex = duplex::Duplex::new(Arc::new(connector), reconnect);
        Self { channel: Channel::Duplex(Arc::new(duplex)) }
    }

    /// A client over a transport of requests and responses.
    #[must_use]
    pub fn exchange(exchange: impl Exchange) -> Self {
        Self::exchange_with(exchange, Reconnect::default())
    }

    /// The same with pauses of its own between attempts.
    #[must_use]
    pub fn exchange_with(exchange: impl Exchange, reconnect: Reconnect) -> Self {
        let exchanger = exchange::Exchanger::new(Arc::new(exchange), reconnect);
        Self { channel: Channel::Exchange(Arc::new(exchanger)) }
    }

    /// Calls the method `M`.
    ///
    /// With an idempotency key in its parameters the call is repeated when the connection is lost
    /// before the answer came; without one it gives [`ClientError::ConnectionLost`].
    ///
    /// # Errors
    /// What the daemon answered, or why there is no answer.
    pub async fn call<M: Method>(&self, params: M::Params) -> Result<M::Result, ClientError> {
        let declared = &M::DECLARATION;
        let mut outgoing = Outgoing::new(declared.name, &params)?;
        outgoing.waits = declared.waits;
        outgoing.repeatable = params.idempotency_key().is_some();
        let result = self.send(outgoing).await?;
        serde_json::from_slice(&result)
            .map_err(|source| ClientError::Decode { method: declared.name.to_owned(), source })
    }

    /// Calls a method by its name, with parameters and a result that nobody here looks into.
    ///
    /// # Errors
    /// What the daemon answered, or why there is no answer.
    pub async fn call_raw(
        &self,
        method: &str,
        params: &RawValue,
    ) -> Result<Box<RawValue>, ClientError> {
        let mut outgoing = Outgoing::new(method, params)?;
        outgoing.waits = crate::methods::waits(method);
        outgoing.repeatable = incoming::has_idempotency_key(params);
        let result = self.send(outgoing).await?;
        serde_json::from_slice(&result)
            .map_err(|source| ClientError::Decode { method: method.to_owned(), source })
    }

    /// Follows topics. The subscription goes on through lost connections, by its cursor.
    ///
    /// # Errors
    /// What the daemon answered, or why there is no answer.
    pub async fn subscribe(&self, params: SubscribeParams) -> Result<Subscription, ClientError> {
        match &self.channel {
            Channel::Duplex(duplex) => duplex.subscribe(params).await,
            Channel::Exchange(exchange) => exchange.subscribe(params).await,
        }
    }

    async fn send(&self, outgoing: Outgoing) -> Result<Bytes, ClientError> {
        match &self.channel {
            Channel::Duplex(duplex) => duplex.call(outgoing).await,
            Channel::Exchange(exchange) => exchange.call(outgoing).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match &self.channel {
            Channel::Duplex(duplex) => duplex.transport_name(),
            Channel::Exchange(exchange) => exchange.transport_name(),
        };
        f.debug_struct("Client").field("transport", &transport).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

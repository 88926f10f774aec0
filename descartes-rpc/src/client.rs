//! The typed client, over any channel.
//!
//! Every declared method is a method here ([`Client::agent_spawn`] and so on). Over a duplex
//! channel ([`Connect`]) many calls are under way at once and a lost connection is made again; over
//! a request-and-response channel ([`Exchange`]) each call is an exchange of its own. Whoever
//! implements one of the two gets all of it: calls with deadlines, the repetition of those that
//! carry an idempotency key, and subscriptions that go on where they were ([`Subscription`]).

mod backoff;
mod duplex;
mod error;
mod exchange;
mod feed;
mod follower;
mod in_memory;
mod incoming;
mod outgoing;
mod subscription;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::Sink;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::auth::Principal;
use crate::limits;
use crate::method::{Method, MethodParams};
use crate::service::Rpc;
use crate::wire::event::SubscribeParams;

use outgoing::Outgoing;

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
    /// Makes one connection. Called again after it was lost, with a pause that grows. An attempt
    /// that takes longer than ten seconds is dropped.
    ///
    /// # Errors
    /// What the system said; calls that were never sent fail with it at once.
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>>;

    /// The transport's name, for messages.
    fn transport_name(&self) -> &'static str;

    /// Whether a connection can be dead without anybody being told, as over a network. Then a
    /// daemon that was silent for [`CLIENT_SILENCE`](limits::CLIENT_SILENCE) while something is
    /// waited for is asked for its health, and without an answer within
    /// [`CLIENT_ANSWER`](limits::CLIENT_ANSWER) the connection counts as lost.
    fn may_fall_silent(&self) -> bool {
        true
    }
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
/// waits. Every call has a deadline ([`Self::with_deadline`]). Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    deadline: Duration,
}

#[derive(Clone)]
enum Channel {
    Duplex(Arc<duplex::Duplex>),
    Exchange(Arc<exchange::Exchanger>),
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
        // What stops in this process does not come back under the same object.
        let reconnect = Reconnect { restarts: false, ..Reconnect::default() };
        Self::connect_with(in_memory::InMemory::new(rpc, principal), reconnect)
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
        Self::over(Channel::Duplex(Arc::new(duplex)))
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
        Self::over(Channel::Exchange(Arc::new(exchanger)))
    }

    fn over(channel: Channel) -> Self {
        Self { channel, deadline: limits::CLIENT_DEADLINE }
    }

    /// The same client, whose calls have `deadline` for everything together: the queue, the way,
    /// the daemon's work and every repetition. A minute unless this is called.
    ///
    /// A call without an answer by then gives [`ClientError::Timeout`]; what it has begun goes on. A
    /// call that waits (`agent.wait`, `event.read` and `agent.logs` with `wait_ms`) has as much
    /// more as it asks to wait for. Subscriptions have the deadline for being opened, none
    /// afterwards. [`Duration::MAX`] is no deadline at all.
    ///
    /// ```
    /// # async fn example(client: descartes_rpc::client::Client) {
    /// use std::time::Duration;
    /// use descartes_rpc::wire::system::NoParams;
    ///
    /// let hasty = client.with_deadline(Duration::from_secs(1));
    /// let health = hasty.system_health(NoParams {}).await;
    /// # }
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { channel: self.channel.clone(), deadline }
    }

    /// Calls the method `M`.
    ///
    /// With an idempotency key in its parameters the call is repeated when the connection is lost
    /// before the answer came; without one it gives [`ClientError::ConnectionLost`], unless it was
    /// certainly never sent.
    ///
    /// # Errors
    /// What the daemon answered, or why there is no answer.
    pub async fn call<M: Method>(&self, params: M::Params) -> Result<M::Result, ClientError> {
        let declared = &M::DECLARATION;
        let mut outgoing = Outgoing::new(declared.name, &params)?;
        outgoing.waits = declared.waits;
        outgoing.key = params.idempotency_key().map(str::to_owned);
        self.decoded(declared.name, outgoing).await
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
        outgoing.key = outgoing.asked().idempotency_key;
        self.decoded(method, outgoing).await
    }

    /// Follows topics. The subscription goes on through lost connections and restarts of the
    /// daemon, by its cursor.
    ///
    /// # Errors
    /// What the daemon answered, or why there is no answer.
    pub async fn subscribe(&self, params: SubscribeParams) -> Result<Subscription, ClientError> {
        let opening = async {
            match &self.channel {
                Channel::Duplex(duplex) => duplex.subscribe(params).await,
                Channel::Exchange(exchange) => exchange.subscribe(params).await,
            }
        };
        let late = |_| ClientError::Timeout { after: self.deadline, idempotency_key: None };
        timeout(self.deadline, opening).await.map_err(late)?
    }

    async fn decoded<T: DeserializeOwned>(
        &self,
        method: &str,
        outgoing: Outgoing,
    ) -> Result<T, ClientError> {
        let result = self.send(outgoing).await?;
        serde_json::from_slice(&result)
            .map_err(|source| ClientError::Decode { method: method.to_owned(), source })
    }

    async fn send(&self, outgoing: Outgoing) -> Result<Bytes, ClientError> {
        let after = self.deadline.saturating_add(outgoing.wait());
        let answer = async {
            match &self.channel {
                Channel::Duplex(duplex) => duplex.call(&outgoing).await,
                Channel::Exchange(exchange) => exchange.call(&outgoing).await,
            }
        };
        match timeout(after, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { after, idempotency_key: outgoing.key }),
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

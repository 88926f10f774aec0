//! Where starts wait while the remote is away.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::client::ClientError;
use crate::wire::agent::{SpawnParams, Spawned};

/// What a start came to.
pub type StartOutcome = Result<Spawned, ClientError>;

/// Holds starts for a remote that is away, and sends each when it is back: once, however often it
/// has to be sent.
///
/// A [`RemoteRunner`](super::RemoteRunner) that has one gives it the start of each agent
/// ([`Builder::starts_through`](super::Builder::starts_through)), not those of later runs; without
/// one a start fails when the remote does not answer. `ZmqClient` of `descartes-transport-zmq` is
/// one.
#[async_trait]
pub trait StartQueue: Send + Sync + 'static {
    /// Has `params` started, which carry an idempotency key; called once for each agent. `deadline`
    /// is for the way and the remote's work, and begins when the start is sent.
    ///
    /// Dropped, a start that was not sent yet is sent no more; what was sent goes on.
    ///
    /// # Errors
    /// What the remote answered, or why there is no answer: [`ClientError::Unreachable`] when
    /// nothing was sent.
    async fn start(&self, params: SpawnParams, deadline: Duration) -> StartOutcome;

    /// What becomes of the start whose key is `wanted`, which an earlier life of this queue left
    /// behind; `None` when there is none. Called once for each agent that a new host takes over.
    fn left_behind(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Option<BoxFuture<'static, StartOutcome>>;

    /// Nobody will ask for what else was left behind: what was not sent is sent no more.
    fn forget_left_behind(&self) {}
}

//! Methods, called for a conversation: with its peer, its bounds and its order.

use std::time::Duration;

use bytes::Bytes;
use descartes_rpc::connection::Connection;
use descartes_rpc::error::{ErrorKind, RpcError};
use descartes_rpc::message::{Id, NotificationStream, Params, Reply, Request, Text};
use descartes_rpc::peer::Peer;
use descartes_rpc::service::RpcService;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use tower::ServiceExt as _;

/// The members of a call's parameters.
pub(super) type Members = Map<String, Json>;

/// Calls methods as the peer of one connection.
#[derive(Clone)]
pub(super) struct Caller<S> {
    pub(super) service: S,
    pub(super) peer: Peer,
    pub(super) connection: Connection,
}

impl<S: RpcService> Caller<S> {
    /// Calls `method`; its call begins when this is first polled.
    pub(super) async fn call(
        &self,
        method: &'static str,
        params: Members,
    ) -> Result<Bytes, RpcError> {
        self.reply(method, params, false).await.map(|(result, _)| result)
    }

    /// The same, read as `T`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Members,
    ) -> Result<T, RpcError> {
        read(&self.call(method, params).await?)
    }

    /// Subscribes; what follows comes with the answer.
    pub(super) async fn subscribe(
        &self,
        params: Members,
    ) -> Result<(Bytes, NotificationStream), RpcError> {
        let (result, stream) = self.reply("event.subscribe", params, true).await?;
        let silent = || RpcError::internal(&"a subscription without a stream");
        Ok((result, stream.ok_or_else(silent)?))
    }

    async fn reply(
        &self,
        method: &'static str,
        params: Members,
        streams: bool,
    ) -> Result<(Bytes, Option<NotificationStream>), RpcError> {
        let (peer, connection) = (self.peer.clone(), self.connection.clone());
        let mut request = Request::new(Text::from_static(method), peer, connection);
        // Without an identifier it would be a notification, which is never answered.
        request.id = Some(Id::Null);
        request.params = Params::from_json(Json::Object(params).to_string().into());
        request.streams = streams;
        let Ok(Reply { response, notifications }) = self.service.clone().oneshot(request).await;
        let silent = || RpcError::internal(&"a call was not answered");
        let response = response.ok_or_else(silent)?;
        response.outcome.map(|result| (result, notifications))
    }
}

/// A result, read as `T`.
pub(super) fn read<T: DeserializeOwned>(result: &Bytes) -> Result<T, RpcError> {
    serde_json::from_slice(result).map_err(|error| RpcError::internal(&error))
}

/// What `call` comes to, if that is not later than `limit`. What has begun goes on.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    call: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, RpcError> {
    let Some(limit) = limit else { return call.await };
    let late = |_| {
        RpcError::new(ErrorKind::Timeout, "the call did not end in time; what it began goes on")
            .hint("the same call with this idempotency_key gives the outcome")
    };
    tokio::time::timeout(limit, call).await.map_err(late)?
}

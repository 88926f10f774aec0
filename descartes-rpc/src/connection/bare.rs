//! A call without an envelope: method and parameters come apart, result and error go back bare.

use std::fmt;

use bytes::Bytes;
use tower::ServiceExt;

use super::{Connection, answer::until};
use crate::{
    error::RpcError,
    frame,
    message::{Id, NotificationStream, Params, Reply, Request, Text},
    peer::Peer,
    service::RpcService,
};

/// What is called, when no JSON-RPC message says it.
#[derive(Clone, Debug)]
pub struct BareCall {
    method: Text,
    params: Params,
    streams: bool,
}

impl BareCall {
    /// A call of `method`; `params` is the JSON of an object or an array, or nothing.
    ///
    /// # Errors
    ///
    /// The same as for a message with such parameters: not JSON, nested too deep, a scalar.
    pub fn new(method: impl Into<Text>, params: &Bytes) -> Result<Self, RpcError> {
        let params = frame::parse_params(params)?;
        Ok(Self { method: method.into(), params, streams: false })
    }

    /// The same, whose answer notifications can follow.
    #[must_use]
    pub fn streaming(mut self, streams: bool) -> Self {
        self.streams = streams;
        self
    }
}

/// What came of a bare call.
#[non_exhaustive]
pub struct Outcome {
    /// The result as JSON text, or what went wrong.
    pub result: Result<Bytes, RpcError>,
    /// What follows, if it was a subscription and a stream may follow.
    pub notifications: Option<NotificationStream>,
    /// The connection of this one call, by which its stream is ended
    /// ([`Connection::unsubscribe`]).
    pub connection: Connection,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("result", &self.result)
            .field("notifications", &self.notifications.is_some())
            .finish_non_exhaustive()
    }
}

/// Calls a method as long as the transport is not going down: when `drain` completes first, or the
/// credentials of `peer` are over, a waiting call ends and says so, and what has begun to change
/// goes on to its answer.
///
/// Dropping the future ends a waiting call; what the call has begun to change goes on.
pub async fn call_until<S: RpcService>(
    service: S,
    peer: Peer,
    call: BareCall,
    drain: impl Future<Output = ()>,
) -> Outcome {
    let connection = Connection::default();
    let mut request = Request::new(call.method, peer.clone(), connection.clone());
    // Without an identifier it would be a notification, which is never answered.
    request.id = Some(Id::Null);
    request.params = call.params;
    request.streams = call.streams;
    let Ok(Reply { response, notifications }) =
        until(service.oneshot(request), (&peer, &connection), drain).await;
    let silent = || Err(RpcError::internal(&"a call was not answered"));
    let result = response.map_or_else(silent, |response| response.outcome);
    Outcome { result, notifications, connection }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use super::*;
    use crate::error::ErrorKind;

    async fn echo(body: &'static str) -> Result<Bytes, RpcError> {
        let service = tower::service_fn(|request: Request| async move {
            let params = request.params.as_bytes().map(Bytes::copy_from_slice);
            let outcome = Ok(params.unwrap_or_else(|| Bytes::from_static(b"nothing")));
            let id = request.id.expect("a call that is answered has an identifier");
            let response = Some(crate::message::Response { id, outcome });
            Ok::<_, Infallible>(Reply { response, notifications: None })
        });
        let call = BareCall::new("echo", &Bytes::from_static(body.as_bytes()))?;
        call_until(service, Peer::new("test"), call, pending()).await.result
    }

    #[tokio::test]
    async fn the_body_is_the_parameters_and_nothing_is_none() {
        for (body, seen) in [
            ("", "nothing"),
            (" \n", "nothing"),
            (" {\"a\": 1}\n", "{\"a\": 1}"),
            ("[1]", "[1]"),
            ("{}", "{}"),
        ] {
            assert_eq!(echo(body).await.unwrap(), seen, "{body:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_parameters_is_refused_as_in_a_message() {
        let deep = "[".repeat(1000);
        for (body, kind) in [
            ("1", ErrorKind::InvalidParams),
            ("null", ErrorKind::InvalidParams),
            ("\"a\"", ErrorKind::InvalidParams),
            ("{", ErrorKind::ParseError),
            ("{} {}", ErrorKind::ParseError),
            ("a=b", ErrorKind::ParseError),
            (&*Box::leak(deep.into_boxed_str()), ErrorKind::InvalidRequest),
        ] {
            assert_eq!(echo(body).await.unwrap_err().kind(), kind, "{body:?}");
        }
        let invalid = BareCall::new("echo", &Bytes::from_static(b"\xff")).unwrap_err();
        assert_eq!(invalid.kind(), ErrorKind::ParseError);
    }
}

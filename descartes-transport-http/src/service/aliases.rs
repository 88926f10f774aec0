//! Routes that stand for methods: the aliases, and each method under its own path.

use bytes::Bytes;
use descartes_rpc::{
    connection::{BareCall, Outcome, call_until},
    error::RpcError,
    message::{Id, Response as RpcResponse},
    peer::Peer,
    service::RpcService,
};
use http::{Response, StatusCode};
use serde::Deserialize;

use super::{Server, event_stream, json, status};
use crate::{
    alias::{Alias, AnswerAs, Asked},
    guard::Head,
    query::decode,
    refusal::{Refusal, bare_error, error_response, status_of},
    response_body::ResponseBody,
    sse::Framing,
};

/// What is read of the answer that opens a subscription.
#[derive(Default, Deserialize)]
struct Opened {
    #[serde(default)]
    cursor: String,
}

impl<S: RpcService> Server<S> {
    /// `POST /rpc/<method>`: the body is the parameters, the answer the bare result.
    pub(super) async fn method(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        (name, params): (&str, &Bytes),
    ) -> Result<Response<ResponseBody>, Refusal> {
        let name = decode(name, false).ok().ok_or(Refusal::NotFound)?;
        let call = match BareCall::new(&*name, params) {
            Ok(call) => call.streaming(head.wants_events()),
            Err(error) => {
                peer.count_refusal(&error);
                return Ok(bare_error(&error));
            }
        };
        Ok(match self.bare(peer, call).await {
            Outcome { result: Ok(result), notifications: Some(notifications), .. } => {
                let response = RpcResponse { id: Id::Null, outcome: Ok(result) }.encode();
                let events = self.event_body(Framing::Messages, Some(notifications));
                event_stream(events.begin_with(&response))
            }
            Outcome { result: Ok(result), .. } => json(result),
            Outcome { result: Err(error), .. } => bare_error(&error),
        })
    }

    /// `GET` of a row of the table.
    pub(super) async fn alias(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        (alias, value, query): (&'static Alias, &str, &str),
    ) -> Result<Response<ResponseBody>, Refusal> {
        let asked = Asked::read(alias, value, query, head.last_event_id);
        let asked = asked.map_err(|error| Refusal::Query(error, alias))?;
        let answered = match alias.answer {
            AnswerAs::Result => self.result(peer, alias, &asked).await.map(json),
            AnswerAs::OpenApi => match self.result(peer, alias, &asked).await {
                Ok(openrpc) => {
                    let made = self.openapi.of(&openrpc);
                    made.map(json).map_err(|error| RpcError::internal(&error))
                }
                Err(error) => Err(error),
            },
            AnswerAs::Events => self.events(peer, alias, &asked).await,
            AnswerAs::Bytes => self.log(peer, alias, asked).await,
        };
        Ok(answered.unwrap_or_else(refused))
    }

    async fn result(
        &self,
        peer: &Peer,
        alias: &Alias,
        asked: &Asked<'_>,
    ) -> Result<Bytes, RpcError> {
        let call = BareCall::new(alias.method, &asked.params())?;
        self.bare(peer, call).await.result
    }

    async fn events(
        &self,
        peer: &Peer,
        alias: &Alias,
        asked: &Asked<'_>,
    ) -> Result<Response<ResponseBody>, RpcError> {
        let call = BareCall::new(alias.method, &asked.params())?.streaming(true);
        let Outcome { result, notifications, .. } = self.bare(peer, call).await;
        let opened: Opened = serde_json::from_slice(&result?).unwrap_or_default();
        let events = self.event_body(Framing::Events, notifications).starting_at(opened.cursor);
        Ok(event_stream(events))
    }

    async fn bare(&self, peer: &Peer, call: BareCall) -> Outcome {
        let drain = self.options.shutdown.cancelled();
        call_until(self.rpc.clone(), peer.clone(), call, drain).await
    }
}

/// The status of the error's kind; 204 tells an `EventSource` to stop coming back with a cursor
/// that can never be served.
fn refused(error: RpcError) -> Response<ResponseBody> {
    if error.reason_text() == Some("cursor_foreign") {
        return status(StatusCode::NO_CONTENT, ResponseBody::empty());
    }
    error_response(status_of(&error), error)
}

#[cfg(test)]
mod tests {
    use descartes_rpc::error::ErrorKind;

    use super::*;

    #[test]
    fn a_refusal_has_the_status_of_its_kind_and_a_foreign_cursor_none() {
        for (kind, expected) in [
            (ErrorKind::Conflict, 409),
            (ErrorKind::InvalidParams, 400),
            (ErrorKind::Unauthenticated, 401),
            (ErrorKind::AgentNotFound, 404),
            (ErrorKind::Internal, 500),
        ] {
            assert_eq!(refused(RpcError::new(kind, "no")).status(), expected, "{kind}");
            assert_eq!(bare_error(&RpcError::new(kind, "no")).status(), expected, "{kind}");
        }
        let foreign = RpcError::new(ErrorKind::Conflict, "no").reason("cursor_foreign");
        assert_eq!(refused(foreign).status(), 204);
    }
}

//! `GET /events`: a subscription as server-sent events.

use std::borrow::Cow;

use bytes::Bytes;
use descartes_rpc::{
    connection::{Answer, answer_streaming},
    error::ErrorKind,
    peer::Peer,
    service::RpcService,
};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Server, event_stream, json, status};
use crate::{
    guard::Head, query::EventsQuery, refusal::Refusal, response_body::ResponseBody, sse::Framing,
};

/// The call that the query stands for.
#[derive(Serialize)]
struct Subscribe<'a> {
    jsonrpc: &'static str,
    id: u8,
    method: &'static str,
    params: Params<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    topics: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<Cow<'a, str>>,
}

/// What has to be known of the service's own answer.
#[derive(Deserialize)]
struct Opened {
    result: Option<Position>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    cursor: String,
}

#[derive(Deserialize)]
struct Failure {
    code: i32,
    data: Option<FailureData>,
}

#[derive(Deserialize)]
struct FailureData {
    #[serde(default)]
    reason: String,
}

impl<S: RpcService> Server<S> {
    pub(super) async fn events(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        query: &str,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let message = subscription(head, query)?;
        let answer = answer_streaming(self.rpc.clone(), peer.clone(), message).await;
        let Answer { body: Some(body), notifications, .. } = answer else {
            return Ok(status(StatusCode::NO_CONTENT, ResponseBody::empty()));
        };
        let opened = serde_json::from_slice(&body).ok();
        let Some(notifications) = notifications else { return Ok(refused(opened, body)) };
        let cursor = opened.and_then(|opened: Opened| opened.result).map(|result| result.cursor);
        let events = self
            .event_body(Framing::Events, Some(notifications))
            .starting_at(cursor.unwrap_or_default());
        Ok(event_stream(events))
    }
}

/// `Last-Event-ID` is where a reader really is; `after` is where its address said to begin.
fn subscription(head: &Head<'_>, query: &str) -> Result<Bytes, Refusal> {
    let query = EventsQuery::parse(query).map_err(Refusal::Query)?;
    let last = head.last_event_id.and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    // A tail is for the first visit: who comes back wants what is missing, and nothing twice.
    let tail = if last.is_some() { None } else { query.tail };
    let params = Params {
        topics: query.topics,
        after: last.map(Cow::Borrowed).or(query.after),
        tail,
        types: query.types,
    };
    let call = Subscribe { jsonrpc: "2.0", id: 1, method: "event.subscribe", params };
    Ok(serde_json::to_vec(&call).unwrap_or_default().into())
}

/// The status of the error's kind; 204 tells an `EventSource` to stop coming back with a cursor
/// that can never be served.
fn refused(opened: Option<Opened>, body: Bytes) -> Response<ResponseBody> {
    let failure = opened.and_then(|opened| opened.error);
    let reason = failure.as_ref().and_then(|failure| failure.data.as_ref());
    if reason.is_some_and(|data| data.reason == "cursor_foreign") {
        return status(StatusCode::NO_CONTENT, ResponseBody::empty());
    }
    let kind = failure.and_then(|failure| ErrorKind::from_code(failure.code));
    let code = kind.unwrap_or(ErrorKind::Internal).http_status();
    let mut response = json(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn call(last: &'static str, query: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", HeaderValue::from_static(last));
        let message = subscription(&Head::read(&headers), query).unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    }

    #[test]
    fn where_a_reader_was_wins_over_where_it_began() {
        assert_eq!(
            call("", "topic=agent/&after=start&tail=3&types=agent.*"),
            r#"{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["agent/"],"after":"start","tail":3,"types":["agent.*"]}}"#
        );
        assert_eq!(
            call("c.7", "topic=agent/&after=start&tail=3"),
            r#"{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["agent/"],"after":"c.7"}}"#
        );
    }

    #[test]
    fn a_refusal_has_the_status_of_its_kind_and_a_foreign_cursor_none() {
        for (error, expected) in [
            (r#"{"error":{"code":-32017,"data":{"reason":"cursor_foreign"}}}"#, 204),
            (r#"{"error":{"code":-32017,"data":{"kind":"conflict"}}}"#, 409),
            (r#"{"error":{"code":-32602}}"#, 400),
            (r#"{"error":{"code":-32001,"data":{}}}"#, 401),
            (r#"{"error":{"code":7}}"#, 500),
            ("{}", 500),
        ] {
            let body = Bytes::from_static(error.as_bytes());
            let response = refused(serde_json::from_slice(&body).ok(), body);
            assert_eq!(response.status(), expected, "{error}");
        }
    }
}

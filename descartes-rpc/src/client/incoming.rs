//! Messages from the daemon, taken apart.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ClientError, Update};
use crate::error::{ErrorKind, RpcError};
use crate::wire::event::{EndReason, Event};
use crate::wire::output::Gap;

/// A message from the daemon.
pub(super) enum Incoming {
    /// The answer to a call; without an identifier when the daemon could not tell which.
    Answer { id: Option<u64>, outcome: Result<Bytes, RpcError> },
    /// A message of a subscription.
    Notice { subscription_id: String, update: Update },
    /// Something of a later daemon.
    Unknown,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorText>,
}

#[derive(Deserialize)]
struct ErrorText {
    code: i32,
    message: String,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct Next {
    subscription_id: String,
    event: Event,
}

#[derive(Deserialize)]
struct Synced {
    subscription_id: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Ended {
    subscription_id: String,
    reason: EndReason,
    cursor: String,
}

#[derive(Deserialize)]
struct Lost {
    subscription_id: String,
    #[serde(flatten)]
    gap: Gap,
}

/// Takes one message apart.
pub(super) fn read(message: &Bytes) -> Result<Incoming, ClientError> {
    let decoded = serde_json::from_slice::<Envelope<'_>>(message);
    let envelope = decoded.map_err(|error| unreadable(&error))?;
    if let Some(method) = &envelope.method {
        let params = envelope.params.map_or("{}", RawValue::get);
        return notice(method, params).map_err(|error| unreadable(&error));
    }
    let id = envelope.id.and_then(|id| id.get().parse().ok());
    let outcome = match (envelope.result, envelope.error) {
        (_, Some(error)) => Err(RpcError::from_wire(error.code, error.message, error.data)),
        (Some(result), None) => Ok(message.slice_ref(result.get().as_bytes())),
        // serde reads `"result": null` as absent; the answer is still an answer.
        (None, None) if id.is_some() => Ok(Bytes::from_static(b"null")),
        (None, None) => return Err(ClientError::Protocol),
    };
    Ok(Incoming::Answer { id, outcome })
}

/// What no daemon says; the cause helps nobody but whoever writes one.
fn unreadable(error: &serde_json::Error) -> ClientError {
    tracing::debug!(%error, "a message that cannot be read");
    ClientError::Protocol
}

fn notice(method: &str, params: &str) -> serde_json::Result<Incoming> {
    let (subscription_id, update) = match method {
        "event.next" => {
            let Next { subscription_id, event } = serde_json::from_str(params)?;
            (subscription_id, Update::Event(event))
        }
        "event.synced" => {
            let Synced { subscription_id, cursor } = serde_json::from_str(params)?;
            (subscription_id, Update::Synced { cursor })
        }
        "event.gap" => {
            let Lost { subscription_id, gap } = serde_json::from_str(params)?;
            (subscription_id, Update::Gap(gap))
        }
        "event.ended" => {
            let Ended { subscription_id, reason, cursor } = serde_json::from_str(params)?;
            (subscription_id, Update::Ended { reason, cursor })
        }
        _ => return Ok(Incoming::Unknown),
    };
    Ok(Incoming::Notice { subscription_id, update })
}

/// Whether the daemon answered that it does not take work now.
pub(super) fn is_unavailable(outcome: &Result<Bytes, RpcError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_notices_are_told_apart() {
        let read = |text: &'static str| read(&Bytes::from_static(text.as_bytes()));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#),
            Ok(Incoming::Answer { id: Some(7), outcome: Ok(result) }) if result == br#"{"a":1}"#[..]
        ));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":7,"result":null}"#),
            Ok(Incoming::Answer { id: Some(7), outcome: Ok(result) }) if result == b"null"[..]
        ));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#),
            Ok(Incoming::Answer { id: None, outcome: Err(_) })
        ));
        assert!(matches!(
            read(
                r#"{"jsonrpc":"2.0","method":"event.synced","params":{"subscription_id":"s","cursor":"c"}}"#
            ),
            Ok(Incoming::Notice { update: Update::Synced { .. }, .. })
        ));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","method":"event.of_tomorrow","params":{}}"#),
            Ok(Incoming::Unknown)
        ));
        assert!(matches!(read("{}"), Err(ClientError::Protocol)));
        assert!(matches!(read("hello"), Err(ClientError::Protocol)));
    }
}

//! Outcomes as they are kept.

use bytes::{Bytes, BytesMut};
use descartes_core::idempotency::Ticket;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Answer;
use crate::error::{ErrorKind, RpcError};
use crate::method::Method;

#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<KeptError>,
}

#[derive(Deserialize)]
struct KeptError {
    code: i32,
    message: String,
    #[serde(default)]
    data: Map<String, Value>,
}

/// The answer that was kept.
pub(super) fn read(kept: &Bytes) -> Answer {
    let read: Kept<'_> =
        serde_json::from_slice(kept).map_err(|error| RpcError::internal(&error))?;
    match (read.result, read.error) {
        (_, Some(error)) => Err(RpcError::from_wire(error.code, error.message, error.data)),
        (Some(result), None) => Ok(kept.slice_ref(result.get().as_bytes())),
        (None, None) => Ok(Bytes::from_static(b"null")),
    }
}

/// Keeps the answer of `M` under its key; a result with a secret in it is not kept, only that it was
/// given.
pub(super) async fn store_of<M: Method>(ticket: Option<Ticket>, answer: Answer) -> Answer {
    if !M::DECLARATION.secret || answer.is_err() {
        return store(ticket, answer).await;
    }
    drop(store(ticket, Err(given())).await);
    answer
}

fn given() -> RpcError {
    RpcError::new(ErrorKind::StateError, "this call was answered, and its secret is not kept")
        .reason("secret_not_kept")
        .retryable(false)
        .hint("revoke what was made, if its secret is lost, and call again with a new key")
}

/// Keeps `answer` under its key, or gives the key free where another try may help.
pub(super) async fn store(ticket: Option<Ticket>, answer: Answer) -> Answer {
    let Some(ticket) = ticket else { return answer };
    let kept = match &answer {
        Err(error) if error.is_retryable() => ticket.release().await,
        answer => ticket.finish(&write(answer)).await,
    };
    if let Err(error) = kept {
        // The effect stands; a repeated call is told what the journal knows.
        tracing::warn!(%error, "the outcome of an idempotent call is not kept");
    }
    answer
}

fn write(answer: &Answer) -> String {
    match answer {
        Ok(result) => format!("{{\"result\":{}}}", String::from_utf8_lossy(result)),
        Err(error) => {
            let mut out = BytesMut::new();
            error.encode_into(&mut out);
            format!("{{\"error\":{}}}", String::from_utf8_lossy(&out))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_kept_reads_back() {
        let result: Answer = Ok(Bytes::from_static(br#"{"a":[1,"b"]}"#));
        assert_eq!(read(&write(&result).into()), result);
        let error: Answer =
            Err(RpcError::new(ErrorKind::Conflict, "no").reason("closed").with("x", 1));
        assert_eq!(read(&write(&error).into()), error);
    }
}

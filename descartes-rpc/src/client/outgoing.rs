//! A call on its way to the daemon.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ClientError;
use crate::error::RpcError;
use crate::limits;

/// How long a call that waits does so unless it is told; as the daemon has it.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that one may be told.
const WAIT_MOST: Duration = Duration::from_secs(3600);

/// A call, encoded, and how it may be treated.
pub(super) struct Outgoing {
    /// Everything of the message between its `id` and its end.
    rest: Vec<u8>,
    /// Where its parameters begin.
    params: usize,
    /// With a key it may be sent again when nobody knows if it arrived.
    pub(super) key: Option<String>,
    /// Whether the daemon may wait long before it answers.
    pub(super) waits: bool,
}

/// What parameters say about how their call is to be treated.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) idempotency_key: Option<String>,
    timeout_secs: Option<f64>,
    wait_ms: Option<u64>,
}

impl Outgoing {
    pub(super) fn new(
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<Self, ClientError> {
        let mut rest = b",\"method\":".to_vec();
        serde_json::to_writer(&mut rest, method).map_err(ClientError::Encode)?;
        rest.extend_from_slice(b",\"params\":");
        let begin = rest.len();
        serde_json::to_writer(&mut rest, params).map_err(ClientError::Encode)?;
        rest.push(b'}');
        if rest.len() > limits::REQUEST_BYTES {
            let most = u64::try_from(limits::REQUEST_BYTES).unwrap_or(u64::MAX);
            return Err(RpcError::oversize(limits::REQUEST_BYTES_KEY, most).into());
        }
        Ok(Self { rest, params: begin, key: None, waits: false })
    }

    pub(super) fn message(&self, id: u64) -> Bytes {
        let mut message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}").into_bytes();
        message.extend_from_slice(&self.rest);
        message.into()
    }

    /// What the parameters say, as far as they say it by name.
    pub(super) fn asked(&self) -> Asked {
        // serde reads a struct from an array too, member by member.
        let read = || serde_json::from_slice(self.params()).ok();
        self.is_named().then(read).flatten().unwrap_or_default()
    }

    fn params(&self) -> &[u8] {
        self.rest[self.params..].strip_suffix(b"}").unwrap_or_default()
    }

    fn is_named(&self) -> bool {
        self.params().trim_ascii_start().starts_with(b"{")
    }

    /// How long the daemon may wait before it answers, beside the time that it needs. Parameters by
    /// position are not looked into: they may ask for the longest.
    pub(super) fn wait(&self) -> Duration {
        if !self.waits {
            return Duration::ZERO;
        }
        if !self.is_named() {
            return WAIT_MOST;
        }
        let asked = self.asked();
        let secs = asked.timeout_secs.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let wait = secs.or(asked.wait_ms.map(Duration::from_millis)).unwrap_or(WAIT_DEFAULT);
        wait.min(WAIT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_that_waits_is_waited_for_as_long_as_it_asks() {
        let table = [
            (json!({"timeout_secs": 90}), 90_000),
            (json!({"timeout_secs": 1.5}), 1_500),
            (json!({"wait_ms": 200, "topics": ["a"]}), 200),
            (json!({}), 30_000),
            (json!({"timeout_secs": 1e300}), 30_000),
            (json!({"timeout_secs": 1e9}), 3_600_000),
            (json!(["a", "exit", 5]), 3_600_000),
        ];
        for (params, millis) in table {
            let mut outgoing = Outgoing::new("agent.wait", &params).unwrap();
            assert_eq!(outgoing.wait(), Duration::ZERO, "{params}");
            outgoing.waits = true;
            assert_eq!(outgoing.wait(), Duration::from_millis(millis), "{params}");
        }
    }

    #[test]
    fn a_key_is_found_where_it_is_named() {
        let key = |params| Outgoing::new("a", &params).unwrap().asked().idempotency_key;
        assert_eq!(key(json!({"idempotency_key": "k", "x": [1]})).as_deref(), Some("k"));
        assert_eq!(key(json!({"x": {"idempotency_key": "k"}})), None);
        assert_eq!(key(json!(["k"])), None);
        assert_eq!(key(json!({"idempotency_key": null})), None);
    }
}

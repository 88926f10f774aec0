//! What goes back for a request.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Id, NotificationStream};
use crate::error::RpcError;

/// The answer to one call.
#[derive(Clone, Debug)]
pub struct Response {
    /// The identifier of the call, or null when it could not be told.
    pub id: Id,
    /// The encoded JSON result, or what went wrong.
    pub outcome: Result<Bytes, RpcError>,
}

impl Response {
    /// An answer that says what went wrong.
    #[must_use]
    pub const fn failed(id: Id, error: RpcError) -> Self {
        Self { id, outcome: Err(error) }
    }

    /// Writes the whole JSON-RPC response.
    pub fn encode_into(&self, out: &mut BytesMut) {
        const AROUND: usize = 40;
        let id = self.id.as_json();
        let body = self.outcome.as_ref().map_or(256, Bytes::len);
        out.reserve(AROUND + id.len() + body);
        out.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.put_slice(id.as_bytes());
        match &self.outcome {
            Ok(result) => {
                out.put_slice(b",\"result\":");
                out.put_slice(result);
            }
            Err(error) => {
                out.put_slice(b",\"error\":");
                error.encode_into(out);
            }
        }
        out.put_u8(b'}');
    }

    /// The whole JSON-RPC response in a buffer of its own.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode_into(&mut out);
        out.freeze()
    }
}

/// A response if one is due, and for a subscription the notifications that follow it.
///
/// Whoever sends the reply sends the response first, so no notification overtakes it.
#[derive(Default)]
pub struct Reply {
    /// `None` for a notification, which is never answered.
    pub response: Option<Response>,
    /// What follows the response.
    pub notifications: Option<NotificationStream>,
}

impl Reply {
    /// Nothing to send.
    #[must_use]
    pub const fn none() -> Self {
        Self { response: None, notifications: None }
    }

    /// An error for the call `id`; nothing when it was a notification.
    #[must_use]
    pub fn failed(id: Option<Id>, error: RpcError) -> Self {
        Self { response: id.map(|id| Response::failed(id, error)), notifications: None }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("response", &self.response)
            .field("notifications", &self.notifications.is_some())
            .finish()
    }
}

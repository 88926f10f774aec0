//! Why a call of the client gave no result.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, RpcError};

/// Why a call of the client gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The daemon answered with an error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// There is no daemon to be reached; nothing was sent. A call that is made while the daemon is
    /// away fails with this at the next attempt to connect, it does not wait for better times.
    #[error("no connection over {transport}: {source}")]
    Unreachable {
        /// Which transport.
        transport: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The connection was lost before the answer came: the call may or may not have had its
    /// effect. With an idempotency key it can be repeated safely.
    #[error("the connection was lost before the answer came")]
    ConnectionLost {
        /// What the system said, when it said something.
        source: Option<Arc<io::Error>>,
    },
    /// There was no answer within the deadline
    /// ([`Client::with_deadline`](super::Client::with_deadline)). What the call has begun goes on;
    /// repeating it with its key gives the outcome.
    #[error("no answer within {after:?}")]
    Timeout {
        /// The deadline.
        after: Duration,
        /// The key that the call was made with, if it had one.
        idempotency_key: Option<String>,
    },
    /// The parameters cannot be written as JSON.
    #[error("the parameters cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// The daemon's answer is not what this library knows.
    #[error("the answer to {method} cannot be read")]
    Decode {
        /// Which method.
        method: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The transport carries no such thing.
    #[error("the daemon sent something that is no answer")]
    Protocol,
}

impl ClientError {
    /// The error that the daemon answered with, if it did.
    #[must_use]
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc(error) => Some(error),
            _ => None,
        }
    }

    /// The kind of error, in the terms of the contract.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Rpc(error) => error.kind(),
            // Whoever is there lets nobody in with what was shown.
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ErrorKind::Unauthenticated
            }
            Self::Unreachable { .. } | Self::ConnectionLost { .. } => ErrorKind::ConnectionLost,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Encode(_) => ErrorKind::InvalidParams,
            Self::Decode { .. } | Self::Protocol => ErrorKind::Other,
        }
    }
}

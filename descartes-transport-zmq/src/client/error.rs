//! Why a command gave no result.

use std::{io, sync::Arc, time::Duration};

use descartes_rpc::{
    client::ClientError,
    error::{ErrorKind, RpcError},
};

/// Why a command of [`ZmqClient`](super::ZmqClient) gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZmqError {
    /// Too many commands wait already; this one was not taken.
    #[error("the queue is full: {waiting} commands wait")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// The command waited for too long until it could be sent.
    #[error("the command waited for {waited:?} and could not be sent")]
    QueueTimeout {
        /// How long it could wait.
        waited: Duration,
        /// Whether it had been sent before, over a connection that was lost: then it may have had
        /// its effect.
        sent: bool,
        /// The key to repeat it with, if it changes something.
        idempotency_key: Option<String>,
    },
    /// The command could not be kept in the queue's file; it was not sent.
    #[error("the queue's file cannot be written: {0}")]
    QueueFile(Arc<io::Error>),
    /// What the daemon answered, or why there is no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client's task has ended with its runtime.
    #[error("the client has ended")]
    Ended,
}

impl ZmqError {
    /// The error that the daemon answered with, if it did.
    #[must_use]
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Client(error) => error.rpc(),
            _ => None,
        }
    }

    /// The kind of error, in the terms of the contract.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::QueueFull { .. } => ErrorKind::ResourceExhausted,
            Self::QueueTimeout { .. } => ErrorKind::Timeout,
            Self::QueueFile(_) => ErrorKind::StateError,
            Self::Client(error) => error.kind(),
            Self::Ended => ErrorKind::ConnectionLost,
        }
    }
}

/// What a start came to, in the terms of a client without a queue: what was never sent is
/// `Unreachable`, what may have had its effect is `ConnectionLost`.
impl From<ZmqError> for ClientError {
    fn from(error: ZmqError) -> Self {
        let told = |kind, error: &ZmqError| Arc::new(io::Error::new(kind, error.to_string()));
        match error {
            ZmqError::Client(error) => error,
            ZmqError::QueueFull { waiting } => {
                let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
                let full = RpcError::exhausted("max_queue_size", waiting, waiting);
                full.hint("the remote is away, or slower than it is asked").into()
            }
            ZmqError::QueueTimeout { sent: true, .. } | ZmqError::Ended => {
                let source = Some(told(io::ErrorKind::TimedOut, &error));
                Self::ConnectionLost { source }
            }
            ZmqError::QueueTimeout { sent: false, .. } => Self::Unreachable {
                transport: "zmq",
                source: told(io::ErrorKind::TimedOut, &error),
            },
            ZmqError::QueueFile(ref source) => {
                Self::Unreachable { transport: "zmq", source: told(source.kind(), &error) }
            }
        }
    }
}

impl From<RpcError> for ZmqError {
    fn from(error: RpcError) -> Self {
        Self::Client(error.into())
    }
}

//! What can go wrong with a peer.

use std::{io, time::Duration};

use super::SocketType;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The stream failed.
    #[error("the stream failed during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The peer left before the end of the handshake.
    #[error("the peer left during the handshake")]
    Closed,
    /// The handshake took too long.
    #[error("no handshake within {0:?}")]
    TimedOut(Duration),
    /// What the peer began with is no greeting of ZMTP 2 or newer.
    #[error("the peer does not speak ZMTP 3")]
    NotZmtp,
    /// The peer speaks an older version.
    #[error("the peer speaks ZMTP {0}, and 3 is needed")]
    Version(u8),
    /// The peer wants another security mechanism than this end.
    #[error("the peer wants the security mechanism {peer:?}, and {ours} is spoken here")]
    Mechanism {
        /// What it wants, as it came.
        peer: String,
        /// PLAIN where credentials are needed, else NULL, if need be among others.
        ours: &'static str,
    },
    /// The peer's credentials are not valid; it was told no more than that.
    #[error("the peer's credentials are not valid")]
    Unauthenticated,
    /// The peer's credentials were not looked at; it was told nothing, so that it comes again.
    #[error("the peer's credentials were not looked at: too many of its address have failed")]
    Later,
    /// A key or token that PLAIN has no room for.
    #[error("PLAIN carries credentials of at most 510 bytes")]
    LongCredentials,
    /// The peer sent a message, or another command, before READY.
    #[error("the peer sent something else than READY")]
    NotReady,
    /// The metadata of READY cannot be read, or has no Socket-Type.
    #[error("the metadata of READY: {0}")]
    Metadata(&'static str),
    /// The two sockets do not fit; the peer's type is as it came, and may be unknown.
    #[error("a socket of type {peer:?} does not fit {ours}")]
    SocketType {
        /// Our type.
        ours: SocketType,
        /// The peer's.
        peer: String,
    },
    /// The peer refused us with an ERROR command.
    #[error("the peer refused the connection: {0:?}")]
    Refused(String),
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// What a peer did that ends the connection. Inside an [`io::Error`] of the kind `InvalidData`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bits 7 to 3 of a frame's flags.
    #[error("reserved flags are set in a frame")]
    ReservedFlags,
    /// A command of several frames.
    #[error("a command that says that more frames follow")]
    CommandWithMore,
    /// A length of 2^63 or more.
    #[error("a frame of more than 2^63-1 bytes")]
    Length,
    /// A command over its bound.
    #[error("a command of {0} bytes")]
    CommandTooLong(u64),
    /// A command without a name, or whose data is not what its name asks for.
    #[error("a malformed command")]
    Command,
    /// A message that goes on beyond what is skipped.
    #[error("a message beyond all bounds")]
    Endless,
    /// An ERROR command after the handshake.
    #[error("the peer reports an error: {0:?}")]
    Reported(String),
}

impl From<ProtocolError> for io::Error {
    fn from(error: ProtocolError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

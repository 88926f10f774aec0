//! ZMTP 3.x: greeting, handshake, commands and messages over any stream of bytes.
//!
//! The sections that are named here are those of RFC 37 (ZMTP 3.1,
//! <https://rfc.zeromq.org/spec/37/>); RFC 23 (ZMTP 3.0) is named where it differs.

mod command;
mod error;
mod frame;
mod greeting;
mod handshake;
mod message;
mod outbox;
mod patience;
mod plain;
mod reader;
mod socket;
mod socket_type;
mod unfinished;

pub use crate::limits::ZmtpLimits;
pub use error::{HandshakeError, ProtocolError};
pub use message::{Multipart, Received};
pub use socket::ZmtpSocket;
pub use socket_type::SocketType;
pub(crate) use unfinished::Unfinished;

//! JSON-RPC over WebSocket (RFC 6455): text frames both ways, one message each.
//!
//! The frames are read here and not by one of the usual crates, because of three bounds that those
//! do not have: what is too long is skipped without being kept, a connection at rest keeps next to
//! nothing, and what is due is written at once, with one copy.

mod close;
mod frame;
pub(crate) mod handshake;
#[cfg(feature = "client")]
mod mask;
mod reader;
mod session;
mod socket;

#[cfg(feature = "client")]
pub(crate) mod client;

pub(crate) use close::{Close, CloseCode};
#[cfg(feature = "test-util")]
pub(crate) use reader::{Bounds, Inbound, Reader};
pub(crate) use session::{Admission, Session};

/// The name of this transport in peers, logs and metrics.
pub(crate) const TRANSPORT: &str = "ws";

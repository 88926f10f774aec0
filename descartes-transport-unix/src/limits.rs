//! Every bound of this transport, with its reason.

use std::time::Duration;

/// Connections of a server that has no budget of its own.
pub(crate) const CONNECTIONS: usize = 4096;
/// Connections kept for the owner: enough for a person's terminals and scripts.
pub(crate) const RESERVED_CONNECTIONS: usize = 32;
/// How long a shutdown waits for calls.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);
/// What one read takes: some hundred small calls that came together.
pub(crate) const READ_BUFFER: usize = 32 << 10;
/// What is written at once: more adds latency and saves nothing.
pub(crate) const WRITE_BUFFER: usize = 64 << 10;
/// What a connection keeps to write into while it says nothing: enough for most answers.
pub(crate) const KEPT_BUFFER: usize = 4 << 10;
/// A message from the server that a client takes: the largest reply, with what stands around it.
#[cfg(feature = "client")]
pub(crate) const CLIENT_MESSAGE: usize = descartes_rpc::limits::REPLY_BYTES + (1 << 20);

//! Every bound of this crate, with its reason.

use std::time::Duration;

/// A message of the agent protocol: what a page of output can reach, with room.
pub const MESSAGE_BYTES: usize = 10 * 1024 * 1024;
/// The name of [`MESSAGE_BYTES`] in errors.
pub const MESSAGE_BYTES_KEY: &str = "limits.protocol_message_bytes";
/// Nesting of a message: as deep as JSON may be on the other transports.
pub const MESSAGE_DEPTH: usize = 128;
/// Values in a message. A value of one byte becomes about 32 in memory, so that a message of
/// [`MESSAGE_BYTES`] could become a third of a gigabyte; this is 8 MiB.
pub const MESSAGE_NODES: usize = 256 * 1024;
/// Characters of a `request_id`: every answer repeats it, and those of a stream many times.
pub const REQUEST_ID_CHARS: usize = 128;
/// Silence after which a follower of statuses is told that the daemon is there.
pub const STATUS_HEARTBEAT: Duration = Duration::from_secs(15);

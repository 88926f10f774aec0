//! The bounds of the client, each with its reason.

use std::time::Duration;

/// What a queue may hold in bytes, sent commands included: a thousand ordinary commands, or sixty
/// of the longest.
pub(crate) const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Control commands may wait beside all others: a full queue refuses no kill.
pub(crate) const CONTROL_QUEUED: usize = 128;
/// Commands under way at once: half of what a daemon works on for one connection.
pub(crate) const IN_FLIGHT: usize = 32;
/// Commands that wait at the daemon beside them: half of what it lets one connection wait for.
pub(crate) const WAITS_IN_FLIGHT: usize = 256;
/// Control commands under way beside them.
pub(crate) const CONTROL_IN_FLIGHT: usize = 32;
/// The longest that a command may wait: the daemon remembers for a day what it has executed, and
/// one that waited longer could be executed twice.
pub(crate) const QUEUE_TIMEOUT_MOST: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest queue: more would not be sent within any patience.
pub(crate) const QUEUE_SIZE_MOST: usize = 100_000;
/// How often one command is sent: if its connection is lost each time, it is why.
pub(crate) const SENT_MOST: u32 = 16;
/// The pause between attempts when the quick ones are used up.
pub(crate) const SLOW_RETRY: Duration = Duration::from_secs(30);
/// How long the daemon may take to say how it is; it never queues that behind work.
pub(crate) const HEALTH_ANSWER: Duration = Duration::from_secs(10);
/// The pause before a daemon is asked again that still works on a command: it waits itself.
pub(crate) const STILL_AT_WORK: Duration = Duration::from_millis(250);
/// Callers that the task has not listened to yet; more wait a moment.
pub(crate) const CALLERS: usize = 64;
/// Callers that are taken together, for one write of the queue's file.
pub(crate) const CALLERS_AT_ONCE: usize = 256;
/// How long the last records of the queue's file may take when the client ends.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
/// The pause before a stream whose connection is gone for long is opened again.
pub(crate) const STREAM_RETRY: Duration = Duration::from_secs(30);
/// A queue's file that is written anew only when it is longer: below this nothing is won.
pub(crate) const QUEUE_FILE_SMALL: u64 = 1024 * 1024;
/// The longest file of a queue: what is needed of it is at most [`QUEUE_BYTES`], with heads.
pub(crate) const QUEUE_FILE_BYTES: u64 = 256 * 1024 * 1024;

//! Every bound of this crate, with its reason.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A message of the agent protocol: what a page of output can reach, with room.
pub const MESSAGE_BYTES: usize = 10 * 1024 * 1024;
/// The name of [`MESSAGE_BYTES`] in errors.
pub const MESSAGE_BYTES_KEY: &str = "limits.protocol_message_bytes";
/// The longest message that is not a long one: as much as a request may have in JSON.
pub const LONG_MESSAGE: usize = 1024 * 1024;
/// Bytes of the long messages that one connection waits for answers to: three of the longest. What
/// waits for its turn is kept in memory until it is there, and a message may take twice its length.
pub const LONG_MESSAGES_BYTES: usize = 32 * 1024 * 1024;
/// The name of [`LONG_MESSAGES_BYTES`] in errors.
pub const LONG_MESSAGES_KEY: &str = "limits.protocol_long_messages_bytes";
/// Nesting of a message: as deep as JSON may be on the other transports.
pub const MESSAGE_DEPTH: usize = 128;
/// Values in a message. A value of one byte becomes about 32 in memory, so that a message of
/// [`MESSAGE_BYTES`] could become a third of a gigabyte; this is 8 MiB.
pub const MESSAGE_NODES: usize = 256 * 1024;
/// Characters of a `request_id`: every answer repeats it, and those of a stream many times.
pub const REQUEST_ID_CHARS: usize = 128;
/// Characters of what was sent that an error tells back, in each of its members: enough to know it
/// by. A message of [`MESSAGE_BYTES`] that is one wrong word would be answered by two of that length.
pub const TOLD_CHARS: usize = 1024;
/// Silence after which a follower of statuses is told that the daemon is there.
pub const STATUS_HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a health check waits to learn how many agents are live: it is never behind work.
pub const COUNT_PATIENCE: Duration = Duration::from_secs(1);
/// Events that a follower passes over in one turn before others get theirs.
pub const SKIPPED_PER_TURN: usize = 64;

/// Greeting and READY of both ends; they are four small packets.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(2);
/// How long a peer may take to say which mechanism it speaks where we speak two; one that waits for
/// our word has the other half of [`HANDSHAKE`] then.
pub(crate) const MECHANISM_WAIT: Duration = Duration::from_secs(1);
/// A message of ZMTP: one of the agent protocol, and room for its envelope.
pub(crate) const ZMTP_MESSAGE_BYTES: usize = MESSAGE_BYTES + 64 * KIB;
/// Frames of a message: an envelope has a few, nobody needs thousands.
pub(crate) const MESSAGE_FRAMES: usize = 4096;
/// Bytes of an unfinished message that every connection may hold.
pub(crate) const UNFINISHED_FREE: usize = READ_MOST;
/// Bytes that the unfinished messages of all connections may hold beyond that, together: four of
/// the longest. Without it thirty peers that stop in the middle would hold 300 MiB.
pub(crate) const UNFINISHED_BYTES: usize = 40 * MIB;
/// How long a peer may send nothing of a message of which it holds more than
/// [`UNFINISHED_FREE`]: as a body of HTTP.
pub(crate) const UNFINISHED_GRACE: Duration = Duration::from_secs(10);
/// Bytes a second that it must send beyond that: a line of half a megabit does, and the longest
/// message has its place for three minutes at most.
pub(crate) const UNFINISHED_RATE: u64 = 64 * KIB as u64;
/// The name of [`UNFINISHED_BYTES`] in errors.
pub(crate) const UNFINISHED_KEY: &str = "limits.unfinished_messages_bytes";
/// A command: READY with an identity and some metadata, or the longest prefix of a subscription.
pub(crate) const COMMAND_BYTES: usize = 2 * KIB;
/// How much of an oversize message is skipped, heads of frames included, before its sender is taken
/// for broken.
pub(crate) const SKIP_BYTES: usize = 16 * MIB;
/// Time between two of our PINGs.
pub(crate) const PING: Duration = Duration::from_secs(20);

/// Connections of a server that has no budget of its own.
pub(crate) const CONNECTIONS: usize = 4096;
/// Connections of one address that is not loopback.
pub(crate) const CONNECTIONS_PER_ADDRESS: usize = 64;
/// Connections that have not ended their handshake; beyond it the oldest is cut.
pub(crate) const NEWCOMERS: usize = 256;
/// How long a shutdown waits for calls.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);
/// How long one that may not come in has to send what it is refused in answer to.
pub(crate) const REFUSAL_WAIT: Duration = Duration::from_secs(10);
/// Conversations of one connection: a client has one, a proxy one for each that asks through it.
pub(crate) const CONVERSATIONS: usize = 16;
/// The name of [`CONVERSATIONS`] in errors.
pub(crate) const CONVERSATIONS_KEY: &str = "limits.conversations_per_connection";
/// How much of the place of something wrong is told; it is for people.
pub(crate) const PATH_BYTES: usize = 256;
/// Frames of an envelope: one for each proxy between, and the empty one.
pub(crate) const ENVELOPE_FRAMES: usize = 8;
/// Bytes of an envelope; an identity has at most 255 (RFC 23, "The Identity Property").
pub(crate) const ENVELOPE_BYTES: usize = 2 * KIB;
/// Messages of a conversation that were heard and not read, above which its connection is read no
/// further: a turn's.
pub(crate) const INBOX_MESSAGES: usize = 128;
/// Bytes of them.
pub(crate) const INBOX_BYTES: usize = MIB;
/// Bytes of a conversation that were said and not sent, above which it says nothing more.
pub(crate) const OUTBOX_BYTES: usize = 64 * KIB;
/// How many rounds of work a connection does before other tasks get their turn.
pub(crate) const ROUNDS: usize = 16;

/// Different prefixes of one subscriber: one for each of a thousand agents, a watcher of all needs
/// only one. Each event that is committed is compared with them.
pub(crate) const PREFIXES: usize = 1024;
/// Bytes of these prefixes together.
pub(crate) const PREFIX_BYTES: usize = 64 * KIB;
/// Subscriptions and messages taken from one subscriber before it is told something.
pub(crate) const RECEIVED_PER_TURN: usize = 128;
/// Bytes sent to one subscriber before other tasks get their turn.
pub(crate) const SENT_PER_TURN: usize = 256 * KIB;
/// How long a subscriber waits for a journal that could not be read, before it is tried again.
pub(crate) const REOPEN_PAUSE: Duration = Duration::from_secs(1);
/// The log speaks of trimmed history at most so often for each subscriber, and of subscribers that
/// want too much at most so often in all: they come back at once.
pub(crate) const SELDOM: Duration = Duration::from_secs(60);
/// A subscription as older peers send it, which is a message; nothing else that a subscriber sends
/// is kept.
pub(crate) const SUBSCRIPTION_BYTES: usize = PREFIX_BYTES + 1;

/// What one read takes during the handshake, when a peer has earned nothing yet.
pub(crate) const HANDSHAKE_READ: usize = 512;
/// What one read takes at least: some dozens of small calls that came together.
pub(crate) const READ_BUFFER: usize = 8 * KIB;
/// What one read takes at most, when a peer sends much or a long message is under way.
pub(crate) const READ_MOST: usize = 64 * KIB;
/// Frames up to this length are copied out, so that one that stays does not keep the read buffer.
pub(crate) const COPIED: usize = 4 * KIB;
/// Frames from this length on are written from where they are, without a copy.
pub(crate) const KEPT_FRAME: usize = 8 * KIB;
/// What is written at once; more adds latency and saves nothing.
pub(crate) const WRITE_BUFFER: usize = 64 * KIB;
/// The write buffer that is kept for the next messages; a larger one is given back when it is
/// empty, this one too when nothing happens until the next PING.
pub(crate) const KEPT_BUFFER: usize = 16 * KIB;
/// Pieces that one write hands to the kernel (`IOV_MAX` is 1024).
pub(crate) const WRITE_PIECES: usize = 64;
/// Commands, or reads, that are dealt with before others get their turn.
pub(crate) const COMMANDS_PER_TURN: usize = 128;
/// How long a peer may take to take what was written before the end, and then to leave.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// What a peer may still send after our end, so that a reset does not overtake our last message.
pub(crate) const DISCARDED_BYTES: u64 = 16 * MIB as u64;

/// The bounds of one ZMTP connection; the defaults are those of the daemon.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ZmtpLimits {
    /// Longest message, in bytes of all its frames. What is longer is skipped and told as
    /// [`Received::Oversize`](crate::zmtp::Received::Oversize).
    pub message_bytes: usize,
    /// Most frames of a message; more count as oversize too.
    pub message_frames: usize,
    /// Longest command, in bytes; a longer one ends the connection.
    pub command_bytes: usize,
    /// How much of an oversize message may come, in bytes on the wire, before it ends the
    /// connection.
    pub skip_bytes: usize,
    /// From the beginning of the handshake to its end.
    pub handshake: Duration,
    /// Time between two of our PINGs; a peer of ZMTP 3.1 that sends nothing between them is gone.
    pub ping: Duration,
}

impl Default for ZmtpLimits {
    fn default() -> Self {
        Self {
            message_bytes: ZMTP_MESSAGE_BYTES,
            message_frames: MESSAGE_FRAMES,
            command_bytes: COMMAND_BYTES,
            skip_bytes: SKIP_BYTES,
            handshake: HANDSHAKE,
            ping: PING,
        }
    }
}

//! Every bound of this crate, with its reason.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A request: larger inputs belong in files; this keeps a connection's memory small.
pub const REQUEST_BYTES: usize = MIB;
/// The configuration key of [`REQUEST_BYTES`], which errors name.
pub const REQUEST_BYTES_KEY: &str = "limits.request_bytes";
/// How much of an oversize line is skipped before its sender is taken for broken.
pub const SKIP_BYTES: usize = 16 * MIB;
/// A reply: what a list page of 1 MiB and a page of output can reach, with room.
pub const REPLY_BYTES: usize = 10 * MIB;
/// Calls in a batch: enough to save round trips, few enough to be answered as one array.
pub const BATCH_CALLS: usize = 128;
/// All answers of a batch together.
pub const BATCH_REPLY_BYTES: usize = 8 * MIB;
/// Batches at work on one connection; with [`BATCH_CALLS`] this bounds what it can have running.
pub const BATCHES_PER_CONNECTION: usize = 8;
/// Nesting of JSON: deeper than any honest message, shallow enough for every decoder's stack.
pub const JSON_DEPTH: u32 = 128;
/// Unknown members of a request object, which are ignored but must not occur twice.
pub const UNKNOWN_MEMBERS: usize = 16;

/// Connections that wait in a backlog, where a transport can say how many, and that are still taken
/// when the door is closed: as many as there may be in all. The kernel has a bound of its own
/// (`net.core.somaxconn`).
pub const BACKLOG: u32 = 4096;
/// Shortest and longest pause of an accept loop after an error such as `EMFILE`.
pub const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Calls at work on one connection.
pub const CALLS_PER_CONNECTION: usize = 64;
/// Control calls at work on one connection, beside the others.
pub const CONTROL_PER_CONNECTION: usize = 64;
/// Waiting calls on one connection: they cost memory only.
pub const WAITS_PER_CONNECTION: usize = 512;
/// Subscriptions on one connection.
pub const SUBSCRIPTIONS_PER_CONNECTION: usize = 64;
/// Topics that one reader of events may name, and types: each event is held against all of them.
pub const TOPICS_OF_READER: usize = 1024;
/// Bytes a peer has not taken yet, above which its connection is read no further.
pub const UNSENT_BYTES: usize = MIB;
/// Bytes a peer has not taken yet, above which its subscriptions rest.
pub const STREAM_BYTES: usize = 64 * KIB;
/// A peer that takes nothing for so long is cut.
pub const STALL: Duration = Duration::from_secs(30);
/// The same while draining.
pub const STALL_DRAINING: Duration = Duration::from_secs(5);
/// A connection that is shut down is closed when its peer has said nothing for so long: what it sent
/// before it could know is on its way until then, and is answered.
pub const DRAIN_QUIET: Duration = Duration::from_millis(50);
/// How long that is waited for when nothing else is under way; then its pauses count for nothing.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// Messages that are still answered on a connection that is shut down: what its socket can hold of
/// small ones. Who sends more has heard of it.
pub const DRAIN_MESSAGES: u64 = 16 * 1024;
/// Events that a subscription still tells when it is shut down, if they are there: the ends of the
/// agents that were stopped before it. Who is behind reads on from its cursor.
pub const LAST_EVENTS: usize = 1024;
/// How long the calls of a connection go on whose peer will send no more: it may only have closed
/// its sending side (`printf … | nc -U`), which looks the same as being gone.
pub const LINGER: Duration = Duration::from_secs(1);
/// Messages taken from one connection before its answers are written.
pub const MESSAGES_PER_TURN: usize = 128;

/// Calls at work in all (`pool.max_size`).
pub const CALLS: usize = 100;
/// Slots kept for control (`pool.min_size`).
pub const CONTROL_SLOTS: usize = 10;
/// Calls that wait for a slot: ten times what is at work; more would time out anyway.
pub const SLOT_QUEUE: usize = 1024;
/// How long a call waits for a slot (`pool.connection_timeout_secs`).
pub const SLOT_WAIT: Duration = Duration::from_secs(30);
/// Waiting calls in all.
pub const WAITS: usize = 8192;
/// Principals whose rate of calls, or whose connections, are told apart: more are counted as one.
pub const PRINCIPALS: usize = 10_000;
/// Milliseconds after which somebody who is on too many connections may try again; when one of them
/// ends is theirs to say.
pub(crate) const CROWD_RETRY_MILLIS: u64 = 1000;
/// How long a call may take (`server.request_timeout_secs`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long credentials are believed at most before the wall clock is looked at again: it may be
/// set while they are waited for.
pub const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// Refusals of one kind that follow the first within this time are counted together.
pub const AUDIT_WINDOW: Duration = Duration::from_secs(10);
/// Kinds of refusals that are counted apart; those of further kinds are one kind.
pub const AUDIT_KINDS: usize = 256;
/// Entries of audit that wait to be written; more are counted and not kept.
pub const AUDIT_QUEUE: usize = 4096;
/// How long to wait before a store is asked again that did not take them.
pub const AUDIT_RETRY: Duration = Duration::from_secs(1);
/// How long who reads the audit waits for entries that are being written: a store that takes none is
/// told of elsewhere.
pub const AUDIT_PATIENCE: Duration = Duration::from_secs(5);
/// Characters of what a call names that are written down: it is whatever its caller wrote.
pub const AUDIT_RESOURCE_CHARS: usize = 128;
/// A token: room for some dozens of scopes; a longer one is not looked at.
pub const TOKEN_BYTES: usize = 8 * KIB;
/// Scopes of one token or key: more than there are.
pub const TOKEN_SCOPES: usize = 64;
/// How far the clock of whoever made a token may go before ours.
pub const TOKEN_CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How long a token lasts that is made here, at most; a key may last for ever, because it can be
/// listed and revoked by its name.
pub const TOKEN_AGE: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long a token lasts unless somebody says (`auth.token_expiry_secs`).
pub const TOKEN_EXPIRY: Duration = Duration::from_secs(3600);
/// Keys that are kept: all are in memory, and a list of them is one message.
pub const KEYS: usize = 1000;
/// Revoked tokens that are remembered until they expire.
pub const REVOKED_TOKENS: usize = 10_000;
/// Keys and tokens through which something may have been made, so that a token stays short enough for
/// the password of a ZeroMQ client: each is named in what was made through it, and ends that with
/// itself.
pub const MAKERS: usize = 4;
/// Failed logins of one address that are answered at once, for people who mistype.
pub const FREE_FAILURES: u32 = 8;
/// How long the first failed login after these waits for its answer; each one after it twice as
/// long, up to [`FAILURE_PAUSE_MOST`].
pub const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// The longest that a failed login waits for its answer.
pub const FAILURE_PAUSE_MOST: Duration = Duration::from_millis(500);
/// Failed logins of one address that wait at once; beyond it none of that address is looked at, so
/// that an address tries at most so many in [`FAILURE_PAUSE_MOST`].
pub const FAILURES_WAITING: u32 = 16;
/// How long a failed login is held against its address.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(60);
/// Addresses whose failed logins are counted apart; those beyond share one count.
pub const FAILURE_ADDRESSES: usize = 4096;
/// Credentials that were good lately, of which it is remembered: those are looked at also while
/// their address is slowed. At least so many that were used last, at most twice as many.
pub const PROVEN_CREDENTIALS: usize = 1024;
/// How long a connection on which nobody has logged in may wait for `auth.login`.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that one end of an in-memory connection may have under way.
pub const MEMORY_PAIR_BYTES: usize = 256 * KIB;

/// How long a client waits for an answer unless it is told: twice what a daemon gives a call, so
/// that the daemon's own `timeout`, which says more, comes first.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(60);
/// Silence of a daemon after which a client asks for a sign of life.
pub const CLIENT_SILENCE: Duration = Duration::from_secs(20);
/// How long the daemon may take to give one: `system.health` is never queued behind work.
pub const CLIENT_ANSWER: Duration = Duration::from_secs(10);

/// How long a remote may not answer before its agents are lost (`remotes.NAME.lost_after_secs`).
pub const REMOTE_LOST_AFTER: Duration = Duration::from_secs(600);
/// How long a start or a control of a remote agent may take: less than what a daemon gives its
/// caller, who is then told why.
pub const REMOTE_DEADLINE: Duration = Duration::from_secs(20);
/// How often a remote that has agents of ours is asked whether it is there.
pub const REMOTE_PROBE: Duration = Duration::from_secs(5);
/// How long it may take to answer that: `system.health` is never queued behind work.
pub const REMOTE_ANSWER: Duration = Duration::from_secs(5);
/// For how long a remote is searched for agents that are nobody's: a start that was given up shows
/// within the time that a daemon gives a call ([`REQUEST_TIMEOUT`]), or not at all.
pub const REMOTE_SETTLE: Duration = Duration::from_secs(60);
/// Bytes of first input that travel in one message; base64 and the rest of the message fit into
/// [`REQUEST_BYTES`] beside them.
pub const REMOTE_FIRST_INPUT_BYTES: usize = 256 * KIB;
/// Kills of one remote agent under way: each has a deadline, and more than a few say nothing new.
pub const REMOTE_KILLS: usize = 16;
/// How long to wait before a remote's events are asked for again.
pub const REMOTE_RETRY: Duration = Duration::from_secs(1);
/// How long the answer to a control may follow the end of the run, which may have been told first:
/// a connection that was lost in between is made again in that time, if it can be.
pub const REMOTE_LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long a page of a remote agent's events is waited for, where there are more agents than
/// [`SUBSCRIPTIONS_PER_CONNECTION`]: less than the 30 s that a daemon grants.
pub const REMOTE_PAGE_WAIT: Duration = Duration::from_secs(20);

/// Letters of a text in an error: a path of any length that Linux has, and no whole message.
pub const ERROR_CHARS: usize = 4096;
/// Letters of a request's identifier that are logged: enough to find it by, whoever made it up.
pub const LOGGED_ID_CHARS: usize = 64;

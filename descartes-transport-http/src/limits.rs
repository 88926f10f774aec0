//! Every bound of this transport, with its reason.

use std::time::Duration;

use descartes_rpc::connection::ConnectionLimits;

/// A JSON-RPC request, on every transport.
pub(crate) const MAX_REQUEST_BYTES: usize = 1 << 20;
/// What a stream hands to the socket at once: enough to amortise a write, little to lose.
pub(crate) const MAX_FRAME_BYTES: usize = 64 << 10;
/// hyper's read and write buffers of one connection; also the longest request head.
pub(crate) const MAX_BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a refused body that are read away, so that the refusal reaches its sender.
pub(crate) const MAX_DISCARDED_BYTES: u64 = 16 << 20;
/// How long a refused body is read away; a busy machine needs more than a second for a mebibyte.
pub(crate) const DISCARD_TIME: Duration = Duration::from_secs(10);
/// How long a request body may come at any pace.
pub(crate) const BODY_GRACE: Duration = Duration::from_secs(10);
/// Bytes of a body that buy another second after that: far slower than any network, much faster
/// than a peer that only wants to keep its place.
pub(crate) const BODY_RATE: u64 = 1024;
/// Pairs in a query string; a subscription names at most this many topics there.
pub(crate) const MAX_QUERY_PAIRS: usize = 128;
/// Rows of a log that are asked for at once, and so held for a reader that is slow to take them;
/// the service ends a page at a mebibyte anyway.
pub(crate) const LOG_PAGE_ROWS: u32 = 1000;
/// Milliseconds that one call waits for the next row of a log: the longest that it may.
pub(crate) const LOG_WAIT_MILLIS: u64 = 30_000;
/// Milliseconds after which an `EventSource` reconnects.
pub(crate) const RETRY_MILLIS: u64 = 1000;
/// Steps of requests (four each) that a connection still takes when it is shut down: what its socket
/// can hold of small ones. Who sends more has heard of it.
pub(crate) const DRAIN_STEPS: u32 = 4 * 4096;

/// What one read of a WebSocket takes at least: some dozens of small calls that came together.
pub(crate) const WS_READ_BUFFER: usize = 8 << 10;
/// What one read of a WebSocket takes at most, when a long message is under way.
pub(crate) const WS_READ_MOST: usize = 64 << 10;
/// What is written at once; more adds latency and saves nothing.
pub(crate) const WS_WRITE_BUFFER: usize = 64 << 10;
/// The write buffer that is kept for the next answers; a larger one is given back when it is empty,
/// this one too when nothing happens until the next ping.
pub(crate) const WS_KEPT_BUFFER: usize = 16 << 10;
/// How long a peer may take to take the close frame, and then to leave.
pub(crate) const WS_CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Control frames, or reads, that are dealt with before others get their turn.
pub(crate) const WS_CONTROL_PER_TURN: usize = 128;
/// Connections beyond all room that are heard out, so that a WebSocket can be told why in a close
/// frame, which is all that a page of a browser sees; more are refused unheard. Few, because they
/// take descriptors that nobody has counted on.
pub(crate) const LOBBY: usize = 8;
/// How long one of them may say nothing before it is refused unheard too.
pub(crate) const LOBBY_SILENCE: Duration = Duration::from_secs(1);

/// The bounds of an HTTP server; the defaults are those of the daemon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Longest body of a request, in bytes (413 beyond).
    pub request_bytes: usize,
    /// From the first byte of a request head to its last; a connection that never sends one has
    /// the same time.
    pub header_deadline: Duration,
    /// From the end of the head to the end of the body; one that comes slower than 1 KiB a second
    /// has less.
    pub body_deadline: Duration,
    /// A connection between two requests is closed after this time; a WebSocket never is.
    pub idle_timeout: Duration,
    /// A peer that takes no byte for this time, while there is something for it, is cut.
    pub stall_timeout: Duration,
    /// The same while the server drains.
    pub drain_stall_timeout: Duration,
    /// How long requests may go on after the shutdown began; then connections are cut.
    pub drain: Duration,
    /// Silence on an event stream after which a comment is sent.
    pub heartbeat: Duration,
    /// How long a WebSocket on which nobody is known may wait for `auth.login`.
    pub login: Duration,
    /// Time between two pings on a WebSocket; a peer that sends nothing between them is cut.
    pub ping: Duration,
    /// Connections of one address that is not loopback.
    pub connections_per_address: usize,
    /// Connections that have not yet sent a whole request; beyond it the oldest is cut.
    pub newcomers: usize,
    /// The bounds of a WebSocket as a connection; its longest message and its times are those of
    /// this struct.
    pub websocket: ConnectionLimits,
}

impl HttpLimits {
    /// How long a body may take of which so many bytes have come.
    pub(crate) fn body_time(&self, bytes: u64) -> Duration {
        self.body_deadline.min(BODY_GRACE + Duration::from_secs(bytes / BODY_RATE))
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            request_bytes: MAX_REQUEST_BYTES,
            header_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            stall_timeout: Duration::from_secs(30),
            drain_stall_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            login: descartes_rpc::limits::LOGIN_DEADLINE,
            ping: Duration::from_secs(20),
            connections_per_address: 64,
            newcomers: 256,
            websocket: ConnectionLimits::default(),
        }
    }
}

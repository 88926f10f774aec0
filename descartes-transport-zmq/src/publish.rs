//! The publishing side: what happens, for whoever subscribed (PUB, served as XPUB).
//!
//! A message is one frame: the topic, a space, the event as JSON (on `chat/…` the chunk, with the
//! event's members beside it). Each subscriber reads the journal at its own pace: one that takes
//! nothing costs a position and what its socket holds, one that is slow gets history, one that wants
//! nothing costs nothing. What was trimmed before a subscriber came to it is a hole in `offset`.

mod follow;
mod frame;
mod prefixes;
mod seldom;
mod subscriber;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use descartes_rpc::{
    auth::Authenticator,
    meter::Meter,
    peer::Peer,
    router::PUBLISHER,
    same_user::{KernelLookup, UidLookup},
    service::RpcService,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    limits,
    server::{
        BindError, ZmqConfig,
        gate::{Gate, Host, Wire},
    },
    zmtp::{SocketType, ZmtpLimits, ZmtpSocket},
};
use seldom::Seldom;
use subscriber::{Patience, serve_subscriber};

/// Where and for whom to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishConfig {
    /// The TCP address to listen on, if any; port 0 takes any free one.
    pub tcp: Option<SocketAddr>,
    /// A socket that listens already; it is served in place of one at the TCP address.
    pub given: Option<Arc<std::net::TcpListener>>,
    /// The Unix socket to listen on, if any; its directory is made if it is missing.
    pub ipc: Option<PathBuf>,
    /// Whether a loopback peer of the same user needs no credentials. The daemon says no in a
    /// container, where loopback proves nothing.
    pub trust_loopback: bool,
    /// Tells who comes by TCP with credentials (PLAIN: a key or token as the password). Where it
    /// says that they are required, everybody by TCP has to have some; the Unix socket stays the
    /// own user's.
    pub auth: Option<Authenticator>,
    /// The user whose programs are admitted beside root's; the one of this process.
    pub own_uid: u32,
    /// How the owner of a TCP peer's socket is found; for the Unix socket it is the kernel.
    pub uid_lookup: Arc<dyn UidLookup>,
    /// One permit is one connection; share it between transports to bound them together.
    pub connections: Arc<Semaphore>,
    /// Connections of one address that is not loopback.
    pub connections_per_address: usize,
    /// Connections that have not ended their handshake; beyond it the oldest is cut.
    pub newcomers: usize,
    /// A subscriber that takes no byte of what waits for it for so long is cut.
    pub stall: Duration,
    /// The same after the shutdown began.
    pub stall_draining: Duration,
    /// The bounds of the wire.
    pub zmtp: ZmtpLimits,
    /// How long subscribers may take what was committed before the shutdown; then they are cut.
    pub drain: Duration,
    /// Cancelled, nobody is accepted any more, while those who are connected are served as before
    /// until the server is told to stop.
    pub closing: CancellationToken,
    /// Where it is counted who comes and who is refused.
    pub meter: Meter,
}

impl PublishConfig {
    /// Publishes for the own user, nowhere yet: name [`tcp`](Self::tcp), [`ipc`](Self::ipc), or
    /// both.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tcp: None,
            given: None,
            ipc: None,
            trust_loopback: true,
            auth: None,
            own_uid: rustix::process::geteuid().as_raw(),
            uid_lookup: Arc::new(KernelLookup),
            connections: Arc::new(Semaphore::new(limits::CONNECTIONS)),
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            newcomers: limits::NEWCOMERS,
            stall: descartes_rpc::limits::STALL,
            stall_draining: descartes_rpc::limits::STALL_DRAINING,
            zmtp: ZmtpLimits { message_bytes: limits::SUBSCRIPTION_BYTES, ..ZmtpLimits::default() },
            drain: limits::DRAIN,
            closing: CancellationToken::new(),
            meter: Meter::default(),
        }
    }

    /// The same to those who let peers in.
    fn of_gate(self) -> ZmqConfig {
        let mut gate = ZmqConfig::new();
        gate.tcp = self.tcp;
        gate.given = self.given;
        gate.ipc = self.ipc;
        gate.trust_loopback = self.trust_loopback;
        gate.auth = self.auth;
        gate.own_uid = self.own_uid;
        gate.uid_lookup = self.uid_lookup;
        gate.connections = self.connections;
        gate.connections_per_address = self.connections_per_address;
        gate.newcomers = self.newcomers;
        gate.limits.stall = self.stall;
        gate.limits.stall_draining = self.stall_draining;
        gate.zmtp = self.zmtp;
        gate.drain = self.drain;
        gate.closing = self.closing;
        gate.meter = self.meter;
        gate.counted_as = PUBLISHER;
        gate
    }
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Sockets that nobody is served on yet. Dropped, they are closed and the path is free again.
///
/// A SUB or XSUB of any ZeroMQ gets the events whose messages begin with what it subscribed to,
/// from the moment at which its subscription has come in. Subscriptions are counted. Anything else
/// that a peer sends is ignored.
#[derive(Debug)]
pub struct PublishTransport {
    gate: Gate,
}

impl PublishTransport {
    /// Takes the addresses. Everything that can fail at start fails here; connections wait in the
    /// backlog until [`PublishTransport::serve`].
    ///
    /// # Errors
    ///
    /// [`BindError::InUse`] when another program has the port, or a living server the path.
    pub async fn bind(config: PublishConfig) -> Result<Self, BindError> {
        Gate::bind(config.of_gate()).map(|gate| Self { gate })
    }

    /// Where it listens for TCP, with the port that was found.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.gate.local_addr()
    }

    /// The Unix socket.
    #[must_use]
    pub fn ipc_path(&self) -> Option<&Path> {
        self.gate.ipc_path()
    }

    /// Publishes until `shutdown` completes; then sends what was committed by that time, and cuts
    /// who has not taken it after the drain limit. Returns when nobody is connected any more.
    /// Dropping the future stops accepting, removes the socket and leaves connections to the
    /// runtime.
    ///
    /// Events are read by `event.subscribe` of `rpc`, as whoever the subscriber is.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the sockets.
    pub async fn serve<S: RpcService>(
        self,
        rpc: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let limits = self.gate.config().limits;
        let patience = Patience { stall: limits.stall, stall_draining: limits.stall_draining };
        self.gate.serve(Publisher { rpc, patience, log: Mutex::default() }, shutdown).await
    }
}

/// Serves subscribers.
struct Publisher<S> {
    rpc: S,
    patience: Patience,
    log: Mutex<Seldom>,
}

impl<S: RpcService> Host for Publisher<S> {
    const SOCKET: SocketType = SocketType::XPub;

    async fn serve<IO: Wire>(
        &self,
        socket: ZmtpSocket<IO>,
        peer: Peer,
        drain: CancellationToken,
    ) -> io::Result<()> {
        let rpc = self.rpc.clone();
        let served = serve_subscriber(rpc, peer, socket, self.patience, drain.cancelled()).await;
        if let Err(error) = &served
            && error.kind() == io::ErrorKind::QuotaExceeded
            && self.log.lock().unwrap_or_else(PoisonError::into_inner).is_due()
        {
            tracing::warn!(most = limits::PREFIXES, "a subscriber was cut: {error}");
        }
        served
    }
}

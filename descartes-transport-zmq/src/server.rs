//! The server: REQ and DEALER ask, a ROUTER answers.

mod activity;
mod conversation;
mod envelope;
pub(crate) mod gate;
mod registry;
mod router;
mod signal;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use descartes_rpc::{
    auth::Authenticator,
    connection::ConnectionLimits,
    meter::Meter,
    same_user::{KernelLookup, UidLookup},
    service::RpcService,
    socket_path,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{limits, zmtp::ZmtpLimits};
use gate::Gate;
use router::Router;

/// The name of this transport in peers, logs and metrics.
pub(crate) const TRANSPORT: &str = "zmq";

/// Where and for whom to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ZmqConfig {
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
    /// The bounds of each conversation; `stall`, `idle` and `unsent_bytes` are those of the
    /// connection as a whole.
    pub limits: ConnectionLimits,
    /// The bounds of the wire.
    pub zmtp: ZmtpLimits,
    /// How long calls may go on after the shutdown began; then connections are cut.
    pub drain: Duration,
    /// Cancelled, nobody is accepted any more, while those who are connected are served as before
    /// until the server is told to stop.
    pub closing: CancellationToken,
    /// Where it is counted who comes and who is refused.
    pub meter: Meter,
    /// What its connections are counted as.
    pub(crate) counted_as: &'static str,
}

impl ZmqConfig {
    /// Serves the own user, nowhere yet: name [`tcp`](Self::tcp), [`ipc`](Self::ipc), or both.
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
            limits: ConnectionLimits::default(),
            zmtp: ZmtpLimits::default(),
            drain: limits::DRAIN,
            closing: CancellationToken::new(),
            meter: Meter::default(),
            counted_as: TRANSPORT,
        }
    }
}

impl Default for ZmqConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Why an address could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Neither a TCP address nor a path was given.
    #[error("there is no address to listen on")]
    Nowhere,
    /// Somebody else listens there.
    #[error("{endpoint} is in use")]
    InUse {
        /// What was asked for, as clients write it (`tcp://…`, `ipc://…`).
        endpoint: String,
    },
    /// Somebody else owns the directory or may write to it.
    #[error("{} is not a directory that only its owner can write to", directory.display())]
    UnsafeDirectory {
        /// The directory of the socket.
        directory: PathBuf,
    },
    /// There is a file of another sort, which is not ours to remove.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The system refuses it.
    #[error("cannot listen on {endpoint}")]
    Refused {
        /// What was asked for, as clients write it (`tcp://…`, `ipc://…`).
        endpoint: String,
        /// What the system says.
        source: io::Error,
    },
}

impl BindError {
    /// Why `path` could not be taken.
    fn of(path: &Path, error: socket_path::BindError) -> Self {
        let endpoint = format!("ipc://{}", path.display());
        match error {
            socket_path::BindError::InUse { .. } => Self::InUse { endpoint },
            socket_path::BindError::UnsafeDirectory { directory } => {
                Self::UnsafeDirectory { directory }
            }
            socket_path::BindError::NotASocket { path } => Self::NotASocket { path },
            socket_path::BindError::Refused { source, .. } => Self::Refused { endpoint, source },
            other => Self::Refused { endpoint, source: io::Error::other(other) },
        }
    }
}

/// Sockets that nobody is served on yet. Dropped, they are closed and the path is free again.
///
/// A REQ or DEALER of any ZeroMQ calls methods by JSON-RPC, in JSON or in MessagePack: the first
/// byte of a message tells, and its answer comes back in the same language behind the same envelope
/// (the frames up to the first empty one, if there is one). Each envelope and language of a
/// connection is a conversation with its own subscriptions, waits and order.
///
/// A map of MessagePack with a member `type` is the agent protocol ([`crate::protocol`]). In
/// JSON-RPC in MessagePack, `bin` is taken as the base64 text that JSON has in its place; answers are
/// text. A number that 64 bits cannot say is an extension of type 78 whose data is its text, in both
/// directions.
#[derive(Debug)]
pub struct ZmqTransport {
    gate: Gate,
}

impl ZmqTransport {
    /// Takes the addresses. Everything that can fail at start fails here; connections wait in the
    /// backlog until [`ZmqTransport::serve`].
    ///
    /// A TCP address beyond loopback is taken too, and nobody is let in from there without
    /// credentials: the rule of the same user says nothing about other machines.
    ///
    /// # Errors
    ///
    /// [`BindError::InUse`] when another program has the port, or a living server the path.
    pub async fn bind(config: ZmqConfig) -> Result<Self, BindError> {
        Gate::bind(config).map(|gate| Self { gate })
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

    /// Serves until `shutdown` completes; then reads nothing more, finishes what was begun, and
    /// cuts what is left after the drain limit. Returns when nobody is connected any more. Dropping
    /// the future stops accepting, removes the socket and leaves connections to the runtime.
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
        self.gate.serve(Router::new(rpc, limits), shutdown).await
    }
}

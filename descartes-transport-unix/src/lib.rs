//! Descartes over a Unix socket: one JSON-RPC message a line, long-lived, pipelined.
//!
//! [`UnixTransport`] serves; with the feature `client` (default) there is `UnixClient`, the other
//! side for the typed [`Client`](descartes_rpc::client::Client). Who may come in is the kernel's
//! word: the same user and root, by the credentials of the peer; directory and socket keep
//! everybody else from the door.

mod accept;
#[cfg(feature = "client")]
mod connect;
mod limits;
mod lines;
mod peer;
mod refusal;

use std::{
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use descartes_rpc::{connection::ConnectionLimits, meter::Meter, socket_path::Claim};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "client")]
pub use connect::UnixClient;
pub use descartes_rpc::socket_path::BindError;
pub use peer::{Credentials, CredentialsLookup, KernelCredentials};

/// The mode of a socket that a group may connect to.
const OWNER_AND_GROUP: u32 = 0o660;

/// Where and for whom to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnixConfig {
    /// The socket; its directory is made if it is missing.
    pub path: PathBuf,
    /// A socket that listens already; it is served in place of one at that path, and stays where it
    /// is.
    pub given: Option<Arc<UnixListener>>,
    /// A group whose users may connect as well, where the directory lets them pass; who they are is
    /// decided as for everybody. The owner alone when absent.
    pub group: Option<u32>,
    /// The user whose programs are admitted beside root's; the one of this process.
    pub own_uid: u32,
    /// How a peer's user is found.
    pub credentials: Arc<dyn CredentialsLookup>,
    /// The bounds of each connection.
    pub limits: ConnectionLimits,
    /// Whether other users who can reach the socket may log in; otherwise they are refused.
    pub logins: bool,
    /// One permit is one connection; share it between transports to bound them together.
    pub connections: Arc<Semaphore>,
    /// Connections beyond that which are kept for this socket, so that its owner gets in although
    /// everything else is full.
    pub reserved_connections: usize,
    /// How long calls may go on after the shutdown began; then connections are cut.
    pub drain: Duration,
    /// Cancelled, nobody is accepted any more, while those who are connected are served as before
    /// until the server is told to stop.
    pub closing: CancellationToken,
    /// Where it is counted who comes and who is refused.
    pub meter: Meter,
}

impl UnixConfig {
    /// Serves the own user at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            given: None,
            group: None,
            own_uid: rustix::process::geteuid().as_raw(),
            credentials: Arc::new(KernelCredentials),
            limits: ConnectionLimits::default(),
            logins: false,
            connections: Arc::new(Semaphore::new(limits::CONNECTIONS)),
            reserved_connections: limits::RESERVED_CONNECTIONS,
            drain: limits::DRAIN,
            closing: CancellationToken::new(),
            meter: Meter::default(),
        }
    }
}

/// A socket that nobody is served on yet. Dropped, it is removed.
#[derive(Debug)]
pub struct UnixTransport {
    listener: UnixListener,
    /// The right to the path; none to that of a given socket.
    claim: Option<Claim>,
    config: UnixConfig,
}

impl UnixTransport {
    /// Takes the path: makes the directory, replaces what a dead server left behind, listens.
    /// Everything that can fail at start fails here; connections wait in the backlog until
    /// [`UnixTransport::serve`].
    ///
    /// # Errors
    ///
    /// [`BindError::InUse`] when a living server has the socket.
    pub fn bind(mut config: UnixConfig) -> Result<Self, BindError> {
        if let Some(given) = config.given.take() {
            return Self::on(given, config);
        }
        let (claim, listener) = Claim::take(&config.path)?;
        if let Some(group) = config.group {
            open_to(&config.path, group)
                .map_err(|source| BindError::Refused { path: config.path.clone(), source })?;
        }
        Ok(Self { listener, claim: Some(claim), config })
    }

    fn on(given: Arc<UnixListener>, mut config: UnixConfig) -> Result<Self, BindError> {
        let taken = || {
            let listener = Arc::try_unwrap(given).or_else(|shared| shared.try_clone())?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address.as_pathname().map(Path::to_owned)))
        };
        let (listener, path) =
            taken().map_err(|source| BindError::Refused { path: config.path.clone(), source })?;
        config.path = path.unwrap_or(config.path);
        Ok(Self { listener, claim: None, config })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.path
    }
}

/// Lets users of `group` connect.
fn open_to(path: &Path, group: u32) -> std::io::Result<()> {
    std::os::unix::fs::chown(path, None, Some(group))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(OWNER_AND_GROUP))
}

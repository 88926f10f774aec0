//! The daemon's own server: bind, accept, and what `axum::serve` leaves out.
//!
//! Every connection has deadlines for its head, its body, its silence and its standing still;
//! there are bounds on how many there are, and a shutdown that ends.

mod accept;
mod driver;
mod io;
mod long_head;
mod registry;
mod secure;
mod socket;
mod state;
mod upgraded;

use std::{io as std_io, net::SocketAddr, sync::Arc};

#[cfg(feature = "tls")]
use descartes_rpc::Swap;
use descartes_rpc::{
    limits::BACKLOG,
    same_user::{KernelLookup, SameUser, UidLookup},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "tls")]
use crate::tls::Identity;
use crate::{caller::TRANSPORT, options::HttpOptions};

pub(crate) use state::{AnswerEnd, ConnectionState, Phase};
pub(crate) use upgraded::Upgraded;

/// Connections of a daemon that has no budget of its own.
const CONNECTIONS: usize = 4096;

/// Where and for whom to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where to listen; port 0 takes any free one.
    pub address: SocketAddr,
    /// A socket that listens already; it is served in place of one at that address.
    pub given: Option<Arc<std::net::TcpListener>>,
    /// How the routes behave. Its `caller` is not used here: the peer's user decides.
    pub options: HttpOptions,
    /// Whether a loopback peer of the same user needs no credentials. The daemon says no in a
    /// container, where loopback proves nothing.
    pub trust_loopback: bool,
    /// The user whose programs are admitted beside root's; the one of this process.
    pub own_uid: u32,
    /// How the owner of a peer's socket is found.
    pub uid_lookup: Arc<dyn UidLookup>,
    /// One permit is one connection; share it between transports to bound them together.
    pub connections: Arc<Semaphore>,
    /// Cancelled, nobody is accepted any more, while those who are connected are served as before
    /// until the server is told to stop.
    pub closing: CancellationToken,
    /// What is shown to whoever connects: with it the port is one of `https://` and `wss://`, and
    /// only of these. It may be replaced while the server serves.
    #[cfg(feature = "tls")]
    pub tls: Option<Swap<Identity>>,
}

impl HttpConfig {
    /// Serves the own user on `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            given: None,
            options: HttpOptions::default(),
            trust_loopback: true,
            own_uid: rustix::process::geteuid().as_raw(),
            uid_lookup: Arc::new(KernelLookup),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            closing: CancellationToken::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{address} is in use")]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The system refuses it.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std_io::Error,
    },
}

/// Opens the port with room for a burst: one more than the runtime's usual 128 at once, and the
/// kernel lets each wait a second before it asks again.
fn listen(address: SocketAddr) -> std_io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the runtime does: a port that ended connections still name can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that somebody else has opened; it is ours alone if nobody else keeps it.
fn take(given: Arc<std::net::TcpListener>) -> std_io::Result<TcpListener> {
    let listener = Arc::try_unwrap(given).or_else(|shared| shared.try_clone())?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// An open port that nobody is served on yet.
#[derive(Debug)]
pub struct HttpTransport {
    listener: TcpListener,
    address: SocketAddr,
    config: HttpConfig,
}

impl HttpTransport {
    /// Opens the port. Everything that can fail at start fails here; connections wait in the
    /// backlog until [`HttpTransport::serve`].
    ///
    /// # Errors
    ///
    /// [`BindError::InUse`] when another program has the port.
    pub async fn bind(mut config: HttpConfig) -> Result<Self, BindError> {
        let given = config.given.take();
        let refused = |source: std_io::Error| match source.kind() {
            std_io::ErrorKind::AddrInUse => BindError::InUse { address: config.address },
            _ => BindError::Refused { address: config.address, source },
        };
        let listener = match given {
            Some(given) => take(given).map_err(refused)?,
            None => listen(config.address).map_err(refused)?,
        };
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, config })
    }

    /// Where it listens, with the port that was found.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn rule(&self) -> SameUser {
        let config = &self.config;
        let lookup = Arc::clone(&config.uid_lookup);
        SameUser::new(TRANSPORT, config.own_uid, config.trust_loopback, lookup)
    }
}

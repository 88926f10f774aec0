//! The gate: listens, lets in who may come, shakes hands, and ends.
//!
//! What is done with a connection after its handshake is its host's.

use std::{
    io,
    net::SocketAddr,
    os::unix::net::UnixListener as StdUnixListener,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use descartes_rpc::{
    accept::accept,
    auth::{Authenticator, Principal},
    error::{ErrorKind, RpcError},
    limits::BACKLOG,
    meter::{AuthFailure, Connected, Rejection},
    peer::Peer,
    same_user::{SameUser, Stranger},
    socket_path::Claim,
};
use futures_util::{FutureExt, future::FusedFuture};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BindError, TRANSPORT, ZmqConfig,
    registry::{Registry, Seat},
};
use crate::{
    limits::UNFINISHED_BYTES,
    zmtp::{HandshakeError, SocketType, Unfinished, ZmtpSocket},
};

/// What is done with those who have come in.
pub(crate) trait Host: Send + Sync + 'static {
    /// What our end is.
    const SOCKET: SocketType;

    /// Serves a peer that was let in, until it leaves or, once `drain` is cancelled, all is said.
    fn serve<IO: Wire>(
        &self,
        socket: ZmtpSocket<IO>,
        peer: Peer,
        drain: CancellationToken,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Tells one that may not come in why, if there is a way to. It may be cut at any time.
    fn refuse<IO: Wire>(
        &self,
        socket: ZmtpSocket<IO>,
        stranger: Stranger,
    ) -> impl Future<Output = io::Result<()>> + Send {
        drop(socket);
        tracing::debug!(?stranger, "closed the connection of a stranger");
        std::future::ready(Ok(()))
    }
}

/// What a connection is made of.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

/// Sockets that nobody is served on yet.
#[derive(Debug)]
pub(crate) struct Gate {
    tcp: Option<(TcpListener, SocketAddr)>,
    ipc: Option<(StdUnixListener, Claim)>,
    config: ZmqConfig,
}

/// What all connections of a server share.
struct Shared<H> {
    host: H,
    config: ZmqConfig,
    rule: SameUser,
    registry: Arc<Registry>,
    tasks: TaskTracker,
    unfinished: Arc<Unfinished>,
    /// Finish what was begun.
    drain: CancellationToken,
}

impl Gate {
    /// Takes the addresses; connections wait in the backlog until [`Gate::serve`].
    pub(crate) fn bind(mut config: ZmqConfig) -> Result<Self, BindError> {
        let given = config.given.take();
        if config.tcp.is_none() && config.ipc.is_none() && given.is_none() {
            return Err(BindError::Nowhere);
        }
        let take = |path| Claim::take(path).map_err(|error| BindError::of(path, error));
        let ipc = config.ipc.as_deref().map(take).transpose()?;
        let ipc = ipc.map(|(claim, listener)| (listener, claim));
        let tcp = match given {
            Some(given) => Some(take_over(given)?),
            None => config.tcp.map(listen).transpose()?,
        };
        Ok(Self { tcp, ipc, config })
    }

    /// Where it listens for TCP, with the port that was found.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|(_, address)| *address)
    }

    /// The Unix socket.
    pub(crate) fn ipc_path(&self) -> Option<&Path> {
        self.config.ipc.as_deref()
    }

    pub(crate) const fn config(&self) -> &ZmqConfig {
        &self.config
    }

    /// Serves until `shutdown` completes; then accepts nobody, lets the host finish, and cuts what
    /// is left after the drain limit. Returns when nobody is connected any more.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the sockets.
    pub(crate) async fn serve<H: Host>(
        self,
        host: H,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Self { tcp, ipc, config } = self;
        let ipc = match ipc {
            Some((listener, claim)) => Some((UnixListener::from_std(listener)?, claim)),
            None => None,
        };
        let lookup = Arc::clone(&config.uid_lookup);
        let rule = SameUser::new(TRANSPORT, config.own_uid, config.trust_loopback, lookup);
        let shared = Arc::new(Shared {
            host,
            rule,
            registry: Registry::new(config.newcomers, config.connections_per_address),
            tasks: TaskTracker::new(),
            unfinished: Unfinished::new(UNFINISHED_BYTES),
            drain: CancellationToken::new(),
            config,
        });
        let closed = CancellationToken::new();
        let by_tcp = async {
            if let Some((listener, _)) = &tcp {
                shared.let_in(listener, &closed).await;
            }
        };
        let by_ipc = async {
            if let Some((listener, _)) = &ipc {
                shared.let_in(listener, &closed).await;
            }
        };
        let mut shutdown = pin!(shutdown.fuse());
        let close = async {
            tokio::select! {
                () = shared.config.closing.cancelled() => {}
                () = &mut shutdown => {}
            }
            closed.cancel();
        };
        tokio::join!(by_tcp, by_ipc, close);
        drop((tcp, ipc));
        if !shutdown.is_terminated() {
            shutdown.await;
        }
        shared.end().await;
        Ok(())
    }
}

/// Opens the port with room for a burst: one more than the runtime's usual 128 at once, and the
/// kernel lets each wait a second before it asks again.
fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As the runtime does: a port that ended connections still name can be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let found = listener.local_addr()?;
        Ok((listener, found))
    };
    open().map_err(|source: io::Error| {
        let endpoint = format!("tcp://{address}");
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { endpoint },
            _ => BindError::Refused { endpoint, source },
        }
    })
}

/// A socket that somebody else has opened; it is ours alone if nobody else keeps it.
fn take_over(given: Arc<std::net::TcpListener>) -> Result<(TcpListener, SocketAddr), BindError> {
    let take = || {
        let listener = Arc::try_unwrap(given).or_else(|shared| shared.try_clone())?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, address))
    };
    take()
        .map_err(|source| BindError::Refused { endpoint: "tcp: a given socket".to_owned(), source })
}

/// A listener of either kind.
trait Door: Sync + 'static {
    type Stream: Wire;
    /// Whether whoever comes by it needs credentials where they are required.
    const NEEDS_CREDENTIALS: bool;

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, Option<SocketAddr>)>>;

    /// Makes the connection ready to be used, and says whose it is.
    fn judge(
        stream: &Self::Stream,
        address: Option<SocketAddr>,
        rule: &SameUser,
        stall: Duration,
    ) -> io::Result<Result<Peer, Stranger>>;

    /// The other end without what its connection is worth.
    fn unknown(stream: &Self::Stream, address: Option<SocketAddr>, rule: &SameUser) -> Peer;
}

impl Door for TcpListener {
    type Stream = TcpStream;
    const NEEDS_CREDENTIALS: bool = true;

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, Option<SocketAddr>)>> {
        self.poll_accept(cx).map_ok(|(stream, address)| (stream, Some(address)))
    }

    fn judge(
        stream: &TcpStream,
        address: Option<SocketAddr>,
        rule: &SameUser,
        stall: Duration,
    ) -> io::Result<Result<Peer, Stranger>> {
        stream.set_nodelay(true)?;
        // A peer that has vanished is noticed: no farewell of it will ever come.
        set_tcp_user_timeout(stream, u32::try_from(stall.as_millis()).unwrap_or(u32::MAX))?;
        let server = stream.local_addr()?;
        Ok(address.ok_or(Stranger::Unknown).and_then(|peer| rule.judge(peer, server)))
    }

    fn unknown(stream: &TcpStream, address: Option<SocketAddr>, rule: &SameUser) -> Peer {
        match (address, stream.local_addr()) {
            (Some(peer), Ok(server)) => rule.unknown(peer, server),
            _ => Peer::new(TRANSPORT),
        }
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;
    const NEEDS_CREDENTIALS: bool = false;

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(UnixStream, Option<SocketAddr>)>> {
        self.poll_accept(cx).map_ok(|(stream, _)| (stream, None))
    }

    fn judge(
        stream: &UnixStream,
        _address: Option<SocketAddr>,
        rule: &SameUser,
        _stall: Duration,
    ) -> io::Result<Result<Peer, Stranger>> {
        let found = match stream.peer_cred() {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the user of a connection could not be told");
                return Ok(Err(Stranger::Unknown));
            }
        };
        let pid = found.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        Ok(rule.judge_local(found.uid(), pid))
    }

    fn unknown(_: &UnixStream, _: Option<SocketAddr>, _: &SameUser) -> Peer {
        Peer::new(TRANSPORT)
    }
}

async fn connection<D: Door, H: Host>(
    shared: Arc<Shared<H>>,
    stream: D::Stream,
    address: Option<SocketAddr>,
    seat: Seat,
) {
    let stall = shared.config.limits.stall;
    let judged = match D::judge(&stream, address, &shared.rule, stall) {
        Ok(judged) => judged,
        Err(error) => {
            tracing::debug!(?address, %error, "a connection has gone already");
            return;
        }
    };
    let auth = shared.config.auth.as_ref().filter(|_| D::NEEDS_CREDENTIALS);
    let guard = auth.filter(|auth| auth.is_required());
    let nobody = nobody_at(address);
    // Who it is without a name: with what its connection is worth, where that counts.
    let unnamed = match &judged {
        Ok(peer) if guard.is_none() => peer.clone(),
        _ if auth.is_some() => D::unknown(&stream, address, &shared.rule),
        _ => nobody.clone(),
    };
    let connection_id = unnamed.connection_id();
    let served = async {
        let (mut socket, principal) = match shake::<_, H>(&shared, stream, auth, &nobody).await {
            Ok(shaken) => shaken,
            Err(error) => {
                if let (Some(auth), HandshakeError::Mechanism { .. }) = (guard, &error) {
                    auth.turned_away(&nobody, &no_credentials());
                }
                tracing::debug!(connection_id, ?address, %error, "no handshake");
                shared.count_failed(&error);
                return Ok(());
            }
        };
        socket.share(&shared.unfinished);
        let peer = match principal {
            Some(principal) => Ok(unnamed.with_principal(principal)),
            None => judged,
        };
        match peer {
            Ok(peer) => {
                seat.settle();
                serve(&shared, socket, peer.counted_by(shared.config.meter.clone())).await
            }
            // Who may not come in stays a newcomer, so that room is made of it first.
            Err(stranger) => {
                let (why, error) = (Rejection::Unauthenticated, stranger.error());
                shared.config.meter.refused(TRANSPORT, why, &error);
                if let Some(auth) = &shared.config.auth {
                    auth.turned_away(&nobody, &error);
                }
                tokio::select! {
                    () = shared.drain.cancelled() => Ok(()),
                    refused = shared.host.refuse(socket, stranger) => refused,
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = seat.cut_ordered() => tracing::debug!(connection_id, ?address, "connection cut"),
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(connection_id, ?address, %error, "connection ended");
            }
        }
    }
}

/// A peer of which nothing is known but its address.
fn nobody_at(address: Option<SocketAddr>) -> Peer {
    let nobody = Peer::new(TRANSPORT);
    address.into_iter().fold(nobody, |one, at| one.with_address(at.to_string()))
}

/// Shakes hands; whoever shows credentials that are not valid, or none where `auth` says that they
/// are required, hears nothing but that.
async fn shake<IO: Wire, H: Host>(
    shared: &Shared<H>,
    stream: IO,
    auth: Option<&Authenticator>,
    nobody: &Peer,
) -> Result<(ZmtpSocket<IO>, Option<Principal>), HandshakeError> {
    let limits = shared.config.zmtp;
    let Some(auth) = auth else {
        return Ok((ZmtpSocket::accept(stream, H::SOCKET, limits).await?, None));
    };
    let check = |credentials| async move {
        let found = auth.authenticate(&credentials, nobody.address()).await;
        found.map_err(|error| {
            auth.turned_away(nobody, &error);
            if error.is_retryable() {
                HandshakeError::Later
            } else {
                HandshakeError::Unauthenticated
            }
        })
    };
    if !auth.is_required() {
        return ZmtpSocket::accept_any(stream, H::SOCKET, limits, check).await;
    }
    let (socket, principal) = ZmtpSocket::accept_plain(stream, H::SOCKET, limits, check).await?;
    Ok((socket, Some(principal)))
}

/// What audit hears of a peer that speaks no PLAIN; the peer hears that its mechanism does not fit.
fn no_credentials() -> RpcError {
    RpcError::new(ErrorKind::Unauthenticated, "credentials are needed").reason("no_credentials")
}

/// Serves a peer for as long as its credentials are valid.
async fn serve<IO: Wire, H: Host>(
    shared: &Shared<H>,
    socket: ZmtpSocket<IO>,
    peer: Peer,
) -> io::Result<()> {
    let drain = shared.drain.child_token();
    let over = async {
        peer.validity_over().await;
        drain.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = shared.host.serve(socket, peer.clone(), drain.clone()) => ended,
        () = over => Ok(()),
    }
}

impl<H: Host> Shared<H> {
    /// Lets connections in by one of the doors until they are `closed`.
    async fn let_in<D: Door>(self: &Arc<Self>, door: &D, closed: &CancellationToken) {
        let take = |(stream, address): (D::Stream, Option<SocketAddr>)| {
            let Some((seat, permit, connected)) = self.admit(address) else { return };
            let connection = connection::<D, H>(Arc::clone(self), stream, address, seat);
            self.tasks.spawn(async move {
                connection.await;
                drop((permit, connected));
            });
        };
        accept(|cx| door.poll_accept(cx), closed.cancelled(), take).await;
    }

    /// A place for a new connection. Nothing can be said before the handshake to one that has
    /// none, so it is closed.
    fn admit(
        &self,
        address: Option<SocketAddr>,
    ) -> Option<(Seat, OwnedSemaphorePermit, Connected)> {
        let meter = &self.config.meter;
        let Ok(permit) = Arc::clone(&self.config.connections).try_acquire_owned() else {
            meter.rejected(Rejection::TooManyConnections);
            tracing::debug!(?address, "refused a connection: there are too many");
            return None;
        };
        let Ok(seat) = self.registry.enter(address.map(|address| address.ip())) else {
            meter.rejected(Rejection::TooManyConnections);
            tracing::debug!(?address, "refused a connection: its address has too many");
            return None;
        };
        Some((seat, permit, meter.connected(self.config.counted_as)))
    }

    /// Counts a handshake that has failed, where that says something of the peer.
    fn count_failed(&self, error: &HandshakeError) {
        let meter = &self.config.meter;
        match error {
            HandshakeError::Io(_) | HandshakeError::Closed | HandshakeError::TimedOut(_) => {}
            HandshakeError::Unauthenticated | HandshakeError::Later => {
                meter.rejected(Rejection::Unauthenticated);
            }
            HandshakeError::Mechanism { ours, .. } if *ours == "PLAIN" => {
                meter.rejected(Rejection::Unauthenticated);
                meter.auth_failed(AuthFailure::NoCredentials);
            }
            _ => meter.rejected(Rejection::Malformed),
        }
    }

    /// Waits for the connections, and cuts them when the time is over.
    async fn end(&self) {
        self.drain.cancel();
        self.tasks.close();
        let mut left = pin!(self.tasks.wait());
        if timeout(self.config.drain, &mut left).await.is_err() {
            let connections = self.tasks.len();
            tracing::warn!(connections, "cutting connections that do not end");
            self.registry.cut();
            left.await;
        }
    }
}

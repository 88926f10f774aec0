//! Who is let in, and the life of one connection.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use descartes_rpc::{
    accept::accept,
    error::RpcError,
    meter::{Connected, Rejection},
    same_user::SameUser,
    service::RpcService,
};
use futures_util::{FutureExt, future::FusedFuture};
use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{
    HttpTransport,
    driver::drive,
    io::WatchedStream,
    registry::{Registry, Seat},
    secure::Opening,
    state::AnswerEnd,
    upgraded::Upgraded,
};
use crate::{
    caller::{Caller, Stranger, TRANSPORT},
    limits::{LOBBY, LOBBY_SILENCE, MAX_BUFFER_BYTES},
    refusal,
    service::{Link, Server},
    ws,
};

const PER_ADDRESS_KEY: &str = "server.max_connections_per_address";

/// What all connections of a server share.
struct Shared<S> {
    server: Server<S>,
    rule: SameUser,
    opening: Opening,
    registry: Arc<Registry>,
    connections: Arc<Semaphore>,
    lobby: Arc<Semaphore>,
}

/// What a connection holds as long as it lasts.
struct Place {
    /// There was no room: the connection is in the lobby, to hear so.
    full: bool,
    _permit: OwnedSemaphorePermit,
}

impl<S> Shared<S> {
    /// Who is at the other end, before it has said anything.
    fn caller(&self, peer: SocketAddr, local: SocketAddr) -> Caller {
        let unknown = || self.rule.unknown(peer, local);
        if self.server.options.needs_credentials() {
            return Caller::Stranger(Stranger::Credentials, unknown());
        }
        match self.rule.judge(peer, local) {
            Ok(peer) => Caller::Known(peer),
            Err(stranger) => Caller::Stranger(Stranger::User(stranger), unknown()),
        }
    }

    fn place(&self) -> Option<Place> {
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_owned().ok();
        let room = take(&self.connections).map(|_permit| Place { full: false, _permit });
        room.or_else(|| take(&self.lobby).map(|_permit| Place { full: true, _permit }))
    }

    /// Answers without reading and closes. The socket's send buffer is empty, so this cannot block.
    /// Over TLS nothing can be said before hands are shaken: there it only closes.
    fn refuse(&self, stream: TcpStream, status: StatusCode, error: RpcError) {
        if self.opening.is_secure() {
            tracing::debug!(%status, "a connection was refused before its handshake");
            return;
        }
        let told = stream.into_std().and_then(|mut stream| {
            stream.write_all(&refusal::raw(status, error))?;
            stream.shutdown(std::net::Shutdown::Write)
        });
        if let Err(error) = told {
            tracing::debug!(%error, "a refused connection has gone already");
        }
    }
}

/// What all requests of a connection share.
struct Connection<S> {
    shared: Arc<Shared<S>>,
    seat: Seat,
    caller: Caller,
    local: SocketAddr,
    place: Place,
    upgraded: Upgraded,
    /// Nothing for one that is only told that there is no room.
    connected: Option<Connected>,
}

impl HttpTransport {
    /// Serves until `shutdown` completes, then answers what has come by that time, ends event
    /// streams with `ended`, and cuts what is left after the drain limit. Returns when nobody is
    /// connected any more. Dropping the future stops accepting and leaves connections to the
    /// runtime.
    pub async fn serve<S: RpcService>(self, rpc: S, shutdown: impl Future<Output = ()> + Send) {
        let (rule, opening) = (self.rule(), Opening::of(&self.config));
        let Self { listener, config, .. } = self;
        let mut options = config.options;
        // A child: stopping this server must not cancel what the application hangs on its token.
        let streams = options.shutdown.child_token();
        options.shutdown = streams.clone();
        let limits = options.limits.clone();
        let registry = Registry::new(limits.newcomers, limits.connections_per_address);
        let server = Server::new(rpc, options);
        let shared = Arc::new(Shared {
            server,
            rule,
            opening,
            registry: Arc::clone(&registry),
            connections: config.connections,
            lobby: Arc::new(Semaphore::new(LOBBY)),
        });
        let tasks = TaskTracker::new();
        let mut shutdown = pin!(shutdown.fuse());
        let closed = async {
            tokio::select! {
                () = config.closing.cancelled() => {}
                () = &mut shutdown => {}
            }
        };
        let take = |(stream, peer)| {
            if let Some(connection) = admit(&shared, stream, peer) {
                tasks.spawn(connection);
            }
        };
        accept(|cx| listener.poll_accept(cx), closed, take).await;
        drop(listener);
        if !shutdown.is_terminated() {
            shutdown.await;
        }
        streams.cancel();
        registry.drain();
        tasks.close();
        end(&tasks, &registry, limits.drain).await;
    }
}

/// Waits for the connections, and cuts them when the time is over.
async fn end(tasks: &TaskTracker, registry: &Registry, drain: Duration) {
    let mut left = pin!(tasks.wait());
    if timeout(drain, &mut left).await.is_err() {
        tracing::warn!(connections = tasks.len(), "cutting connections that do not end");
        registry.cut();
        left.await;
    }
}

/// Gives a new connection its place, or refuses it with one answer.
fn admit<S: RpcService>(
    shared: &Arc<Shared<S>>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<impl Future<Output = ()> + Send + use<S>> {
    let Some(place) = shared.place() else {
        shared.server.options.meter.rejected(Rejection::TooManyConnections);
        shared.refuse(stream, StatusCode::SERVICE_UNAVAILABLE, refusal::full());
        return None;
    };
    let Ok(seat) = shared.registry.enter(peer.ip()) else {
        let max = shared.server.options.limits.connections_per_address as u64;
        let full = RpcError::exhausted(PER_ADDRESS_KEY, max, max);
        shared.server.options.meter.rejected(Rejection::TooManyConnections);
        shared.refuse(stream, StatusCode::TOO_MANY_REQUESTS, full);
        return None;
    };
    Some(connection(Arc::clone(shared), stream, peer, seat, place))
}

/// Lets answers go out at once, and a peer that has vanished be noticed: no farewell of it will
/// ever come, and what little an event stream sends fills no buffer for hours.
fn prepare(stream: &TcpStream, stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stall = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    Ok(set_tcp_user_timeout(stream, stall)?)
}

async fn connection<S: RpcService>(
    shared: Arc<Shared<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    place: Place,
) {
    let stall = shared.server.options.limits.stall_timeout;
    let (Ok(local), Ok(())) = (stream.local_addr(), prepare(&stream, stall)) else { return };
    // Who waits to be greeted is refused like those whom the lobby has no room for.
    if place.full && timeout(LOBBY_SILENCE, stream.peek(&mut [0])).await.is_err() {
        shared.server.options.meter.rejected(Rejection::TooManyConnections);
        return shared.refuse(stream, StatusCode::SERVICE_UNAVAILABLE, refusal::full());
    }
    let meter = shared.server.options.meter.clone();
    let connected = (!place.full).then(|| meter.newcomer(TRANSPORT));
    let state = Arc::clone(&seat.state);
    let Some(wire) = shared.opening.open(stream, &state).await else { return };
    let caller = shared.caller(peer, local).counted_by(&meter);
    let connection_id = caller.peer().connection_id();
    let upgraded = Upgraded::default();
    let connection =
        Arc::new(Connection { shared, seat, caller, local, place, upgraded, connected });
    let after = Arc::clone(&connection);
    let limits = &Arc::clone(&connection.shared).server.options.limits;
    let io = TokioIo::new(WatchedStream::new(wire, Arc::clone(&state)));
    let service = service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { Ok::<_, Infallible>(connection.respond(request).await) }
    });
    // Our own driver watches the head's deadline: hyper's timer would also end idle connections.
    // No `pipeline_flush`: it holds an answer back as long as there are unread bytes, so a refusal
    // in front of a body that nobody reads would never be sent.
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    match drive(served, &state, limits).await {
        Ok(Ok(())) => after.go_on().await,
        Ok(Err(error)) => tracing::debug!(connection_id, %peer, %error, "connection ended"),
        Err(reason) => tracing::debug!(connection_id, %peer, ?reason, "connection cut"),
    }
}

impl<S: RpcService> Connection<S> {
    async fn respond(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> http::Response<crate::ResponseBody> {
        let state = &self.seat.state;
        let link = Link {
            caller: &self.caller,
            local: Some(self.local.ip()),
            state: Some(state),
            upgraded: Some(&self.upgraded),
            full: self.place.full,
            secure: self.shared.opening.is_secure(),
        };
        let response = self.shared.server.respond(&link, None, request).await;
        match &self.connected {
            Some(connected) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                connected.settle_as(ws::TRANSPORT);
            }
            Some(connected) => connected.settle(),
            None => {}
        }
        response.map(|body| body.until(AnswerEnd(Arc::clone(state))))
    }

    /// Goes on as what the connection has become, if it has become something.
    async fn go_on(&self) {
        let Some(next) = self.upgraded.take() else { return };
        tokio::select! {
            () = next => {}
            () = self.seat.state.cut_ordered() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_user_timeout;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_gives_up_a_peer_that_acknowledges_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream, Duration::from_secs(30)).unwrap();
        assert_eq!(tcp_user_timeout(&stream).unwrap(), 30_000);
        assert!(stream.nodelay().unwrap());
    }
}

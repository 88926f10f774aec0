//! One WebSocket of a server, from its upgrade to its end.

use std::{io, time::Duration};

use descartes_rpc::{
    connection::{ConnectionLimits, serve_connection},
    limits::SKIP_BYTES,
    peer::Peer,
    service::RpcService,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::{
    close::Close,
    socket::{Side, Terms, WsSocket},
};
use crate::{limits::HttpLimits, options::HttpOptions};

/// Whether whoever has upgraded is served.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    Granted(Peer),
    /// It may say who it is.
    Login(Peer),
    /// Only the close frame can tell a browser's page why.
    Refused(Close),
}

impl Admission {
    /// Whoever may say who it is.
    pub(crate) const fn login(&self) -> Option<&Peer> {
        match self {
            Self::Login(peer) => Some(peer),
            Self::Granted(_) | Self::Refused(_) => None,
        }
    }
}

/// A connection that is about to become a WebSocket.
#[derive(Debug)]
pub(crate) struct Session<S> {
    pub(crate) rpc: S,
    pub(crate) admission: Admission,
    upgrade: OnUpgrade,
    terms: Terms,
    limits: ConnectionLimits,
}

impl<S: RpcService> Session<S> {
    pub(crate) fn new(
        rpc: S,
        admission: Admission,
        upgrade: OnUpgrade,
        options: &HttpOptions,
    ) -> Self {
        let mut limits = connection_limits(&options.limits);
        limits.login = admission.login().map(|_| options.limits.login);
        let terms = Terms {
            message: limits.request_bytes,
            skip: SKIP_BYTES.max(limits.request_bytes),
            ping: options.limits.ping,
            shutdown: options.shutdown.clone(),
            login: limits.login.is_some(),
            peer: None,
        };
        Self { rpc, admission, upgrade, terms, limits }
    }

    /// Serves until the peer leaves or the server stops and all is said.
    pub(crate) async fn run(self) {
        let connection_id = self.connection_id();
        if let Err(error) = self.serve().await {
            tracing::debug!(connection_id, %error, "connection ended");
        }
    }

    /// The same where nobody else bounds what a shutdown may take.
    pub(crate) async fn run_for(self, drain: Duration) {
        let (shutdown, connection_id) = (self.terms.shutdown.clone(), self.connection_id());
        let late = async {
            shutdown.cancelled_owned().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            () = self.run() => {}
            () = late => tracing::debug!(connection_id, "cut a connection that does not end"),
        }
    }

    /// By what lines of the log name the connection; none of one that is shut out.
    fn connection_id(&self) -> Option<u64> {
        match &self.admission {
            Admission::Granted(peer) | Admission::Login(peer) => Some(peer.connection_id()),
            Admission::Refused(_) => None,
        }
    }

    async fn serve(self) -> io::Result<()> {
        let Self { rpc, admission, upgrade, mut terms, limits } = self;
        let shutdown = terms.shutdown.clone();
        let upgraded = upgrade.await.map_err(io::Error::other)?;
        if let Admission::Granted(peer) | Admission::Login(peer) = &admission {
            terms.peer = Some(peer.clone());
        }
        let mut socket = WsSocket::new(TokioIo::new(upgraded), Side::Server, terms);
        let peer = match admission {
            Admission::Granted(peer) | Admission::Login(peer) => peer,
            Admission::Refused(close) => {
                socket.close_with(close);
                return end(&mut socket).await;
            }
        };
        let stopped = shutdown.cancelled();
        let served = serve_connection(rpc, peer, &mut socket, limits, stopped).await;
        // Closed already, unless it failed: then the peer is told what it did wrong.
        match served {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                end(&mut socket).await.and(Err(error))
            }
            other => other,
        }
    }
}

async fn end(socket: &mut WsSocket<TokioIo<Upgraded>>) -> io::Result<()> {
    futures_util::SinkExt::close(socket).await
}

fn connection_limits(limits: &HttpLimits) -> ConnectionLimits {
    let mut connection = limits.websocket;
    connection.request_bytes = limits.request_bytes;
    connection.stall = limits.stall_timeout;
    connection.stall_draining = limits.drain_stall_timeout;
    connection.half_close = false;
    connection
}

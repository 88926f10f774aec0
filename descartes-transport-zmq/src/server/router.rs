//! The server's side of a ROUTER: one connection, and the conversations on it.

mod connection;
mod refusal;

use std::io;

use descartes_rpc::{
    connection::ConnectionLimits, peer::Peer, same_user::Stranger, service::RpcService,
};
use tokio_util::sync::CancellationToken;

use super::gate::{Host, Wire};
use crate::zmtp::{SocketType, ZmtpSocket};
use connection::Connection;

/// Serves calls.
pub(super) struct Router<S> {
    rpc: S,
    limits: ConnectionLimits,
}

impl<S> Router<S> {
    pub(super) const fn new(rpc: S, limits: ConnectionLimits) -> Self {
        Self { rpc, limits }
    }
}

impl<S: RpcService> Host for Router<S> {
    const SOCKET: SocketType = SocketType::Router;

    async fn serve<IO: Wire>(
        &self,
        socket: ZmtpSocket<IO>,
        peer: Peer,
        drain: CancellationToken,
    ) -> io::Result<()> {
        Connection::new(self.rpc.clone(), peer, self.limits, drain).serve(socket).await
    }

    async fn refuse<IO: Wire>(&self, socket: ZmtpSocket<IO>, stranger: Stranger) -> io::Result<()> {
        refusal::refuse(socket, stranger, self.limits.request_bytes).await
    }
}

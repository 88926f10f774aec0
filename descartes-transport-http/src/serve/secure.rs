//! What requests come over: the socket itself, or TLS on it.

use std::sync::Arc;
#[cfg(feature = "tls")]
use std::{io, time::Duration};

#[cfg(feature = "tls")]
use descartes_rpc::{
    Swap,
    error::{ErrorKind, RpcError},
};
#[cfg(feature = "tls")]
use http::StatusCode;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio::{io::AsyncWriteExt, time::timeout};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;
#[cfg(feature = "tls")]
use tokio_util::either::Either;

#[cfg(feature = "tls")]
use super::io::WatchedStream;
use super::{HttpConfig, socket::Socket, state::ConnectionState};
#[cfg(feature = "tls")]
use crate::{refusal, tls::Identity};

/// What requests come over. TLS in a box: its buffers would make every connection larger.
#[cfg(feature = "tls")]
pub(super) type Wire = Either<Socket, Box<TlsStream<Socket>>>;
#[cfg(not(feature = "tls"))]
pub(super) type Wire = Socket;

/// How the connections of a port begin.
pub(super) struct Opening {
    #[cfg(feature = "tls")]
    shown: Option<Swap<Identity>>,
    #[cfg(feature = "tls")]
    deadline: Duration,
}

impl Opening {
    #[cfg(feature = "tls")]
    pub(super) fn of(config: &HttpConfig) -> Self {
        Self { shown: config.tls.clone(), deadline: config.options.limits.header_deadline }
    }

    #[cfg(not(feature = "tls"))]
    pub(super) const fn of(_: &HttpConfig) -> Self {
        Self {}
    }

    /// Whether TLS is spoken here.
    #[cfg(feature = "tls")]
    pub(super) const fn is_secure(&self) -> bool {
        self.shown.is_some()
    }

    /// Whether TLS is spoken here.
    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "as with TLS")]
    pub(super) const fn is_secure(&self) -> bool {
        false
    }

    /// What requests come over once hands are shaken; nothing when that came to nothing.
    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "as with TLS")]
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        state: &Arc<ConnectionState>,
    ) -> Option<Wire> {
        Some(Socket::new(stream, Arc::clone(state)))
    }

    /// What requests come over once hands are shaken; nothing when that came to nothing, which the
    /// log says to those who look closely.
    #[cfg(feature = "tls")]
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        state: &Arc<ConnectionState>,
    ) -> Option<Wire> {
        let Some(shown) = &self.shown else {
            return Some(Either::Left(Socket::new(stream, Arc::clone(state))));
        };
        // In a box, so that connections without it stay small.
        let shaken = Box::pin(shake_hands(stream, state, shown));
        let opened = tokio::select! {
            shaken = timeout(self.deadline, shaken) => {
                shaken.map_err(io::Error::from).and_then(|shaken| shaken)
            }
            () = state.leave_ordered() => return None,
        };
        match opened {
            Ok(wire) => wire,
            Err(error) => {
                tracing::debug!(%error, "the TLS handshake failed");
                None
            }
        }
    }
}

#[cfg(feature = "tls")]
async fn shake_hands(
    stream: TcpStream,
    state: &Arc<ConnectionState>,
    shown: &Swap<Identity>,
) -> io::Result<Option<Wire>> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    let socket = Socket::new(stream, Arc::clone(state));
    // The letter of a method: a TLS record begins with a number below the letters (RFC 8446,
    // section 5.1).
    if count == 1 && first[0].is_ascii_uppercase() {
        tracing::debug!("plain HTTP on a port of HTTPS");
        refuse(socket, state).await?;
        return Ok(None);
    }
    let acceptor = shown.load().acceptor();
    Ok(Some(Either::Right(Box::new(acceptor.accept(socket).await?))))
}

/// Tells a client in the words that it knows what is spoken here, and reads away what it still
/// sends, so that it hears them.
#[cfg(feature = "tls")]
async fn refuse(socket: Socket, state: &Arc<ConnectionState>) -> io::Result<()> {
    let error = RpcError::new(ErrorKind::InvalidRequest, "TLS is spoken on this port")
        .hint("use https:// or wss://");
    state.leave_body_unread();
    let mut stream = WatchedStream::new(Either::Left(socket), Arc::clone(state));
    stream.write_all(&refusal::raw(StatusCode::BAD_REQUEST, error)).await?;
    stream.shutdown().await
}

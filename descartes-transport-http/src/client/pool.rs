//! A few connections that wait for the next call.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;

use super::address::Address;

/// How many connections are kept; more calls at once open more, which are closed afterwards.
const KEPT_CONNECTIONS: usize = 8;

/// A connection that one request can be sent on.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// The connections to one server.
pub(super) struct Pool {
    address: Address,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).finish()
    }
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// Sends `request` on a connection that waits, or on a new one.
    ///
    /// A connection that turns out to be closed before anything was sent is left for another.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> io::Result<(Response<Incoming>, Connection)> {
        while let Some(mut connection) = self.take() {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(lost(refused.into_error())),
                },
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await.map_err(lost)?;
        Ok((response, connection))
    }

    /// Keeps a connection whose answer has been read.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_CONNECTIONS && !connection.is_closed() {
            idle.push(connection);
        }
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = self.address.connect().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(sender)
    }
}

/// Whether the message arrived is not known.
pub(crate) fn lost(error: hyper::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

//! The client's side: a WebSocket for the typed [`Client`](descartes_rpc::client::Client).

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use descartes_rpc::{
    auth::Secret,
    client::{Connect, FrameIo},
    frame::Arrival,
};
use futures_core::Stream;
use futures_util::Sink;
use http::{Request, header};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    TRANSPORT,
    close::{CloseCode, Farewell},
    handshake::asking,
    mask::MaskKeys,
    socket::{Side, Terms, WsSocket},
};
use crate::client::{Address, AddressError, CONNECT_DEADLINE, MAX_ANSWER_BYTES, lost};
#[cfg(feature = "tls")]
use crate::tls::Roots;

/// A server that is alive says so three times in a minute; so do we.
const PING: Duration = Duration::from_secs(20);

/// Connects to a daemon's WebSocket; `Client::connect(WsClient::new(url)?)` is a client that makes a
/// lost connection again and goes on with its subscriptions where they were.
///
/// Cheap to clone. A server that answers no ping is taken for gone.
#[derive(Clone, Debug)]
pub struct WsClient {
    address: Address,
}

impl WsClient {
    /// Connects to `url`, such as `ws://127.0.0.1:8081`, when it is needed; on the port of HTTP the
    /// path is `/ws`, and where the service is mounted in an application it stands before that.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when `url` is not a `ws://` address, nor with the feature `tls` one of
    /// `wss://`.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        Ok(Self { address: Address::read(url, "ws")? })
    }

    /// Believes `roots` when it connects to a `wss://` address; without them such a connection is
    /// an error. The name in the address must be one of the server's certificate.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trusting(mut self, roots: Roots) -> Self {
        self.address.trust(roots);
        self
    }

    /// Shows `token`, a key or a token of the daemon, when it connects.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a builder takes what it is given")]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.address.show(&token);
        self
    }

    /// Asks for the upgrade; gives what the connection is after it.
    async fn upgrade(&self, keys: &mut MaskKeys) -> io::Result<Upgraded> {
        let stream = TokioIo::new(self.address.connect().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(lost)?;
        let connection = tokio::spawn(connection.with_upgrades());
        let key = asking::key([keys.next_bytes(), keys.next_bytes()]);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.address.path.clone();
        asking::ask(request.headers_mut(), &key);
        request.headers_mut().insert(header::HOST, self.address.host.clone());
        if let Some(authorization) = &self.address.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let response = sender.send_request(request).await.map_err(lost)?;
        if !asking::is_granted(response.status(), response.headers(), &key) {
            let what = format!("HTTP {} instead of a WebSocket", response.status());
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(lost)?;
        // It has handed its stream over, so it has ended or is about to.
        drop(connection);
        Ok(upgraded)
    }
}

#[async_trait]
impl Connect for WsClient {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let mut keys = MaskKeys::new();
        let upgraded = timeout(CONNECT_DEADLINE, self.upgrade(&mut keys));
        let upgraded = upgraded.await.map_err(io::Error::from)??;
        let terms = Terms {
            message: MAX_ANSWER_BYTES,
            skip: MAX_ANSWER_BYTES,
            ping: PING,
            shutdown: CancellationToken::new(),
            peer: None,
            login: false,
        };
        let socket = WsSocket::new(TokioIo::new(upgraded), Side::Client(keys), terms);
        Ok(Box::new(Frames { socket }))
    }

    fn transport_name(&self) -> &'static str {
        TRANSPORT
    }
}

/// The messages of a server; an end that means more than an end is an error.
struct Frames {
    socket: WsSocket<TokioIo<Upgraded>>,
}

impl Stream for Frames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(Arrival::Message(message))) => Some(Ok(message)),
            Some(Ok(Arrival::Oversize)) => {
                let what = "a message beyond all bounds";
                Some(Err(io::Error::new(ErrorKind::InvalidData, what)))
            }
            Some(Err(error)) => Some(Err(error)),
            None => self.socket.farewell().and_then(explained).map(Err),
        })
    }
}

fn is_about_credentials(code: u16) -> bool {
    [CloseCode::Unauthenticated, CloseCode::Forbidden, CloseCode::LoginTimeout]
        .into_iter()
        .any(|one| one as u16 == code)
}

/// Why the server has closed, if it is not simply gone.
fn explained(farewell: &Farewell) -> Option<io::Error> {
    let code = farewell.code?;
    let kind = match code {
        _ if code == CloseCode::Normal as u16 || code == CloseCode::GoingAway as u16 => {
            return None;
        }
        _ if is_about_credentials(code) => ErrorKind::PermissionDenied,
        _ => ErrorKind::ConnectionAborted,
    };
    Some(io::Error::new(kind, format!("closed with {code}: {}", farewell.reason)))
}

impl Sink<Bytes> for Frames {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

//! Connections for the typed [`Client`](descartes_rpc::client::Client).

use std::{
    fmt,
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use descartes_rpc::{
    auth::Secret,
    client::{Connect, FrameIo},
};
use futures_core::Stream;
use futures_util::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{AddressError, address::Address};
use crate::{
    msgpack::{from_json, to_json},
    zmtp::{HandshakeError, Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket},
};

/// The name of this transport.
const TRANSPORT: &str = "zmq";
/// How long an attempt may take unless it is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer as JSON: what a daemon sends at most, which MessagePack makes shorter.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How messages are written; the daemon answers as it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// As JSON.
    #[default]
    Json,
    /// As MessagePack: shorter, and translated at both ends. Everything means what it meant: what
    /// is beyond the numbers of MessagePack goes as an extension of type 78, which has its text.
    MessagePack,
}

/// Connects to a daemon over ZeroMQ: `Client::connect(ZmqConnect::new(address)?)` is a client that
/// makes a lost connection again and goes on with its subscriptions where they were.
///
/// It is a DEALER that sends each message behind an empty frame, as REQ does; every connection is a
/// new socket. Cheap to clone.
///
/// ```
/// use descartes_rpc::client::Client;
/// use descartes_transport_zmq::ZmqConnect;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ZmqConnect::new("tcp://127.0.0.1:5555")?);
/// let socket = ZmqConnect::new("ipc:///run/user/1000/descartes/zmq.sock")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ZmqConnect {
    address: Address,
    timeout: Duration,
    encoding: Encoding,
    token: Token,
}

/// What is shown when a connection is made.
#[derive(Clone)]
enum Token {
    None,
    Given(Secret),
    Asked(Arc<TokenSource>),
}

/// Says what to show, anew with each connection.
type TokenSource = dyn Fn() -> io::Result<Secret> + Send + Sync;

impl Token {
    fn now(&self) -> io::Result<Option<Secret>> {
        match self {
            Self::None => Ok(None),
            Self::Given(token) => Ok(Some(token.clone())),
            Self::Asked(source) => source().map(Some),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given",
            Self::Asked(_) => "Asked",
        })
    }
}

impl ZmqConnect {
    /// Connects to `address`, when it is needed: `tcp://host:port` or `ipc:///path`. A host's name
    /// is resolved with each connection; an IPv6 address stands in brackets.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when it is not such an address.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let address = address.parse()?;
        Ok(Self { address, timeout: CONNECT_TIMEOUT, encoding: Encoding::Json, token: Token::None })
    }

    /// Shows `token`, a key or a token of the daemon, when it connects by TCP; ZeroMQ has room for
    /// 510 bytes. By the Unix socket it shows none.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Token::Given(token);
        self
    }

    /// Shows what `source` says, which is asked with each connection by TCP: so a token can be
    /// replaced while the client lives. Its error is that of the connection. It must not block for
    /// longer than a small file takes to be read.
    #[must_use]
    pub fn with_token_from(
        mut self,
        source: impl Fn() -> io::Result<Secret> + Send + Sync + 'static,
    ) -> Self {
        self.token = Token::Asked(Arc::new(source));
        self
    }

    /// Bounds one attempt, with its handshake, by `timeout`; 10 s unless this is called, and the
    /// typed client waits no longer than that either.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Writes messages so; as JSON unless this is called.
    #[must_use]
    pub const fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    async fn dial(&self) -> io::Result<Box<dyn FrameIo>> {
        match &self.address {
            Address::Tcp { host, port } => {
                let token = self.token.now()?;
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                self.greet(stream, token.as_ref()).await
            }
            Address::Ipc(path) => self.greet(UnixStream::connect(path).await?, None).await,
        }
    }

    async fn greet<IO>(&self, stream: IO, token: Option<&Secret>) -> io::Result<Box<dyn FrameIo>>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limits = ZmtpLimits { handshake: self.timeout, ..ZmtpLimits::default() };
        let socket = match token {
            None => ZmtpSocket::connect(stream, SocketType::Dealer, limits).await,
            Some(token) => {
                ZmtpSocket::connect_plain(stream, SocketType::Dealer, limits, token).await
            }
        };
        let socket = socket.map_err(explained)?;
        if socket.peer_type() != SocketType::Router {
            let what = format!("a {} listens there, not a daemon", socket.peer_type());
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok(Box::new(Frames { socket, encoding: self.encoding }))
    }
}

/// What became of the handshake, as what the system says.
fn explained(error: HandshakeError) -> io::Error {
    let kind = match &error {
        HandshakeError::Io(source) => source.kind(),
        HandshakeError::Closed => ErrorKind::UnexpectedEof,
        HandshakeError::TimedOut(_) => ErrorKind::TimedOut,
        HandshakeError::Refused(_) | HandshakeError::LongCredentials => ErrorKind::PermissionDenied,
        // It needs credentials, and none were shown.
        HandshakeError::Mechanism { peer, .. } if peer == "PLAIN" => ErrorKind::PermissionDenied,
        _ => ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

#[async_trait]
impl Connect for ZmqConnect {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let late = |_| {
            let what = format!("no connection to {} within {:?}", self.address, self.timeout);
            io::Error::new(ErrorKind::TimedOut, what)
        };
        timeout(self.timeout, self.dial()).await.map_err(late)?
    }

    fn transport_name(&self) -> &'static str {
        TRANSPORT
    }
}

/// The messages of a daemon, out of their envelopes.
struct Frames<IO> {
    socket: ZmtpSocket<IO>,
    encoding: Encoding,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for Frames<IO> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(Some(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => Err(error),
                Some(Ok(Received::Message(message))) => body(message).and_then(unpacked),
                Some(Ok(Received::Oversize | Received::Crowded)) => {
                    Err(invalid("a message beyond all bounds"))
                }
                // Nobody subscribes to a DEALER.
                Some(Ok(Received::Subscribe(_) | Received::Cancel(_))) => continue,
            }));
        }
    }
}

/// What stands behind the empty frame.
fn body(message: Multipart) -> io::Result<Bytes> {
    let mut frames = message.into_frames();
    let is_enveloped = matches!(&frames[..], [delimiter, _] if delimiter.is_empty());
    match frames.pop() {
        Some(body) if is_enveloped => Ok(body),
        _ => Err(invalid("a message without the envelope that was sent")),
    }
}

/// A message as JSON. The first byte tells what it is, as it does where it goes: what cannot be
/// read there is refused in JSON.
fn unpacked(body: Bytes) -> io::Result<Bytes> {
    if !is_packed(&body) {
        return Ok(body);
    }
    to_json(&body, ANSWER_BYTES).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// JSON as MessagePack. What is no message in JSON goes as it is: it is for the daemon to say what is
/// wrong with it.
fn packed(body: Bytes) -> Bytes {
    from_json(&body).ok().filter(|packed| is_packed(packed)).unwrap_or(body)
}

/// Whether these are a map or an array of MessagePack, with which JSON never begins.
fn is_packed(body: &[u8]) -> bool {
    matches!(body.first(), Some(0x80..=0x9f | 0xdc..=0xdf))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Bytes> for Frames<IO> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, body: Bytes) -> io::Result<()> {
        let body = match self.encoding {
            Encoding::Json => body,
            Encoding::MessagePack => packed(body),
        };
        let message = Multipart::new(vec![Bytes::new(), body]);
        let message = message.ok_or_else(|| invalid("a message without frames"))?;
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

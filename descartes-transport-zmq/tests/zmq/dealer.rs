//! A DEALER that connects for the suite, and speaks MessagePack where that says the same.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use descartes_rpc::client::{Connect, FrameIo};
use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
use futures_core::Stream;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::node::Node;

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Ipc(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// The client's side: speaks MessagePack without an envelope, and JSON where that alone can say it.
#[derive(Clone, Debug)]
pub(crate) struct Dealer {
    place: Place,
    packed: Arc<AtomicUsize>,
}

impl Dealer {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, packed: Arc::default() }
    }

    /// How many messages went as MessagePack.
    pub(crate) fn packed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.packed)
    }

    async fn greet<IO>(&self, stream: IO) -> io::Result<Box<dyn FrameIo>>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = ZmtpSocket::connect(stream, SocketType::Dealer, ZmtpLimits::default()).await;
        let socket = socket.map_err(io::Error::other)?;
        Ok(Box::new(Frames { socket, packed: Arc::clone(&self.packed) }))
    }
}

#[async_trait]
impl Connect for Dealer {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        match &self.place {
            Place::Tcp(address) => self.greet(TcpStream::connect(address).await?).await,
            Place::Ipc(path) => self.greet(UnixStream::connect(path).await?).await,
        }
    }

    fn transport_name(&self) -> &'static str {
        "zmq"
    }
}

struct Frames<IO> {
    socket: ZmtpSocket<IO>,
    packed: Arc<AtomicUsize>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for Frames<IO> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = match ready!(self.socket.poll_next_unpin(cx)) {
            Some(received) => received?,
            None => return Poll::Ready(None),
        };
        let Received::Message(message) = received else { panic!("{received:?}") };
        let mut frames = message.into_frames();
        let body = frames.pop().unwrap();
        Poll::Ready(Some(Ok(match &frames[..] {
            [] if matches!(body[0], 0x80..=0x9f | 0xdc..=0xdf) => Node::unpack(&body).into(),
            [delimiter] if delimiter.is_empty() => body,
            other => panic!("answered in the envelope {other:?}"),
        })))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Bytes> for Frames<IO> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, body: Bytes) -> io::Result<()> {
        let packed = Node::pack(&body).map(|packed| {
            self.packed.fetch_add(1, Ordering::Relaxed);
            Multipart::single(packed)
        });
        let plain = || Multipart::new(vec![Bytes::new(), body]).unwrap();
        self.socket.start_send_unpin(packed.unwrap_or_else(plain))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_close_unpin(cx)
    }
}

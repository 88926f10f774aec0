//! ZeroMQ clients over our own ZMTP, the same for every server: a DEALER or REQ, and subscribers.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// How long a handshake may take, on both sides: a bench says nothing about how long.
pub const HANDSHAKE: Duration = Duration::from_secs(60);

/// The bounds of a daemon, with that patience.
#[must_use]
pub fn limits() -> ZmtpLimits {
    let mut limits = ZmtpLimits::default();
    limits.handshake = HANDSHAKE;
    limits
}

/// One connection that asks the same again and again, driven by the thread that runs it.
#[derive(Debug)]
pub struct AskingClient {
    runtime: Runtime,
    socket: ZmtpSocket<TcpStream>,
    question: Multipart,
}

impl AskingClient {
    /// Connects to `address` as `kind`; every message is `question`.
    ///
    /// # Errors
    /// When no ROUTER or REP listens there.
    pub fn open(address: SocketAddr, kind: SocketType, question: &str) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let socket = runtime.block_on(connect(address, kind))?;
        let body = Bytes::copy_from_slice(question.as_bytes());
        let question = match kind {
            SocketType::Req => Multipart::new(vec![Bytes::new(), body]).context("two frames")?,
            _ => Multipart::single(body),
        };
        Ok(Self { runtime, socket, question })
    }

    /// The last frame of one answer.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn sample(&mut self) -> anyhow::Result<Bytes> {
        let Self { runtime, socket, question } = self;
        runtime.block_on(async {
            socket.send(question.clone()).await?;
            let answer = message(socket).await?;
            answer.into_frames().pop().context("an answer without frames")
        })
    }

    /// Asks `messages` times with up to `window` questions under way; returns how long it took.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn run(&mut self, messages: usize, window: usize) -> anyhow::Result<Duration> {
        let Self { runtime, socket, question } = self;
        runtime.block_on(ask(socket, question, messages, window))
    }

    /// Asks `messages` times, one after the other; returns the nanoseconds that each took.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn round_trips(&mut self, messages: usize) -> anyhow::Result<Vec<f64>> {
        let Self { runtime, socket, question } = self;
        runtime.block_on(async {
            let mut taken = Vec::with_capacity(messages);
            for _ in 0..messages {
                let began = Instant::now();
                socket.send(question.clone()).await?;
                message(socket).await?;
                taken.push(began.elapsed().as_secs_f64() * 1e9);
            }
            Ok(taken)
        })
    }
}

/// Asks `messages` times with up to `window` questions under way, half a window at once; returns
/// how long it took.
///
/// # Errors
/// When the connection is lost.
pub async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut ZmtpSocket<IO>,
    question: &Multipart,
    messages: usize,
    window: usize,
) -> anyhow::Result<Duration> {
    let (mut sent, mut come, began) = (0, 0, Instant::now());
    while come < messages {
        while sent < messages && sent - come < window {
            socket.feed(question.clone()).await?;
            sent += 1;
        }
        socket.flush().await?;
        while come < sent && (sent - come > window / 2 || sent == messages) {
            message(socket).await?;
            come += 1;
        }
    }
    Ok(began.elapsed())
}

async fn message<IO: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut ZmtpSocket<IO>,
) -> anyhow::Result<Multipart> {
    match socket.next().await.context("the server hung up")?? {
        Received::Message(message) => Ok(message),
        other => anyhow::bail!("the server sent {other:?}"),
    }
}

async fn connect(address: SocketAddr, kind: SocketType) -> anyhow::Result<ZmtpSocket<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(ZmtpSocket::connect(stream, kind, limits()).await?)
}

/// Subscribers that want everything, all driven by the thread that runs them.
#[derive(Debug)]
pub struct Subscribers {
    runtime: Runtime,
    sockets: Vec<ZmtpSocket<TcpStream>>,
}

/// What subscribers got.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// From their subscription to the last message of all.
    pub elapsed: Duration,
    /// Bytes of all messages, without what is around them.
    pub bytes: usize,
}

impl Subscribers {
    /// Connects `count` of them to `address`. They have not subscribed yet.
    ///
    /// # Errors
    /// When no PUB or XPUB listens there.
    pub fn open(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let sockets = runtime.block_on(async {
            let mut sockets = Vec::with_capacity(count);
            for _ in 0..count {
                sockets.push(connect(address, SocketType::Sub).await?);
            }
            anyhow::Ok(sockets)
        })?;
        Ok(Self { runtime, sockets })
    }

    /// Subscribes, and reads until each has got `messages`; then they hang up.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn receive(self, messages: usize) -> anyhow::Result<Delivered> {
        let Self { runtime, sockets } = self;
        runtime.block_on(async {
            let (began, mut bytes, mut tasks) = (Instant::now(), 0, JoinSet::new());
            for socket in sockets {
                tasks.spawn(subscribe(socket, messages));
            }
            while let Some(done) = tasks.join_next().await {
                bytes += done.map_err(io::Error::other)??;
            }
            Ok(Delivered { elapsed: began.elapsed(), bytes })
        })
    }
}

async fn subscribe(mut socket: ZmtpSocket<TcpStream>, messages: usize) -> anyhow::Result<usize> {
    socket.subscribe(b"")?;
    socket.flush().await?;
    let mut bytes = 0;
    for _ in 0..messages {
        bytes += message(&mut socket).await?.len();
    }
    Ok(bytes)
}

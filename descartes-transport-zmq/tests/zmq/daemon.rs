// A daemon of this process that can be taken away, brought back, cut and silenced at will. It is
// also included by documentation tests.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use descartes_rpc::{
    connection::{ConnectionLimits, serve_connection},
    peer::Peer,
    service::Rpc,
    testing::fake_service,
};
use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
use futures_util::{Sink, Stream};
use tokio::{net::UnixListener, task::JoinHandle};

/// Serves one service on a socket of its own, while it is there.
pub(crate) struct Daemon {
    pub(crate) rpc: Rpc,
    pub(crate) moods: Arc<Moods>,
    dir: tempfile::TempDir,
    serving: Option<JoinHandle<()>>,
}

/// How it behaves.
pub(crate) struct Moods {
    /// Answers that each connection gives before it breaks.
    pub(crate) answers: AtomicUsize,
    /// So many connections, the first ones, are read and never answered.
    pub(crate) silent: AtomicUsize,
    /// The methods that came, in order, but for questions of health.
    pub(crate) seen: Mutex<VecDeque<String>>,
    /// How many connections were made.
    pub(crate) connections: AtomicUsize,
    /// How many of them are open.
    pub(crate) open: AtomicUsize,
}

impl Daemon {
    /// A daemon that is away.
    pub(crate) async fn away() -> Self {
        let moods = Moods {
            answers: AtomicUsize::new(usize::MAX),
            silent: AtomicUsize::new(0),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        };
        let dir = tempfile::tempdir().expect("a folder can be made");
        let rpc = fake_service(0).await;
        Self { rpc, moods: Arc::new(moods), dir, serving: None }
    }

    /// A daemon that is there.
    pub(crate) async fn there() -> Self {
        let mut daemon = Self::away().await;
        daemon.begin();
        daemon
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("zmq.sock")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("ipc://{}", self.path().display())
    }

    pub(crate) fn queue_path(&self) -> PathBuf {
        self.dir.path().join("queue")
    }

    pub(crate) fn begin(&mut self) {
        let listener = UnixListener::bind(self.path()).expect("the place is free");
        let (rpc, moods) = (self.rpc.clone(), Arc::clone(&self.moods));
        self.serving = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((io, _)) = listener.accept().await {
                let number = moods.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(served(io, rpc.clone(), Arc::clone(&moods), number));
            }
        }));
    }

    /// Cuts every connection and listens no more.
    pub(crate) async fn go_away(&mut self) {
        std::fs::remove_file(self.path()).expect("it is there");
        let serving = self.serving.take().expect("it is there");
        serving.abort();
        drop(serving.await);
    }
}

async fn served(io: tokio::net::UnixStream, rpc: Rpc, moods: Arc<Moods>, number: usize) {
    let socket = ZmtpSocket::accept(io, SocketType::Router, ZmtpLimits::default()).await;
    let Ok(socket) = socket else { return };
    let left = moods.answers.load(Ordering::SeqCst);
    moods.open.fetch_add(1, Ordering::SeqCst);
    let lane = Lane { socket, moods: Arc::clone(&moods), left, number };
    let (peer, limits) = (Peer::owner("zmq"), ConnectionLimits::default());
    drop(serve_connection(rpc, peer, lane, limits, std::future::pending()).await);
    moods.open.fetch_sub(1, Ordering::SeqCst);
}

/// The messages of one connection without their envelopes.
struct Lane {
    socket: ZmtpSocket<tokio::net::UnixStream>,
    moods: Arc<Moods>,
    left: usize,
    /// How many were there before it.
    number: usize,
}

impl Stream for Lane {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let received = std::task::ready!(Pin::new(&mut self.socket).poll_next(cx));
            let message = match received {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Received::Message(message))) => message,
                Some(Ok(other)) => panic!("a DEALER sent {other:?}"),
            };
            let [delimiter, body] = message.frames() else {
                panic!("not an envelope: {message:?}")
            };
            assert!(delimiter.is_empty());
            if self.number < self.moods.silent.load(Ordering::SeqCst) {
                continue;
            }
            let call: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            let method = call["method"].as_str().expect("a call").to_owned();
            if method != "system.health" {
                self.moods.seen.lock().expect("nobody panicked").push_back(method);
            }
            return Poll::Ready(Some(Ok(body.clone())));
        }
    }
}

impl Sink<Bytes> for Lane {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            // What was said is said, and no more.
            std::task::ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.socket).poll_ready(cx)
    }
    fn start_send(mut self: Pin<&mut Self>, body: Bytes) -> io::Result<()> {
        self.left -= 1;
        let message = Multipart::new(vec![Bytes::new(), body]).expect("two frames");
        Pin::new(&mut self.socket).start_send(message)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

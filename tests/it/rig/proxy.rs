//! A proxy on loopback that breaks connections at random bytes.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;

/// Where a connection goes to or comes from.
trait Way: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

/// The servers behind the proxy; they may move.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
}

/// How many cuts are to come, and how far a connection may get.
#[derive(Debug, Default)]
pub(crate) struct Shears {
    left: AtomicUsize,
    done: AtomicUsize,
    /// No connection passes on more bytes than this in one direction before it is cut.
    most_bytes: usize,
    all_done: Notify,
}

impl Shears {
    /// Makes `cuts` cuts; each connection is cut within `most_bytes` until then.
    pub(crate) fn new(cuts: usize, most_bytes: usize) -> Self {
        let left = AtomicUsize::new(cuts);
        Self { left, most_bytes, ..Self::default() }
    }

    /// How many cuts have been made.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Ready when the last cut has been made.
    pub(crate) async fn finished(&self) {
        loop {
            let mut notified = std::pin::pin!(self.all_done.notified());
            notified.as_mut().enable();
            if self.left.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Takes one of the cuts that are left.
    fn cut(&self) {
        let take = |left: usize| left.checked_sub(1);
        if let Ok(before) = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            self.done.fetch_add(1, Ordering::SeqCst);
            if before == 1 {
                self.all_done.notify_waiters();
            }
        }
    }

    /// How many bytes a new connection may pass on towards the server, and back.
    fn budgets(&self) -> (usize, usize) {
        if self.left.load(Ordering::SeqCst) == 0 {
            return (usize::MAX, usize::MAX);
        }
        let random = || usize::try_from(RandomState::new().hash_one(()) >> 8).expect("64 bits");
        // One in eight may be cut while it asks already; all are while they are answered.
        let up = if random() % 8 == 0 { random() % 600 } else { usize::MAX };
        (up, random() % self.most_bytes)
    }
}

/// A proxy over TCP and one over a Unix socket, until the runtime ends.
pub(crate) struct Proxy {
    targets: Arc<Mutex<Targets>>,
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
}

impl Proxy {
    /// Listens on a free port and in `folder`.
    pub(crate) async fn start(targets: Targets, shears: Arc<Shears>, folder: &Path) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let unix = folder.join("proxy.sock");
        let by_path = UnixListener::bind(&unix).expect("a socket in the folder");
        let address = tcp.local_addr().expect("a bound socket");
        let targets = Arc::new(Mutex::new(targets));
        let now = Arc::clone(&targets);
        let sharp = Arc::clone(&shears);
        tokio::spawn(async move {
            while let Ok((near, _)) = tcp.accept().await {
                let target = now.lock().expect("nobody panics here").tcp;
                let far = async move { TcpStream::connect(target).await };
                tokio::spawn(relay(near, far, Arc::clone(&sharp)));
            }
        });
        let now = Arc::clone(&targets);
        tokio::spawn(async move {
            while let Ok((near, _)) = by_path.accept().await {
                let target = now.lock().expect("nobody panics here").unix.clone();
                let far = async move { UnixStream::connect(target).await };
                tokio::spawn(relay(near, far, Arc::clone(&shears)));
            }
        });
        Self { targets, tcp: address, unix }
    }

    /// The servers have moved.
    pub(crate) fn aim(&self, targets: Targets) {
        *self.targets.lock().expect("nobody panics here") = targets;
    }
}

/// Passes bytes both ways until one side ends or a budget is used up.
async fn relay<T: Way>(near: T, far: impl Future<Output = io::Result<T>>, shears: Arc<Shears>) {
    // Where nobody listens, the connection just ends.
    let Ok(far) = far.await else { return };
    let (up, down) = shears.budgets();
    let ((from_near, to_near), (from_far, to_far)) = (split(near), split(far));
    let used_up = tokio::select! {
        used_up = pass(from_near, to_far, up) => used_up,
        used_up = pass(from_far, to_near, down) => used_up,
    };
    if used_up {
        shears.cut();
    }
}

/// Passes on at most `most` bytes; true when they are used up.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    most: usize,
) -> bool {
    let (mut left, mut buffer) = (most, vec![0; 16 * 1024]);
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return false };
        if to.write_all(&buffer[..read]).await.is_err() {
            return false;
        }
        left -= read;
    }
    true
}

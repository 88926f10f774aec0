//! The way to the other machine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::Sink;
use tokio::sync::watch;

use crate::client::{Connect, FrameIo};
use crate::connection::{ConnectionLimits, serve_connection};
use crate::memory::{self, MemoryIo};
use crate::peer::Peer;
use crate::service::Rpc;

/// Leads to a service, as long as it is open.
#[derive(Clone)]
pub(super) struct Road(Arc<Shared>);

struct Shared {
    /// Where it leads; nowhere while it is closed.
    rpc: Mutex<Option<Rpc>>,
    /// How many frames from the service the next connections last, the last one first.
    frames: Mutex<Vec<usize>>,
    /// The connections that were cut, counted.
    cuts: watch::Sender<u64>,
    /// Whether nothing comes back any more, while connections hold.
    mute: watch::Sender<bool>,
}

impl Road {
    pub(super) fn to(rpc: Rpc) -> Self {
        Self(Arc::new(Shared {
            rpc: Mutex::new(Some(rpc)),
            frames: Mutex::default(),
            cuts: watch::Sender::new(0),
            mute: watch::Sender::new(false),
        }))
    }

    /// Cuts every connection, and refuses others.
    pub(super) fn close(&self) {
        *self.0.rpc.lock().unwrap() = None;
        self.cut();
    }

    pub(super) fn open(&self, rpc: Rpc) {
        *self.0.rpc.lock().unwrap() = Some(rpc);
    }

    pub(super) fn cut(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets the next connections last for so many frames, the last of the list first.
    pub(super) fn break_after(&self, frames: Vec<usize>) {
        *self.0.frames.lock().unwrap() = frames;
    }

    pub(super) fn mute(&self, mute: bool) {
        self.0.mute.send_replace(mute);
    }
}

#[async_trait]
impl Connect for Road {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let rpc = self.0.rpc.lock().unwrap().clone();
        let rpc = rpc.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = memory::pair();
        let (peer, limits) = (Peer::owner("test"), ConnectionLimits::default());
        tokio::spawn(serve_connection(rpc, peer, far, limits, std::future::pending()));
        let left = self.0.frames.lock().unwrap().pop().unwrap_or(usize::MAX);
        let mut cuts = self.0.cuts.subscribe();
        cuts.mark_unchanged();
        let mut mute = self.0.mute.subscribe();
        Ok(Box::new(Breakable {
            io: near,
            left,
            cut: Box::pin(async move { drop(cuts.changed().await) }),
            mute: mute.clone(),
            // Wakes a reader that was told to say nothing.
            unmuted: Box::pin(async move { while mute.changed().await.is_ok() {} }),
        }))
    }

    fn transport_name(&self) -> &'static str {
        "road"
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Breakable {
    io: MemoryIo,
    left: usize,
    cut: Waiting,
    mute: watch::Receiver<bool>,
    unmuted: Waiting,
}

impl Stream for Breakable {
    type Item = io::Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if self.unmuted.as_mut().poll(cx).is_ready() || *self.mute.borrow() {
            return Poll::Pending;
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut self.io).poll_next(cx));
        self.left = left;
        Poll::Ready(frame)
    }
}

impl Sink<Bytes> for Breakable {
    type Error = io::Error;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_ready(cx)
    }
    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        Pin::new(&mut self.io).start_send(frame)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

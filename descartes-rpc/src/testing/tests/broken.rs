//! Transports that are broken on purpose: the suite must say which claim they break.

mod close;
mod frames;
mod order;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::{Stream, stream::BoxStream};
use futures_util::{Sink, StreamExt, stream::SplitSink};
use serde_json::Value;

use super::in_memory;
use crate::{
    client::{Connect, FrameIo},
    testing::{
        InMemory,
        conformance::{self, Harness, Link},
    },
};

/// What a broken transport makes of what passes through one connection.
trait Fault: Send {
    /// What reaches the server when the client sends `frame`.
    fn sent(&mut self, frame: Bytes) -> Vec<Bytes> {
        vec![frame]
    }

    /// What the client hears when the server sends `frame`.
    fn heard(&mut self, frame: Bytes) -> Vec<Bytes> {
        vec![frame]
    }

    /// What else reaches the server whenever the client listens.
    fn released(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Whether the client hears that the server has closed.
    fn tells_the_end(&self) -> bool {
        true
    }

    /// Whether the server hears that the client has closed.
    fn tells_goodbye(&self) -> bool {
        true
    }
}

/// Does something to what the server sends.
struct Heard<F>(F);

impl<F: FnMut(Bytes) -> Vec<Bytes> + Send> Fault for Heard<F> {
    fn heard(&mut self, frame: Bytes) -> Vec<Bytes> {
        self.0(frame)
    }
}

/// Does something to what the client sends.
struct Sent<F>(F);

impl<F: FnMut(Bytes) -> Vec<Bytes> + Send> Fault for Sent<F> {
    fn sent(&mut self, frame: Bytes) -> Vec<Bytes> {
        self.0(frame)
    }
}

type MakeFault = Arc<dyn Fn() -> Box<dyn Fault> + Send + Sync>;

/// The transport in memory, with a fault in each connection.
struct Broken {
    whole: InMemory,
    fault: MakeFault,
}

#[async_trait]
impl Harness for Broken {
    fn link(&self) -> Link {
        let Link::Duplex(whole) = self.whole.link() else { panic!("memory is duplex") };
        Link::Duplex(Arc::new(BrokenConnect { whole, fault: Arc::clone(&self.fault) }))
    }

    fn agent(&self) -> Value {
        self.whole.agent()
    }

    async fn shut_down(&self) -> bool {
        self.whole.shut_down().await
    }
}

struct BrokenConnect {
    whole: Arc<dyn Connect>,
    fault: MakeFault,
}

#[async_trait]
impl Connect for BrokenConnect {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (whole, fault) = (self.whole.connect().await?, (self.fault)());
        Ok(Box::new(BrokenIo { whole, fault, due: VecDeque::new() }))
    }

    fn transport_name(&self) -> &'static str {
        "broken"
    }
}

struct BrokenIo {
    whole: Box<dyn FrameIo>,
    fault: Box<dyn Fault>,
    due: VecDeque<Bytes>,
}

impl Stream for BrokenIo {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            for frame in self.fault.released() {
                Pin::new(&mut self.whole).start_send(frame)?;
            }
            if let Some(frame) = self.due.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let Some(frame) = ready!(self.whole.poll_next_unpin(cx)?) else {
                let ends = self.fault.tells_the_end();
                return if ends { Poll::Ready(None) } else { Poll::Pending };
            };
            let heard = self.fault.heard(frame);
            self.due.extend(heard);
        }
    }
}

impl Sink<Bytes> for BrokenIo {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        for frame in self.fault.sent(frame) {
            Pin::new(&mut self.whole).start_send(frame)?;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.fault.tells_goodbye() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.whole).poll_close(cx)
    }
}

/// A connection whose two directions were remade apart.
struct Joined {
    sink: SplitSink<Box<dyn FrameIo>, Bytes>,
    frames: BoxStream<'static, io::Result<Bytes>>,
}

impl Stream for Joined {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_next_unpin(cx)
    }
}

impl Sink<Bytes> for Joined {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sink).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        Pin::new(&mut self.sink).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sink).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sink).poll_close(cx)
    }
}

/// A transport whose connections are made otherwise.
struct Remade<C> {
    whole: InMemory,
    connect: Arc<C>,
}

#[async_trait]
impl<C: Connect> Harness for Remade<C> {
    fn link(&self) -> Link {
        let connect: Arc<dyn Connect> = Arc::<C>::clone(&self.connect);
        Link::Duplex(connect)
    }

    fn agent(&self) -> Value {
        self.whole.agent()
    }

    async fn shut_down(&self) -> bool {
        self.whole.shut_down().await
    }
}

/// Fails unless each of `cases` fails over a transport with this fault.
async fn assert_noticed<F: Fault + 'static>(
    fault: impl Fn() -> F + Send + Sync + 'static,
    cases: &[&str],
) {
    let fault: MakeFault = Arc::new(move || Box::new(fault()));
    assert_noticed_by(&Broken { whole: in_memory().await, fault }, cases).await;
}

/// Fails unless each of `cases` fails over `broken`.
async fn assert_noticed_by(broken: &dyn Harness, cases: &[&str]) {
    let report = conformance::run_only(broken, |name| cases.contains(&name)).await;
    for case in cases {
        let noticed = report.failures().any(|(name, _)| name == *case);
        assert!(noticed, "not noticed: {case}\n{report}");
    }
}

fn parsed(frame: &[u8]) -> Value {
    serde_json::from_slice(frame).unwrap_or_default()
}

fn method_of(frame: &[u8]) -> Option<String> {
    Some(parsed(frame).get("method")?.as_str()?.to_owned())
}

fn is_event(frame: &[u8]) -> bool {
    method_of(frame).as_deref() == Some("event.next")
}

fn is_answer(frame: &[u8]) -> bool {
    method_of(frame).is_none()
}

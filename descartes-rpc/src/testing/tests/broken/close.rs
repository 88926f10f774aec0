//! Connections that end too late, not at all, or without a word.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::watch;

use super::{Fault, Heard, Joined, assert_noticed, assert_noticed_by, in_memory, method_of};
use crate::{
    client::{Connect, FrameIo},
    testing::{
        InMemory,
        conformance::{Harness, Link},
    },
};

const CLOSED: &str = "after its last word a stream is closed, and nothing follows";

/// Does not tell the client that the server has closed.
struct NeverEnds;

impl Fault for NeverEnds {
    fn tells_the_end(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_comes_late_is_noticed() {
    let cases = [
        CLOSED,
        "on shutdown an idle connection is closed",
        "on shutdown each subscription of a connection ends with word",
    ];
    assert_noticed(|| NeverEnds, &cases).await;
}

/// Does not tell the server that the client has closed.
struct NoGoodbye;

impl Fault for NoGoodbye {
    fn tells_goodbye(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_not_heard_is_noticed() {
    assert_noticed(|| NoGoodbye, &["a connection ends when its client says goodbye"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_word_is_noticed() {
    let silent = || {
        Heard(|frame: Bytes| match method_of(&frame).as_deref() {
            Some("event.ended") => vec![],
            _ => vec![frame],
        })
    };
    let cases = [
        "on shutdown a subscription ends with word",
        "on shutdown each subscription of a connection ends with word",
        "a subscription ends when its reader asks",
    ];
    assert_noticed(silent, &cases).await;
}

/// Hands on what it was given only when its client listens again.
#[derive(Default)]
struct Procrastinates {
    kept: Vec<Bytes>,
}

impl Fault for Procrastinates {
    fn sent(&mut self, frame: Bytes) -> Vec<Bytes> {
        self.kept.push(frame);
        vec![]
    }

    fn released(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.kept)
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_lost_with_their_client_are_noticed() {
    let case = "who leaves takes back nothing that was asked for";
    assert_noticed(Procrastinates::default, &[case]).await;
}

/// Goes on as if nobody had asked it to end: the connections that come later are another's.
struct GoesOn {
    first: InMemory,
    rest: InMemory,
    asked: AtomicBool,
}

#[async_trait]
impl Harness for GoesOn {
    fn link(&self) -> Link {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked { self.rest.link() } else { self.first.link() }
    }

    fn agent(&self) -> Value {
        self.first.agent()
    }

    async fn shut_down(&self) -> bool {
        self.asked.store(true, Ordering::Relaxed);
        self.first.shut_down().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_door_that_stays_open_after_the_shutdown_is_noticed() {
    let (first, rest) = (in_memory().await, in_memory().await);
    let broken = GoesOn { first, rest, asked: false.into() };
    assert_noticed_by(&broken, &["who comes after a shutdown is not served"]).await;
}

/// Ends every connection as soon as the daemon is asked to end: what was begun is never answered.
struct CutsAtOnce {
    whole: InMemory,
    asked: watch::Sender<bool>,
}

struct CutConnect {
    whole: Arc<dyn Connect>,
    asked: watch::Receiver<bool>,
}

#[async_trait]
impl Connect for CutConnect {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (sink, frames) = self.whole.connect().await?.split();
        let mut asked = self.asked.clone();
        let cut = async move { drop(asked.wait_for(|asked| *asked).await) };
        Ok(Box::new(Joined { sink, frames: frames.take_until(Box::pin(cut)).boxed() }))
    }

    fn transport_name(&self) -> &'static str {
        "cut"
    }
}

#[async_trait]
impl Harness for CutsAtOnce {
    fn link(&self) -> Link {
        let Link::Duplex(whole) = self.whole.link() else { panic!("memory is duplex") };
        Link::Duplex(Arc::new(CutConnect { whole, asked: self.asked.subscribe() }))
    }

    fn agent(&self) -> Value {
        self.whole.agent()
    }

    async fn shut_down(&self) -> bool {
        self.asked.send_replace(true);
        self.whole.shut_down().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_cuts_what_was_begun_is_noticed() {
    let broken = CutsAtOnce { whole: in_memory().await, asked: watch::channel(false).0 };
    let cases = [
        "on shutdown what was begun is answered",
        "on shutdown a subscription ends with word",
        CLOSED,
    ];
    assert_noticed_by(&broken, &cases).await;
}

//! A transport in memory on which each message has an answer of its own: whole, and broken.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::{
    client::Exchange,
    connection::{Answer, answer_until, oversize_body},
    limits::REQUEST_BYTES,
    message::EndReason,
    peer::Peer,
    service::Rpc,
    testing::{
        conformance::{self, Harness, Link},
        fake_agent, fake_chat, fake_host,
    },
};

type Messages = BoxStream<'static, io::Result<Bytes>>;
type Answered = Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>;
type Streamed = Arc<dyn Fn(Messages) -> Messages + Send + Sync>;

/// The transport, and what it makes of answers and streams.
#[derive(Clone)]
struct OneByOne {
    rpc: Rpc,
    stop: watch::Sender<bool>,
    answered: Answered,
    streamed: Streamed,
    /// How many messages are answered at once.
    hands: Arc<Semaphore>,
}

impl OneByOne {
    async fn new() -> Self {
        Self {
            rpc: Rpc::builder(fake_host().await).build(),
            stop: watch::channel(false).0,
            answered: Arc::new(|body| body),
            streamed: Arc::new(|messages| messages),
            hands: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    async fn answering(answered: impl Fn(Bytes) -> Bytes + Send + Sync + 'static) -> Self {
        Self { answered: Arc::new(answered), ..Self::new().await }
    }

    async fn streaming(streamed: impl Fn(Messages) -> Messages + Send + Sync + 'static) -> Self {
        Self { streamed: Arc::new(streamed), ..Self::new().await }
    }

    async fn answer(&self, message: Bytes, streams: bool) -> io::Result<Answer> {
        if *self.stop.borrow() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if message.len() > REQUEST_BYTES {
            let body = Some(oversize_body(REQUEST_BYTES));
            return Ok(Answer { body, ..Answer::default() });
        }
        let mut stopping = self.stop.subscribe();
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        let peer = Peer::owner("one by one");
        Ok(answer_until(self.rpc.clone(), peer, message, streams, stopped).await)
    }
}

#[async_trait]
impl Exchange for OneByOne {
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes> {
        let _hand = self.hands.acquire().await.unwrap();
        let answer = self.answer(message, false).await?;
        Ok((self.answered)(answer.body.unwrap_or_default()))
    }

    async fn stream(&self, message: Bytes) -> io::Result<Messages> {
        let answer = self.answer(message, true).await?;
        let (connection, mut stopping) = (answer.connection, self.stop.subscribe());
        tokio::spawn(async move {
            drop(stopping.wait_for(|stop| *stop).await);
            connection.end_streams(EndReason::Shutdown);
        });
        let first = stream::iter(answer.body.map(Ok));
        let rest = answer.notifications.unwrap_or_else(|| stream::empty().boxed());
        Ok((self.streamed)(first.chain(rest.map(|said| Ok(said.encode()))).boxed()))
    }

    fn transport_name(&self) -> &'static str {
        "one by one"
    }
}

#[async_trait]
impl Harness for OneByOne {
    fn link(&self) -> Link {
        Link::Exchange(Arc::new(self.clone()))
    }

    fn agent(&self) -> Value {
        fake_agent()
    }

    fn chat(&self) -> Value {
        fake_chat()
    }

    async fn shut_down(&self) -> bool {
        self.stop.send_replace(true);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_of_single_answers_passes_every_case_that_it_can_be_asked() {
    let report = conformance::run(&OneByOne::new().await).await;
    report.assert_passed();
    let reasons: BTreeSet<_> = report.skipped().map(|(_, why)| why).collect();
    let expected = ["needs a duplex connection", "this service does not count its connections"];
    assert!(reasons.iter().eq(&expected), "{report}");
}

async fn assert_noticed(broken: OneByOne, cases: &[&str]) {
    let report = conformance::run_only(&broken, |name| cases.contains(&name)).await;
    for case in cases {
        let noticed = report.failures().any(|(name, _)| name == *case);
        assert!(noticed, "not noticed: {case}\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_others_and_to_nobody_are_noticed() {
    let before = Mutex::new(Bytes::new());
    let late = OneByOne::answering(move |body| {
        let last = std::mem::replace(&mut *before.lock().unwrap(), body.clone());
        if last.is_empty() { body } else { last }
    });
    assert_noticed(late.await, &["each of many answers is the one to its call"]).await;
    let empty = OneByOne::answering(|body| if body.is_empty() { "{}".into() } else { body });
    assert_noticed(empty.await, &["a notification", "a batch of notifications"]).await;
    let none = OneByOne::answering(|_| Bytes::new());
    assert_noticed(none.await, &["a number as id", "health says who it is"]).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_each_other_are_noticed() {
    let one_hand = OneByOne { hands: Arc::new(Semaphore::new(1)), ..OneByOne::new().await };
    let cases = ["a call that waits delays no other", "a wait for an agent ends with it"];
    assert_noticed(one_hand, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_begin_wrong_lose_something_or_do_not_end_are_noticed() {
    const RESUMED: &str = "whoever comes back with any cursor sees the rest and nothing twice";
    const WORD: &str = "on shutdown a subscription ends with word";
    let no_answer = OneByOne::streaming(|messages| messages.skip(1).boxed());
    assert_noticed(no_answer.await, &[RESUMED, WORD]).await;
    let one_lost = OneByOne::streaming(|messages| {
        let kept = messages.enumerate().filter(|(at, _)| std::future::ready(*at != 2));
        kept.map(|(_, message)| message).boxed()
    });
    assert_noticed(one_lost.await, &[RESUMED]).await;
    let twice = OneByOne::streaming(|messages| {
        let twice = |message: io::Result<Bytes>| {
            let message = message.unwrap();
            stream::iter([Ok(message.clone()), Ok(message)])
        };
        messages.flat_map(twice).boxed()
    });
    assert_noticed(twice.await, &[RESUMED]).await;
    let endless = OneByOne::streaming(|messages| messages.chain(stream::pending()).boxed());
    let closed = "after its last word a stream is closed, and nothing follows";
    let own_end = "a stream of a call that is none is its answer";
    assert_noticed(endless.await, &[closed, own_end]).await;
    let short = OneByOne::streaming(|messages| messages.take(3).boxed());
    assert_noticed(short.await, &[RESUMED]).await;
}

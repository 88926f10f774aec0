//! Messages that overtake each other, wait for each other, or go to the wrong one.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex},
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::{
    Fault, Heard, Joined, Remade, Sent, assert_noticed, assert_noticed_by, in_memory, is_answer,
    is_event, method_of, parsed,
};
use crate::{
    client::{Connect, FrameIo},
    testing::conformance::{Harness as _, Link},
};

#[tokio::test(start_paused = true)]
async fn events_that_change_places_are_noticed() {
    let swapped = || {
        let mut kept: Option<Bytes> = None;
        Heard(move |frame: Bytes| match kept.take() {
            Some(before) => vec![frame, before],
            None if is_event(&frame) => {
                kept = Some(frame);
                vec![]
            }
            None => vec![frame],
        })
    };
    let cases = [
        "whoever comes back with any cursor sees the rest and nothing twice",
        "history comes first, then word that it was all, then what is new",
        "four followers see the same",
    ];
    assert_noticed(swapped, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn a_notification_before_its_answer_is_noticed() {
    let late_answers = || {
        let mut kept = Vec::new();
        Heard(move |frame: Bytes| {
            if parsed(&frame)["result"]["subscription_id"].is_string() {
                kept.push(frame);
                return vec![];
            }
            let due = if is_answer(&frame) { vec![] } else { std::mem::take(&mut kept) };
            [frame].into_iter().chain(due).collect()
        })
    };
    let cases = [
        "whoever comes back with any cursor sees the rest and nothing twice",
        "history comes first, then word that it was all, then what is new",
        "subscriptions opened at once are each answered first",
    ];
    assert_noticed(late_answers, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_the_next_message_is_noticed() {
    let held = || {
        let mut kept: Option<Bytes> = None;
        Heard(move |frame: Bytes| {
            let event = is_event(&frame);
            let before = kept.take().into_iter();
            if event {
                kept = Some(frame);
                return before.collect();
            }
            before.chain([frame]).collect()
        })
    };
    let cases = [
        "history comes first, then word that it was all, then what is new",
        "whoever joins during a burst sees all of it once",
    ];
    assert_noticed(held, &cases).await;
}

/// Hands calls on in pairs that have changed places.
fn swapped_writes() -> impl Fault {
    let mut kept: Option<Bytes> = None;
    Sent(move |frame: Bytes| match kept.take() {
        Some(before) => vec![frame, before],
        None if method_of(&frame).as_deref() == Some("agent.write_stdin") => {
            kept = Some(frame);
            vec![]
        }
        None => vec![frame],
    })
}

#[tokio::test(start_paused = true)]
async fn calls_that_change_places_are_noticed() {
    let cases = [
        "calls sent without waiting take effect in their order",
        "notifications and calls take effect in one order",
    ];
    assert_noticed(swapped_writes, &cases).await;
    let reversed = || {
        Sent(|frame: Bytes| match serde_json::from_slice::<Vec<Value>>(&frame) {
            Ok(mut calls) => {
                calls.reverse();
                vec![Value::from(calls).to_string().into()]
            }
            Err(_) => vec![frame],
        })
    };
    let case = "the calls of a batch take effect in the order of its array";
    assert_noticed(reversed, &[case]).await;
}

/// Gives answers in the order of their calls.
#[derive(Default)]
struct OneByOne {
    asked: VecDeque<String>,
    answers: BTreeMap<String, Bytes>,
}

impl Fault for OneByOne {
    fn sent(&mut self, frame: Bytes) -> Vec<Bytes> {
        if let Some(id) = parsed(&frame).get("id") {
            self.asked.push_back(id.to_string());
        }
        vec![frame]
    }

    fn heard(&mut self, frame: Bytes) -> Vec<Bytes> {
        if !is_answer(&frame) {
            return vec![frame];
        }
        self.answers.insert(parsed(&frame)["id"].to_string(), frame);
        let mut due = Vec::new();
        while let Some(next) = self.asked.front()
            && let Some(answer) = self.answers.remove(next)
        {
            self.asked.pop_front();
            due.push(answer);
        }
        due
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_for_earlier_ones_are_noticed() {
    let cases = ["answers come as they are ready", "200 waits of one connection hold no call up"];
    assert_noticed(OneByOne::default, &cases).await;
}

/// Sends nothing on as long as a call waits.
#[derive(Default)]
struct StopsReading {
    waiting: Option<Value>,
    held: Vec<Bytes>,
}

impl Fault for StopsReading {
    fn sent(&mut self, frame: Bytes) -> Vec<Bytes> {
        if self.waiting.is_some() {
            self.held.push(frame);
            return vec![];
        }
        let call = parsed(&frame);
        let waits = call["params"].get("wait_ms").is_some() || call["method"] == "agent.wait";
        self.waiting = waits.then(|| call["id"].clone());
        vec![frame]
    }

    fn heard(&mut self, frame: Bytes) -> Vec<Bytes> {
        if self.waiting.is_some() && is_answer(&frame) {
            self.waiting = None;
        }
        vec![frame]
    }

    fn released(&mut self) -> Vec<Bytes> {
        if self.waiting.is_some() { vec![] } else { std::mem::take(&mut self.held) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_read_while_a_call_waits_is_noticed() {
    let cases = [
        "answers come as they are ready",
        "a waiting call is cancelled",
        "200 waits of one connection hold no call up",
    ];
    assert_noticed(StopsReading::default, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_go_to_each_others_calls_are_noticed() {
    let exchanged = || {
        let mut kept: Option<Value> = None;
        Heard(move |frame: Bytes| {
            let mut answer = parsed(&frame);
            let of_query = answer["result"].get("state").is_some();
            match kept.take() {
                Some(mut before) if of_query => {
                    let id = before["id"].take();
                    before["id"] = std::mem::replace(&mut answer["id"], id);
                    vec![before.to_string().into(), answer.to_string().into()]
                }
                Some(before) => vec![before.to_string().into(), frame],
                None if of_query => {
                    kept = Some(answer);
                    vec![]
                }
                None => vec![frame],
            }
        })
    };
    assert_noticed(exchanged, &["each of many answers is the one to its call"]).await;
}

/// Tells the notifications of one connection to all.
struct SharedConnect {
    whole: Arc<dyn Connect>,
    all: Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>,
}

/// More than any case is told on one connection.
const QUEUED: usize = 1024;

#[async_trait]
impl Connect for SharedConnect {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (sink, frames) = self.whole.connect().await?.split();
        let (teller, told) = mpsc::channel(QUEUED);
        self.all.lock().unwrap().push(teller);
        let all = Arc::clone(&self.all);
        let own = frames.filter_map(move |frame| {
            let notified = frame.as_ref().ok().filter(|frame| !is_answer(frame));
            for teller in all.lock().unwrap().iter().filter(|_| notified.is_some()) {
                // Who has gone or is told too much does not matter here.
                drop(teller.try_send(notified.cloned().unwrap_or_default()));
            }
            std::future::ready(notified.is_none().then_some(frame))
        });
        let told = stream::unfold(told, |mut told| async {
            let frame = told.recv().await?;
            Some((Ok(frame), told))
        });
        Ok(Box::new(Joined { sink, frames: stream::select(own, told).boxed() }))
    }

    fn transport_name(&self) -> &'static str {
        "shared"
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_connections_share_are_noticed() {
    let whole = in_memory().await;
    let Link::Duplex(link) = whole.link() else { panic!("memory is duplex") };
    let connect = Arc::new(SharedConnect { whole: link, all: Arc::default() });
    let broken = Remade { whole, connect };
    let cases = ["a connection hears only of its own subscriptions", "four followers see the same"];
    assert_noticed_by(&broken, &cases).await;
}

/// Serves one connection after the other.
struct OneAtATime {
    whole: Arc<dyn Connect>,
    turn: Arc<Semaphore>,
}

#[async_trait]
impl Connect for OneAtATime {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.unwrap();
        let (sink, frames) = self.whole.connect().await?.split();
        let frames = frames.chain(stream::poll_fn(move |_| {
            let _held = &turn;
            Poll::Ready(None)
        }));
        Ok(Box::new(Joined { sink, frames: frames.boxed() }))
    }

    fn transport_name(&self) -> &'static str {
        "one at a time"
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_wait_for_each_other_are_noticed() {
    let whole = in_memory().await;
    let Link::Duplex(link) = whole.link() else { panic!("memory is duplex") };
    let connect = Arc::new(OneAtATime { whole: link, turn: Arc::new(Semaphore::new(1)) });
    let cases = ["32 connections are served at once", "a call that waits delays no other"];
    assert_noticed_by(&Remade { whole, connect }, &cases).await;
}

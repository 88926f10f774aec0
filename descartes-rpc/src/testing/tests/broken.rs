//! Transports that are broken on purpose: the suite must say which claim they break.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::Sink;
use serde_json::Value;

use super::in_memory;
use crate::{
    client::{Connect, FrameIo},
    testing::{
        InMemory,
        conformance::{self, Harness, Link, Report},
    },
};

/// What a broken transport makes of a message; it may keep some back.
type Mangle = fn(&mut VecDeque<Bytes>, Bytes) -> Vec<Bytes>;

fn faithful(_kept: &mut VecDeque<Bytes>, frame: Bytes) -> Vec<Bytes> {
    vec![frame]
}

struct Broken {
    whole: InMemory,
    sent: Mangle,
    heard: Mangle,
}

#[async_trait]
impl Harness for Broken {
    fn link(&self) -> Link {
        let Link::Duplex(whole) = self.whole.link() else { panic!("memory is duplex") };
        Link::Duplex(Arc::new(BrokenConnect { whole, sent: self.sent, heard: self.heard }))
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
    sent: Mangle,
    heard: Mangle,
}

#[async_trait]
impl Connect for BrokenConnect {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        Ok(Box::new(BrokenIo {
            whole: self.whole.connect().await?,
            sent: self.sent,
            heard: self.heard,
            kept: VecDeque::new(),
            due: VecDeque::new(),
        }))
    }

    fn transport_name(&self) -> &'static str {
        "broken"
    }
}

struct BrokenIo {
    whole: Box<dyn FrameIo>,
    sent: Mangle,
    heard: Mangle,
    kept: VecDeque<Bytes>,
    due: VecDeque<Bytes>,
}

impl Stream for BrokenIo {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(frame) = self.due.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let Some(frame) = ready!(Pin::new(&mut self.whole).poll_next(cx)?) else {
                return Poll::Ready(None);
            };
            let heard = self.heard;
            let mangled = heard(&mut self.kept, frame);
            self.due.extend(mangled);
        }
    }
}

impl Sink<Bytes> for BrokenIo {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        let sent = self.sent;
        for frame in sent(&mut VecDeque::new(), frame) {
            Pin::new(&mut self.whole).start_send(frame)?;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_close(cx)
    }
}

async fn report(sent: Mangle, heard: Mangle) -> Report {
    conformance::run(&Broken { whole: in_memory().await, sent, heard }).await
}

fn assert_notices(report: &Report, case: &str) {
    assert!(report.failures().any(|(name, _)| name == case), "{case} was not noticed: {report}");
}

fn method_of(frame: &[u8]) -> Option<String> {
    let message: Value = serde_json::from_slice(frame).ok()?;
    Some(message.get("method")?.as_str()?.to_owned())
}

#[tokio::test(start_paused = true)]
async fn identifiers_that_go_through_a_number_type_are_noticed() {
    let heard: Mangle = |_, frame| {
        let parsed = serde_json::from_slice::<Value>(&frame);
        vec![parsed.map_or(frame, |value| value.to_string().into())]
    };
    assert_notices(&report(faithful, heard).await, "an id beyond 2^64");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_notification_is_noticed() {
    let sent: Mangle = |_, frame| match serde_json::from_slice::<Value>(&frame) {
        Ok(Value::Object(mut call)) if call.contains_key("method") && !call.contains_key("id") => {
            call.insert("id".into(), Value::Null);
            vec![Value::Object(call).to_string().into()]
        }
        _ => vec![frame],
    };
    let report = report(sent, faithful).await;
    assert_notices(&report, "a notification");
    assert_notices(&report, "a notification of nothing");
}

#[tokio::test(start_paused = true)]
async fn events_twice_or_missing_are_noticed() {
    let twice: Mangle = |_, frame| match method_of(&frame).as_deref() {
        Some("event.next") => vec![frame.clone(), frame],
        _ => vec![frame],
    };
    let resumed = "whoever comes back with any cursor sees the rest and nothing twice";
    assert_notices(&report(faithful, twice).await, resumed);
    let missing: Mangle = |kept, frame| {
        let event = method_of(&frame).as_deref() == Some("event.next");
        if event && kept.is_empty() {
            kept.push_back(frame);
            return vec![];
        }
        vec![frame]
    };
    assert_notices(&report(faithful, missing).await, resumed);
}

#[tokio::test(start_paused = true)]
async fn a_notification_before_its_answer_is_noticed() {
    // Holds back the first answer until something else has come.
    let heard: Mangle = |kept, frame| {
        if kept.is_empty() {
            kept.push_back(frame);
            return vec![];
        }
        let held = std::mem::replace(&mut kept[0], Bytes::new());
        if held.is_empty() { vec![frame] } else { vec![frame, held] }
    };
    assert!(report(faithful, heard).await.failures().count() > 10);
}

#[tokio::test(start_paused = true)]
async fn a_batch_answered_in_pieces_is_noticed() {
    let heard: Mangle = |_, frame| match serde_json::from_slice::<Vec<Value>>(&frame) {
        Ok(answers) => answers.iter().map(|answer| answer.to_string().into()).collect(),
        Err(_) => vec![frame],
    };
    assert_notices(&report(faithful, heard).await, "a mixed batch");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_word_is_noticed() {
    let heard: Mangle = |_, frame| match method_of(&frame).as_deref() {
        Some("event.ended") => vec![],
        _ => vec![frame],
    };
    let report = report(faithful, heard).await;
    assert_notices(&report, "on shutdown a subscription ends with word");
    assert_notices(&report, "a subscription ends when its reader asks");
}

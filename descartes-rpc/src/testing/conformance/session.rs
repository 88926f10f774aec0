//! One client of the daemon under test.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use super::{
    Harness, Link,
    expect::{Failure, failure, outcome},
};
use crate::client::{Exchange, FrameIo};

/// A client that sends what it is told and hears what comes back.
pub(crate) enum Session {
    Duplex(Duplex),
    Exchange { exchange: Arc<dyn Exchange>, next: u64 },
}

/// A connection, with notifications that came while an answer was awaited.
pub(crate) struct Duplex {
    io: Box<dyn FrameIo>,
    next: u64,
    notifications: VecDeque<Value>,
}

impl Session {
    pub(crate) async fn open(harness: &dyn Harness) -> Result<Self, Failure> {
        Ok(match harness.link() {
            Link::Duplex(connect) => Self::Duplex(Duplex {
                io: connect.connect().await?,
                next: 1_000_000,
                notifications: VecDeque::new(),
            }),
            Link::Exchange(exchange) => Self::Exchange { exchange, next: 1_000_000 },
        })
    }

    /// Sends a message that is answered, and gives the answer.
    pub(crate) async fn ask(&mut self, message: impl Into<Bytes>) -> Result<Bytes, Failure> {
        match self {
            Self::Duplex(duplex) => {
                duplex.io.send(message.into()).await?;
                duplex.answer().await
            }
            Self::Exchange { exchange, .. } => {
                let body = exchange.exchange(message.into()).await?;
                if body.is_empty() { Err(failure("no answer")) } else { Ok(body) }
            }
        }
    }

    /// Sends a message and gives what comes back before a call that is sent behind it is answered.
    pub(crate) async fn tell(
        &mut self,
        message: impl Into<Bytes>,
    ) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Duplex(duplex) => {
                duplex.io.send(message.into()).await?;
                let probe = duplex.fresh();
                duplex.io.send(call(probe, "system.health", &json!({}))).await?;
                let first = duplex.answer().await?;
                if is_answer_to(&first, probe) {
                    return Ok(None);
                }
                let second = duplex.answer().await?;
                let complete = is_answer_to(&second, probe);
                complete.then_some(Some(first)).ok_or_else(|| failure("more than one answer"))
            }
            Self::Exchange { exchange, .. } => {
                let body = exchange.exchange(message.into()).await?;
                Ok((!body.is_empty()).then_some(body))
            }
        }
    }

    /// Calls a method; the inner error is the daemon's.
    pub(crate) async fn try_call(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<Result<Value, Value>, Failure> {
        let id = self.fresh();
        outcome(&self.ask(call(id, method, &params)).await?)
    }

    /// Calls a method that must succeed.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let answered = self.try_call(method, params).await?;
        answered.map_err(|error| failure(format!("{method} answered {error}")))
    }

    /// Subscribes; the rest of this session is the notifications.
    pub(crate) async fn follow(mut self, params: Value) -> Result<Feed, Failure> {
        let id = self.fresh();
        let message = call(id, "event.subscribe", &params);
        match self {
            Self::Duplex(mut duplex) => {
                duplex.io.send(message).await?;
                let opened = outcome(&duplex.answer().await?)?;
                let opened = opened.map_err(|error| failure(format!("refused: {error}")))?;
                Ok(Feed { opened, source: Source::Duplex(duplex) })
            }
            Self::Exchange { exchange, .. } => {
                let mut stream = exchange.stream(message).await?;
                let first = stream.next().await.ok_or_else(|| failure("an empty stream"))??;
                let opened = outcome(&first)?;
                let opened = opened.map_err(|error| failure(format!("refused: {error}")))?;
                Ok(Feed { opened, source: Source::Stream(stream) })
            }
        }
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        match self {
            Self::Duplex(duplex) => duplex.fresh(),
            Self::Exchange { next, .. } => {
                *next += 1;
                *next
            }
        }
    }

    pub(crate) fn duplex(self) -> Result<Duplex, Failure> {
        match self {
            Self::Duplex(duplex) => Ok(duplex),
            Self::Exchange { .. } => Err(failure("not a duplex connection")),
        }
    }
}

impl Duplex {
    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends a call without waiting for its answer.
    pub(crate) async fn begin(&mut self, method: &str, params: Value) -> Result<u64, Failure> {
        let id = self.fresh();
        self.io.send(call(id, method, &params)).await?;
        Ok(id)
    }

    /// The next answer; notifications before it are kept.
    pub(crate) async fn answer(&mut self) -> Result<Bytes, Failure> {
        loop {
            let frame = self.io.next().await.ok_or_else(|| failure("the connection ended"))??;
            match notification(&frame) {
                Some(notification) => self.notifications.push_back(notification),
                None => return Ok(frame),
            }
        }
    }

    /// The next notification; nothing else may come before it.
    async fn notification(&mut self) -> Result<Option<Value>, Failure> {
        if let Some(kept) = self.notifications.pop_front() {
            return Ok(Some(kept));
        }
        let Some(frame) = self.io.next().await else { return Ok(None) };
        let frame = frame?;
        let text = String::from_utf8_lossy(&frame);
        notification(&frame).map(Some).ok_or_else(|| failure(format!("not a notification: {text}")))
    }
}

/// The notifications of a subscription, after its answer.
pub(crate) struct Feed {
    /// The answer's result.
    pub(crate) opened: Value,
    source: Source,
}

enum Source {
    Duplex(Duplex),
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

impl Feed {
    /// The next notification; nothing when the connection or stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        match &mut self.source {
            Source::Duplex(duplex) => duplex.notification().await,
            Source::Stream(stream) => match stream.next().await.transpose()? {
                None => Ok(None),
                Some(frame) => {
                    let text = String::from_utf8_lossy(&frame);
                    let why = || failure(format!("not a notification: {text}"));
                    notification(&frame).map(Some).ok_or_else(why)
                }
            },
        }
    }

    /// The next notification, which must come and be of this subscription.
    pub(crate) async fn expect(&mut self, method: &str) -> Result<Value, Failure> {
        let heard = self.next().await?.ok_or_else(|| failure("the stream ended"))?;
        let params = &heard["params"];
        if heard["method"] != method {
            return Err(failure(format!("{method} should have come instead of {heard}")));
        }
        if params["subscription_id"] != self.opened["subscription_id"] {
            return Err(failure(format!("of another subscription: {heard}")));
        }
        Ok(params.clone())
    }

    /// The connection, for a duplex one.
    pub(crate) fn duplex(&mut self) -> Result<&mut Duplex, Failure> {
        match &mut self.source {
            Source::Duplex(duplex) => Ok(duplex),
            Source::Stream(_) => Err(failure("not a duplex connection")),
        }
    }
}

/// A call as it goes over the wire.
pub(crate) fn call(id: u64, method: &str, params: &Value) -> Bytes {
    let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    Bytes::from(call.to_string())
}

pub(crate) fn id_of(answer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(answer).ok()?.get("id")?.as_u64()
}

fn is_answer_to(answer: &[u8], id: u64) -> bool {
    id_of(answer) == Some(id)
}

fn notification(frame: &[u8]) -> Option<Value> {
    let message: Value = serde_json::from_slice(frame).ok()?;
    let is_one = message.get("method").is_some() && message.get("id").is_none();
    is_one.then_some(message)
}

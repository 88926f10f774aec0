//! One client of the daemon under test.

mod duplex;

use std::sync::Arc;

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, future::try_join_all};
use serde_json::{Value, json};

use super::{
    Harness, Link,
    expect::{Failure, check, failure, outcome},
};
use crate::client::Exchange;

pub(crate) use duplex::Duplex;

/// Identifiers that a session gives out itself begin here, so that those of a case's own messages
/// are none of them.
const FIRST_ID: u64 = 1_000_000;

/// A client that sends what it is told and hears what comes back.
pub(crate) enum Session {
    Duplex(Duplex),
    Exchange { exchange: Arc<dyn Exchange>, next: u64 },
}

impl Session {
    pub(crate) async fn open(harness: &dyn Harness) -> Result<Self, Failure> {
        Ok(match harness.link() {
            Link::Duplex(connect) => Self::Duplex(Duplex::new(connect.connect().await?)),
            Link::Exchange(exchange) => Self::Exchange { exchange, next: FIRST_ID },
        })
    }

    /// Sends a message that is answered, and gives the answer.
    pub(crate) async fn ask(&mut self, message: impl Into<Bytes>) -> Result<Bytes, Failure> {
        match self {
            Self::Duplex(duplex) => {
                duplex.send(message).await?;
                duplex.answer().await
            }
            Self::Exchange { exchange, .. } => ask(&**exchange, message.into()).await,
        }
    }

    /// Sends messages without waiting in between, and gives their answers in no particular order.
    pub(crate) async fn at_once(&mut self, messages: Vec<Bytes>) -> Result<Vec<Bytes>, Failure> {
        match self {
            Self::Duplex(duplex) => {
                let count = messages.len();
                for message in messages {
                    duplex.send(message).await?;
                }
                duplex.answers(count).await
            }
            Self::Exchange { exchange, .. } => {
                try_join_all(messages.into_iter().map(|message| ask(&**exchange, message))).await
            }
        }
    }

    /// Sends a message and gives what comes back before a call that is sent behind it is answered.
    pub(crate) async fn tell(
        &mut self,
        message: impl Into<Bytes>,
    ) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Duplex(duplex) => duplex.tell(message).await,
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
        let answer = self.ask(call(id, method, &params)).await?;
        check(id_of(&answer) == Some(id), || format!("{method} got the answer to another call"))?;
        outcome(&answer)
    }

    /// Calls a method that must succeed.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let answered = self.try_call(method, params).await?;
        answered.map_err(|error| failure(format!("{method} answered {error}")))
    }

    /// Subscribes; the rest of this session is the notifications.
    pub(crate) async fn follow(self, params: Value) -> Result<Feed, Failure> {
        let opened = self.try_follow(params).await?;
        opened.map_err(|error| failure(format!("event.subscribe answered {error}")))
    }

    /// Subscribes; the inner error is the daemon's.
    pub(crate) async fn try_follow(
        mut self,
        params: Value,
    ) -> Result<Result<Feed, Value>, Failure> {
        let id = self.fresh();
        let message = call(id, "event.subscribe", &params);
        let (first, source) = match self {
            Self::Duplex(mut duplex) => {
                duplex.send(message).await?;
                let first = duplex.answer().await?;
                check(duplex.heard_nothing(), || "a notification came before its answer".into())?;
                (first, Source::Duplex(duplex))
            }
            Self::Exchange { exchange, .. } => {
                let mut stream = exchange.stream(message).await?;
                let first = stream.next().await.ok_or_else(|| failure("an empty stream"))??;
                (first, Source::Stream(stream))
            }
        };
        check(id_of(&first) == Some(id), || {
            let text = String::from_utf8_lossy(&first);
            format!("the answer should have come first instead of {text}")
        })?;
        Ok(outcome(&first)?.map(|opened| Feed { opened, source }))
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

    /// Fails when notifications have come that nobody asked for.
    pub(crate) fn expect_no_notifications(&self) -> Result<(), Failure> {
        match self {
            Self::Duplex(duplex) if !duplex.heard_nothing() => {
                Err(failure("notifications came that nobody asked for"))
            }
            Self::Duplex(_) | Self::Exchange { .. } => Ok(()),
        }
    }

    pub(crate) fn duplex(self) -> Result<Duplex, Failure> {
        match self {
            Self::Duplex(duplex) => Ok(duplex),
            Self::Exchange { .. } => Err(failure("not a duplex connection")),
        }
    }
}

async fn ask(exchange: &dyn Exchange, message: Bytes) -> Result<Bytes, Failure> {
    let body = exchange.exchange(message).await?;
    if body.is_empty() { Err(failure("no answer")) } else { Ok(body) }
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
            Source::Stream(stream) => {
                stream.next().await.transpose()?.map(|frame| must_notify(&frame)).transpose()
            }
        }
    }

    /// The next notification's method and parameters; it must come and be of this subscription.
    pub(crate) async fn said(&mut self) -> Result<(String, Value), Failure> {
        let mut heard = self.next().await?.ok_or_else(|| failure("the stream ended"))?;
        if heard["params"]["subscription_id"] != self.opened["subscription_id"] {
            return Err(failure(format!("of another subscription: {heard}")));
        }
        let method = heard["method"].as_str().unwrap_or_default().to_owned();
        Ok((method, heard["params"].take()))
    }

    /// The next notification, which must come, be of this subscription and `method`.
    pub(crate) async fn expect(&mut self, method: &str) -> Result<Value, Failure> {
        let (heard, params) = self.said().await?;
        check(heard == method, || {
            format!("{method} should have come instead of {heard} {params}")
        })?;
        Ok(params)
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

/// The message, if it is a notification.
fn notification(frame: &[u8]) -> Option<Value> {
    let message: Value = serde_json::from_slice(frame).ok()?;
    let is_one = message.get("method").is_some() && message.get("id").is_none();
    is_one.then_some(message)
}

fn must_notify(frame: &[u8]) -> Result<Value, Failure> {
    let text = || String::from_utf8_lossy(frame).chars().take(200).collect::<String>();
    notification(frame).ok_or_else(|| failure(format!("not a notification: {}", text())))
}

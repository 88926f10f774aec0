//! Calls and subscriptions over a transport on which every request has its own response.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::follower::{Feed, Place, QUEUED_UPDATES};
use super::incoming::{self, Incoming};
use super::{ClientError, Exchange, Outgoing, Reconnect, Subscription, Update};
use crate::wire::event::{SubscribeParams, Subscribed};

type Messages = BoxStream<'static, io::Result<Bytes>>;

/// The callers' side of such a transport.
pub(super) struct Exchanger {
    exchange: Arc<dyn Exchange>,
    reconnect: Reconnect,
    ids: AtomicU64,
}

impl Exchanger {
    pub(super) fn new(exchange: Arc<dyn Exchange>, reconnect: Reconnect) -> Self {
        Self { exchange, reconnect, ids: AtomicU64::new(0) }
    }

    pub(super) fn transport_name(&self) -> &'static str {
        self.exchange.transport_name()
    }

    pub(super) async fn call(&self, outgoing: Outgoing) -> Result<Bytes, ClientError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let message = outgoing.message(id);
        let mut failed = 0;
        loop {
            match self.exchange.exchange(message.clone()).await {
                Ok(answer) => return read_answer(&answer),
                Err(error) => {
                    let fresh = failed == 0 && never_sent(&error);
                    failed += 1;
                    let pause = self.reconnect.pause(failed);
                    match pause.filter(|_| outgoing.repeatable && !fresh) {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => return Err(self.failure(error, fresh)),
                    }
                }
            }
        }
    }

    fn failure(&self, error: io::Error, fresh: bool) -> ClientError {
        let source = Arc::new(error);
        if fresh {
            ClientError::Unreachable { transport: self.transport_name(), source }
        } else {
            ClientError::ConnectionLost { source: Some(source) }
        }
    }

    pub(super) async fn subscribe(
        &self,
        params: SubscribeParams,
    ) -> Result<Subscription, ClientError> {
        let mut place = Place::new(params);
        let (subscribed, messages) = match open(&*self.exchange, &place).await {
            Ok(opened) => opened,
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Transport(error)) => {
                let fresh = never_sent(&error);
                return Err(self.failure(error, fresh));
            }
        };
        place.opened(&subscribed.cursor);
        let (feed, updates) = mpsc::channel(QUEUED_UPDATES);
        let follow =
            Follow { exchange: Arc::clone(&self.exchange), reconnect: self.reconnect, place, feed };
        tokio::spawn(follow.run(messages));
        Ok(Subscription::new(updates, None, subscribed.cursor))
    }
}

/// Whether the error says that the message cannot have arrived.
fn never_sent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn read_answer(message: &Bytes) -> Result<Bytes, ClientError> {
    match incoming::read(message)? {
        Incoming::Answer { outcome, .. } => outcome.map_err(ClientError::Rpc),
        Incoming::Notice { .. } | Incoming::Unknown => Err(ClientError::Protocol),
    }
}

/// Why a stream could not be opened.
enum Failed {
    /// It makes no sense to try again.
    Final(ClientError),
    /// The transport failed.
    Transport(io::Error),
}

async fn open(exchange: &dyn Exchange, place: &Place) -> Result<(Subscribed, Messages), Failed> {
    let outgoing = Outgoing::new("event.subscribe", place.params()).map_err(Failed::Final)?;
    let mut messages = exchange.stream(outgoing.message(1)).await.map_err(Failed::Transport)?;
    let first = match messages.next().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(Failed::Transport(error)),
        None => return Err(Failed::Transport(io::ErrorKind::UnexpectedEof.into())),
    };
    let result = read_answer(&first).map_err(Failed::Final)?;
    let subscribed = serde_json::from_slice(&result).map_err(|source| {
        Failed::Final(ClientError::Decode { method: "event.subscribe".to_owned(), source })
    })?;
    Ok((subscribed, messages))
}

/// The task that feeds one subscription.
struct Follow {
    exchange: Arc<dyn Exchange>,
    reconnect: Reconnect,
    place: Place,
    feed: Feed,
}

impl Follow {
    async fn run(mut self, mut messages: Messages) {
        loop {
            if self.relay(&mut messages).await {
                return;
            }
            match self.reopen().await {
                Ok(again) => messages = again,
                Err(error) => {
                    drop(self.feed.send(Err(error)).await);
                    return;
                }
            }
        }
    }

    /// Hands updates on until the stream breaks; true when nothing may follow.
    async fn relay(&mut self, messages: &mut Messages) -> bool {
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = self.feed.closed() => return true,
            };
            let Some(Ok(message)) = message else { return false };
            let Ok(Incoming::Notice { update, .. }) = incoming::read(&message) else { continue };
            if !self.place.wants(&update) {
                continue;
            }
            let last = matches!(update, Update::Ended { .. });
            self.place.stands_after(&update);
            if self.feed.send(Ok(update)).await.is_err() || last {
                return true;
            }
        }
    }

    async fn reopen(&mut self) -> Result<Messages, ClientError> {
        let mut failed = 0;
        loop {
            match open(&*self.exchange, &self.place).await {
                Ok((subscribed, messages)) => {
                    self.place.opened(&subscribed.cursor);
                    return Ok(messages);
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Transport(error)) => {
                    failed += 1;
                    let Some(pause) = self.reconnect.pause(failed) else {
                        return Err(ClientError::ConnectionLost { source: Some(Arc::new(error)) });
                    };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

//! Calls over a transport on which every request has its own response.

mod follow;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::sleep;

use super::backoff::Attempts;
use super::feed::feed;
use super::follower::Place;
use super::incoming::{self, Incoming};
use super::{ClientError, Exchange, Outgoing, Reconnect, Subscription};
use crate::wire::event::SubscribeParams;
use follow::{Failed, Follow};

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

    pub(super) async fn call(&self, outgoing: &Outgoing) -> Result<Bytes, ClientError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let message = outgoing.message(id);
        let mut attempts = Attempts::new(self.reconnect);
        let mut fresh = true;
        loop {
            let (error, pause) = match self.exchange.exchange(message.clone()).await {
                Ok(answer) => {
                    let outcome = read_answer(id, &answer)?;
                    // What may have had its effect before is not refused by `not now`.
                    if fresh || !incoming::is_unavailable(&outcome) {
                        return outcome.map_err(ClientError::Rpc);
                    }
                    (outcome.map_err(ClientError::Rpc), attempts.fail())
                }
                Err(error) => {
                    fresh &= never_sent(&error);
                    let pause = attempts.fail().filter(|_| outgoing.key.is_some() && !fresh);
                    (Err(self.failure(error, fresh)), pause)
                }
            };
            match pause {
                Some(pause) => sleep(pause).await,
                None => return error,
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
        let mut place = Place::new(params, self.reconnect.restarts);
        let (subscribed, messages) = match follow::open(&*self.exchange, &place).await {
            Ok(opened) => opened,
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Transport(error)) => {
                let fresh = never_sent(&error);
                return Err(self.failure(error, fresh));
            }
        };
        place.opened(&subscribed);
        let (feed, updates) = feed();
        let attempts = Attempts::new(self.reconnect);
        let follow = Follow { exchange: Arc::clone(&self.exchange), attempts, place, feed };
        tokio::spawn(follow.run(messages));
        Ok(Subscription::new(updates, None, subscribed.cursor))
    }
}

/// Whether the error says that the message cannot have arrived.
fn never_sent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

type Outcome = Result<Bytes, crate::error::RpcError>;

/// The answer to the call `id`; a refusal by the server itself names no call.
fn read_answer(id: u64, message: &Bytes) -> Result<Outcome, ClientError> {
    match incoming::read(message)? {
        Incoming::Answer { id: Some(of), outcome } if of == id => Ok(outcome),
        Incoming::Answer { id: None, outcome } if outcome.is_err() => Ok(outcome),
        _ => Err(ClientError::Protocol),
    }
}

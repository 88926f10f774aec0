//! The task that feeds one subscription from a stream of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use crate::client::backoff::{Attempts, STEADY};
use crate::client::feed::{Feed, Room};
use crate::client::follower::{Means, Place, passes};
use crate::client::incoming::{self, Incoming};
use crate::client::{ClientError, Exchange, Outgoing};
use crate::limits::CLIENT_DEADLINE;
use crate::wire::event::Subscribed;

pub(super) type Messages = BoxStream<'static, io::Result<Bytes>>;

/// The identifier of the one call of a stream.
const CALL: u64 = 1;

/// Why a stream could not be opened.
pub(super) enum Failed {
    /// The daemon does not want to, or says what nobody understands.
    Refused(ClientError),
    /// The transport failed.
    Transport(io::Error),
}

/// Asks for a stream of what follows `place`.
pub(super) async fn open(
    exchange: &dyn Exchange,
    place: &Place,
) -> Result<(Subscribed, Messages), Failed> {
    let outgoing = Outgoing::new("event.subscribe", place.params()).map_err(Failed::Refused)?;
    let mut messages = exchange.stream(outgoing.message(CALL)).await.map_err(Failed::Transport)?;
    let first = match messages.next().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(Failed::Transport(error)),
        None => return Err(Failed::Transport(io::ErrorKind::UnexpectedEof.into())),
    };
    let outcome = super::read_answer(CALL, &first).map_err(Failed::Refused)?;
    let result = outcome.map_err(|error| Failed::Refused(error.into()))?;
    let subscribed = serde_json::from_slice(&result).map_err(|source| {
        Failed::Refused(ClientError::Decode { method: "event.subscribe".to_owned(), source })
    })?;
    Ok((subscribed, messages))
}

/// How a stream ended.
enum Stopped {
    /// Nothing may follow.
    Finished,
    /// It is to be opened again; whether it brought anything.
    Broken { useful: bool },
}

/// A subscription and the stream that feeds it.
pub(super) struct Follow {
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) attempts: Attempts,
    pub(super) place: Place,
    pub(super) feed: Feed,
}

impl Follow {
    /// Feeds until the reader is gone or nothing may follow; the feed's last item says why.
    pub(super) async fn run(mut self, mut messages: Messages) {
        loop {
            let began = Instant::now();
            let stopped = self.relay(&mut messages).await;
            // The connection goes first: the pause is not spent holding on to it.
            drop(messages);
            let Stopped::Broken { useful } = stopped else { return };
            let useful = useful || began.elapsed() >= STEADY;
            let pause = self.attempts.lose(began.elapsed(), useful);
            let lost = ClientError::ConnectionLost { source: None };
            match self.reopen(pause.ok_or(lost)).await {
                Some(again) => messages = again,
                None => return,
            }
        }
    }

    /// Hands updates on until the stream breaks.
    async fn relay(&mut self, messages: &mut Messages) -> Stopped {
        let mut useful = false;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = self.feed.gone() => return Stopped::Finished,
            };
            let Some(Ok(message)) = message else { return Stopped::Broken { useful } };
            let update = match incoming::read(&message) {
                Ok(Incoming::Notice { update, .. }) => update,
                Ok(_) => continue,
                // It may have been an event: to go on would be to leave it out.
                Err(_) => return Stopped::Broken { useful },
            };
            match self.place.means(&update) {
                Means::Known => {}
                Means::Break => {
                    self.place.broke_at(update.cursor());
                    return Stopped::Broken { useful };
                }
                Means::End => {
                    self.feed.push(Ok(update));
                    return Stopped::Finished;
                }
                Means::News => {
                    useful = true;
                    self.place.stands_after(&update);
                    self.feed.push(Ok(update));
                    // The stream is this reader's alone: it may wait for him.
                    if self.feed.room() == Room::Full {
                        self.feed.caught_up().await;
                    }
                }
            }
        }
    }

    /// Opens the stream again after each pause; `None` when that is given up, and the reader told.
    async fn reopen(&mut self, mut next: Result<Duration, ClientError>) -> Option<Messages> {
        loop {
            let pause = match next {
                Ok(pause) => pause,
                Err(error) => {
                    self.feed.push(Err(error));
                    return None;
                }
            };
            let opened = tokio::select! {
                opened = self.open_after(pause) => opened,
                () = self.feed.gone() => return None,
            };
            match opened {
                Ok((subscribed, messages)) => {
                    self.place.opened(&subscribed);
                    return Some(messages);
                }
                Err(Failed::Refused(error)) if !passes(&error) => next = Err(error),
                Err(Failed::Refused(error)) => next = self.attempts.fail().ok_or(error),
                Err(Failed::Transport(error)) => {
                    let lost = || ClientError::ConnectionLost { source: Some(Arc::new(error)) };
                    next = self.attempts.fail().ok_or_else(lost);
                }
            }
        }
    }

    async fn open_after(&self, pause: Duration) -> Result<(Subscribed, Messages), Failed> {
        sleep(pause).await;
        let opening = timeout(CLIENT_DEADLINE, open(&*self.exchange, &self.place)).await;
        opening.unwrap_or_else(|_| Err(Failed::Transport(io::ErrorKind::TimedOut.into())))
    }
}

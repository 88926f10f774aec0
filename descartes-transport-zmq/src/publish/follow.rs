//! What one subscriber is to be told: a reader of the journal that follows its subscriptions.
//!
//! Each subscriber has an `event.subscribe` of its own inside the process. So it holds a position
//! and no queue: it reads what is in memory, encoded once for all readers, or history when it is
//! behind. Who is slow loses nothing that is kept.

use std::{
    future::pending,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use descartes_rpc::{
    connection::{BareCall, Connection, call_until},
    error::{ErrorKind, RpcError},
    message::{EndReason, Notification, NotificationStream, Text},
    peer::Peer,
    service::RpcService,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Sleep, sleep};

use super::{frame, prefixes::Wanted, seldom::Seldom};
use crate::limits::REOPEN_PAUSE;

/// The messages for one subscriber, in the order of the journal.
///
/// A new subscription begins with what is committed after its reader was opened: until that says
/// `synced`, it goes through what the subscriber still had to be told by its older subscriptions,
/// and the newer ones match nothing. What was cancelled and is subscribed again is newer.
pub(super) struct Follow<S> {
    rpc: S,
    peer: Peer,
    /// What is told once the reader is synced.
    wanted: Wanted,
    /// What is told of the history before that; never more than is wanted.
    before: Wanted,
    synced: bool,
    /// The reader follows something else than what is wanted by now.
    stale: bool,
    /// Some of what is wanted is refused or is not there for this reader, so that all is read of
    /// which it is shown what it may see.
    wide: bool,
    /// Everything committed by now is told, and then no more.
    finishing: bool,
    /// Where the next reader begins: at the end, unless there was one before.
    place: Option<String>,
    state: State,
    gaps: Gaps,
}

enum State {
    /// Nothing is wanted, nothing is read.
    Idle,
    Opening(Pin<Box<dyn Future<Output = Result<Reader, RpcError>> + Send>>),
    Reading(Reader),
    /// History could not be read; it is tried again.
    Pausing(Pin<Box<Sleep>>),
    Finished,
}

/// An open subscription.
struct Reader {
    notifications: NotificationStream,
    connection: Connection,
    subscription_id: String,
    /// It was asked to say where it stands, and to end.
    ending: bool,
}

impl Reader {
    fn end(&mut self) {
        if !mem::replace(&mut self.ending, true)
            && !self.connection.unsubscribe(&self.subscription_id)
        {
            tracing::debug!("a subscription has ended before it was asked to");
        }
    }
}

impl<S: RpcService> Follow<S> {
    pub(super) fn new(rpc: S, peer: Peer) -> Self {
        Self {
            rpc,
            peer,
            wanted: Wanted::default(),
            before: Wanted::default(),
            synced: false,
            stale: false,
            wide: false,
            finishing: false,
            place: None,
            state: State::Idle,
            gaps: Gaps::default(),
        }
    }

    /// Follows `wanted` from now on.
    pub(super) fn follow(&mut self, wanted: Wanted) {
        if wanted == self.wanted || self.finishing {
            return;
        }
        if wanted.is_empty() {
            let (rpc, peer) = (self.rpc.clone(), self.peer.clone());
            let gaps = mem::take(&mut self.gaps);
            *self = Self { gaps, ..Self::new(rpc, peer) };
            return;
        }
        // What is wanted no more is forgotten, or one that takes nothing and changes its mind
        // would cost more and more.
        self.before = self.wanted.and(&wanted);
        self.wanted = wanted;
        self.wide = false;
        self.synced = false;
        match self.state {
            State::Idle => self.open(),
            _ => self.stale = true,
        }
    }

    /// Tells what is committed by now, and then no more.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
        self.leave_history();
        match self.state {
            State::Idle => self.state = State::Finished,
            _ => self.stale = true,
        }
    }

    /// The next reader begins in the history of this one: what this would have told when it was
    /// synced, the next one tells at once.
    fn leave_history(&mut self) {
        if !self.synced {
            self.before = self.wanted.clone();
        }
    }

    /// How many prefixes of earlier subscriptions are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.before.len()
    }

    /// The next message; none when there will be no more.
    ///
    /// # Errors
    ///
    /// When the journal cannot be followed at all.
    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RpcError>>> {
        loop {
            match &mut self.state {
                State::Idle => return Poll::Pending,
                State::Finished => return Poll::Ready(None),
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(reader) => self.state = State::Reading(reader),
                    Err(error) if !self.wide && is_about_topics(&error) => {
                        tracing::debug!(%error, "a subscriber hears what else it wants");
                        self.wide = true;
                        self.open();
                    }
                    Err(_) if self.finishing => self.state = State::Finished,
                    Err(error) if error.is_retryable() => self.pause(&error),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.open();
                }
                State::Reading(reader) => {
                    let polled = reader.notifications.as_mut().poll_next(cx);
                    if self.stale {
                        // It has just looked, so the place that it says is not an old one.
                        let asked = reader.ending;
                        reader.end();
                        if polled.is_pending() && !asked {
                            continue;
                        }
                    }
                    match ready!(polled) {
                        Some(notification) => {
                            if let Some(message) = self.hear(notification) {
                                return Poll::Ready(Some(Ok(message)));
                            }
                        }
                        None => self.state = State::Finished,
                    }
                }
            }
        }
    }

    /// What the subscriber is to be told of it.
    fn hear(&mut self, notification: Notification) -> Option<Bytes> {
        match notification {
            Notification::Event { event, .. } => match frame::message(&event) {
                Ok(message) => self.is_told(&message).then_some(message),
                Err(error) => {
                    tracing::error!(%error, "an event is not published");
                    None
                }
            },
            Notification::Synced { .. } => {
                // A reader that is about to end has nothing to say of what came after it.
                if !self.stale {
                    self.synced = true;
                    if self.finishing {
                        self.state = State::Finished;
                    }
                }
                None
            }
            Notification::Gap { topic, from_offset, to_offset, .. } => {
                self.gaps.note(&topic, to_offset.saturating_sub(from_offset));
                None
            }
            Notification::Ended { reason, cursor, .. } => {
                self.hear_end(reason, &cursor);
                None
            }
            // What a later service says has no form here.
            _ => None,
        }
    }

    fn is_told(&self, message: &[u8]) -> bool {
        self.wanted.matches(message) && (self.synced || self.before.matches(message))
    }

    fn hear_end(&mut self, reason: EndReason, cursor: &Text) {
        self.place = Some(cursor.as_str().to_owned());
        let asked = matches!(&self.state, State::Reading(reader) if reader.ending);
        match reason {
            EndReason::Unsubscribed if asked => self.open(),
            EndReason::Unsubscribed | EndReason::StoreError => {
                self.leave_history();
                self.pause(&reason);
            }
            EndReason::Shutdown => self.state = State::Finished,
            _ => {
                tracing::warn!(%reason, "a subscriber is told no more");
                self.state = State::Finished;
            }
        }
    }

    fn pause(&mut self, why: &dyn std::fmt::Display) {
        tracing::warn!(%why, "events cannot be published for now");
        self.state = State::Pausing(Box::pin(sleep(REOPEN_PAUSE)));
    }

    fn open(&mut self) {
        self.stale = false;
        let topics = if self.wide { self.wanted.rooms() } else { self.wanted.topics() };
        let asked = Asked { topics, after: self.place.as_deref().unwrap_or("now") };
        self.state = if asked.topics.is_empty() {
            // Nothing can begin with what is wanted.
            self.place = None;
            if self.finishing { State::Finished } else { State::Idle }
        } else {
            // Writing plain structs to memory has no way to fail.
            let params = serde_json::to_vec(&asked).unwrap_or_default().into();
            State::Opening(Box::pin(open(self.rpc.clone(), self.peer.clone(), params)))
        };
    }
}

/// Whether other topics could be read by the same reader.
fn is_about_topics(error: &RpcError) -> bool {
    !error.is_retryable() && error.kind() != ErrorKind::Unauthenticated
}

/// Parameters of `event.subscribe`.
#[derive(Serialize)]
struct Asked<'a> {
    topics: Vec<String>,
    after: &'a str,
}

/// What is read of its result.
#[derive(Deserialize)]
struct Opened {
    subscription_id: String,
}

async fn open<S: RpcService>(rpc: S, peer: Peer, params: Bytes) -> Result<Reader, RpcError> {
    let call = BareCall::new("event.subscribe", &params)?.streaming(true);
    let outcome = call_until(rpc, peer, call, pending()).await;
    let opened: Opened =
        serde_json::from_slice(&outcome.result?).map_err(|error| RpcError::internal(&error))?;
    let unfollowed = || RpcError::internal(&"nothing follows a subscription");
    Ok(Reader {
        notifications: outcome.notifications.ok_or_else(unfollowed)?,
        connection: outcome.connection,
        subscription_id: opened.subscription_id,
        ending: false,
    })
}

/// What a subscriber missed because history was trimmed before it had read it. It sees the hole in
/// `offset`; the log says so now and then.
#[derive(Debug, Default)]
struct Gaps {
    events: u64,
    log: Seldom,
}

impl Gaps {
    fn note(&mut self, topic: &str, events: u64) {
        self.events = self.events.saturating_add(events);
        if self.log.is_due() {
            let events = mem::take(&mut self.events);
            tracing::warn!(topic, events, "history was trimmed before a subscriber had read it");
        }
    }
}

//! Many calls and subscriptions over one connection that may be lost and made again.

mod connection;
mod driver;
mod link;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::feed::{Feed, feed};
use super::follower::{Line, Place};
use super::{ClientError, Connect, Outgoing, Reconnect, Subscription};
use crate::wire::event::{SubscribeParams, Subscribed};

/// Calls that wait to be written; more wait in their callers.
const QUEUED_COMMANDS: usize = 256;

/// What callers tell the task that owns the connection.
pub(super) enum Command {
    /// A call.
    Call { id: u64, call: Call },
    /// Nobody waits for this answer any more.
    Forget { id: u64 },
    /// A subscription begins.
    Follow { key: u64, follow: Follow },
    /// A subscription was dropped.
    Unfollow { key: u64 },
}

/// A call that waits for its answer.
pub(super) struct Call {
    message: Bytes,
    repeatable: bool,
    waits: bool,
    /// How often it was handed to a connection.
    sent: u32,
    /// It is sent again after a pause, not with the next connection.
    resting: bool,
    answer: oneshot::Sender<Result<Bytes, ClientError>>,
}

/// A subscription that waits to be opened.
pub(super) struct Follow {
    place: Place,
    feed: Feed,
    opened: oneshot::Sender<Result<Subscribed, ClientError>>,
}

/// The callers' side of a connection.
pub(super) struct Duplex {
    connector: Arc<dyn Connect>,
    reconnect: Reconnect,
    ids: Arc<AtomicU64>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
}

impl Duplex {
    pub(super) fn new(connector: Arc<dyn Connect>, reconnect: Reconnect) -> Self {
        Self { connector, reconnect, ids: Arc::default(), commands: Mutex::default() }
    }

    pub(super) fn transport_name(&self) -> &'static str {
        self.connector.transport_name()
    }

    /// The queue of the task that owns the connection, which begins with the first call, and
    /// again when the runtime that it ran in is gone.
    fn commands(&self) -> mpsc::Sender<Command> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = commands.as_ref().filter(|sender| !sender.is_closed()) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(QUEUED_COMMANDS);
        let (connector, ids) = (Arc::clone(&self.connector), Arc::clone(&self.ids));
        tokio::spawn(driver::Driver::new(connector, self.reconnect, ids, receiver).run());
        *commands = Some(sender.clone());
        sender
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) async fn call(&self, outgoing: &Outgoing) -> Result<Bytes, ClientError> {
        let id = self.next_id();
        let (answer, answered) = oneshot::channel();
        let call = Call {
            message: outgoing.message(id),
            repeatable: outgoing.key.is_some(),
            waits: outgoing.waits,
            sent: 0,
            resting: false,
            answer,
        };
        let commands = self.commands();
        if commands.send(Command::Call { id, call }).await.is_err() {
            return Err(gone());
        }
        let forget = Forget { commands: Some(commands), id };
        let answer = answered.await.unwrap_or_else(|_| Err(gone()));
        forget.done();
        answer
    }

    pub(super) async fn subscribe(
        &self,
        params: SubscribeParams,
    ) -> Result<Subscription, ClientError> {
        let key = self.next_id();
        let (feed, updates) = feed();
        let (opened, is_open) = oneshot::channel();
        let commands = self.commands();
        let line = Line::new(commands.clone(), key);
        let follow = Follow { place: Place::new(params, self.reconnect.restarts), feed, opened };
        if commands.send(Command::Follow { key, follow }).await.is_err() {
            return Err(gone());
        }
        let subscribed = is_open.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Subscription::new(updates, Some(line), subscribed.cursor))
    }
}

/// The task that owns the connection ended with its runtime.
fn gone() -> ClientError {
    ClientError::ConnectionLost { source: None }
}

/// Tells the connection's task when a call's future is dropped before its answer.
struct Forget {
    commands: Option<mpsc::Sender<Command>>,
    id: u64,
}

impl Forget {
    fn done(mut self) {
        self.commands = None;
    }
}

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(commands) = &self.commands {
            // If the queue is full the call is found without a caller soon.
            drop(commands.try_send(Command::Forget { id: self.id }));
        }
    }
}

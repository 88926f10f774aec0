//! Many calls and subscriptions over one connection that may be lost and made again.

mod connection;
mod driver;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::follower::{Feed, Line, Place, QUEUED_UPDATES};
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
    sent: bool,
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
    commands: OnceLock<mpsc::Sender<Command>>,
}

impl Duplex {
    pub(super) fn new(connector: Arc<dyn Connect>, reconnect: Reconnect) -> Self {
        Self { connector, reconnect, ids: Arc::default(), commands: OnceLock::new() }
    }

    pub(super) fn transport_name(&self) -> &'static str {
        self.connector.transport_name()
    }

    /// The queue of the task that owns the connection, which begins with the first call.
    fn commands(&self) -> &mpsc::Sender<Command> {
        self.commands.get_or_init(|| {
            let (sender, commands) = mpsc::channel(QUEUED_COMMANDS);
            let connector = Arc::clone(&self.connector);
            let ids = Arc::clone(&self.ids);
            tokio::spawn(driver::Driver::new(connector, self.reconnect, ids, commands).run());
            sender
        })
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) async fn call(&self, outgoing: Outgoing) -> Result<Bytes, ClientError> {
        let id = self.next_id();
        let (answer, answered) = oneshot::channel();
        let Outgoing { repeatable, waits, .. } = outgoing;
        let call = Call { message: outgoing.message(id), repeatable, waits, sent: false, answer };
        let commands = self.commands();
        let gone = || ClientError::ConnectionLost { source: None };
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
        let (feed, updates) = mpsc::channel(QUEUED_UPDATES);
        let (opened, is_open) = oneshot::channel();
        let commands = self.commands();
        let line = Line::new(commands.clone(), key);
        let follow = Follow { place: Place::new(params), feed, opened };
        let gone = || ClientError::ConnectionLost { source: None };
        if commands.send(Command::Follow { key, follow }).await.is_err() {
            return Err(gone());
        }
        let subscribed = is_open.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Subscription::new(updates, Some(line), subscribed.cursor))
    }
}

/// Tells the connection's task when a call's future is dropped before its answer.
struct Forget<'a> {
    commands: Option<&'a mpsc::Sender<Command>>,
    id: u64,
}

impl Forget<'_> {
    fn done(mut self) {
        self.commands = None;
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.commands {
            // If the queue is full, the answer comes and finds nobody: nothing is lost.
            drop(commands.try_send(Command::Forget { id: self.id }));
        }
    }
}

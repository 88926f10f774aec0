//! The task that owns the connection: makes it, loses it, makes it again.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::connection::{Open, Over, end};
use super::{Call, Command, Follow};
use crate::client::follower::{Feed, Place, QUEUED_UPDATES};
use crate::client::{ClientError, Connect, FrameIo, Reconnect};
use crate::wire::event::Subscribed;

/// Everything that outlives one connection.
pub(super) struct Driver {
    pub(super) connector: Arc<dyn Connect>,
    pub(super) reconnect: Reconnect,
    pub(super) ids: Arc<AtomicU64>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) calls: HashMap<u64, Call>,
    pub(super) followers: HashMap<u64, Follower>,
    /// Feeds whose readers have to catch up; gives their keys when they have.
    pub(super) resting: FuturesUnordered<BoxFuture<'static, u64>>,
}

/// A subscription that is fed.
pub(super) struct Follower {
    pub(super) place: Place,
    pub(super) feed: Feed,
    pub(super) opened: Option<oneshot::Sender<Result<Subscribed, ClientError>>>,
    pub(super) state: Following,
}

/// How far a subscription is on the present connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// It has to be opened.
    Due,
    /// It was asked for under this call's identifier.
    Asked(u64),
    /// It is open.
    Live(String),
    /// Its reader is slow; it is closed until the reader has caught up.
    Resting,
}

impl Driver {
    pub(super) fn new(
        connector: Arc<dyn Connect>,
        reconnect: Reconnect,
        ids: Arc<AtomicU64>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let (calls, followers) = (HashMap::new(), HashMap::new());
        let resting = FuturesUnordered::new();
        Self { connector, reconnect, ids, commands, calls, followers, resting }
    }

    /// Runs until every client and subscription is gone.
    pub(super) async fn run(mut self) {
        loop {
            if !self.has_work() {
                match self.commands.recv().await {
                    Some(command) => self.note(command),
                    None => return,
                }
                continue;
            }
            let Some(io) = self.connect().await else { continue };
            match Open::new(&mut self, io).serve().await {
                Over::Finished => return,
                Over::Lost(source) => self.lost(source.map(Arc::new).as_ref()),
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.calls.is_empty() || !self.followers.is_empty()
    }

    /// Keeps what a caller wants until there is a connection.
    fn note(&mut self, command: Command) {
        match command {
            Command::Call { id, call } => drop(self.calls.insert(id, call)),
            Command::Forget { id } => drop(self.calls.remove(&id)),
            Command::Follow { key, follow } => self.follow(key, follow),
            Command::Unfollow { key } => drop(self.followers.remove(&key)),
        }
    }

    pub(super) fn follow(&mut self, key: u64, follow: Follow) {
        let Follow { place, feed, opened } = follow;
        let opened = Some(opened);
        self.followers.insert(key, Follower { place, feed, opened, state: Following::Due });
    }

    /// Lets the feed `key` rest until its reader has taken everything.
    pub(super) fn rest(&mut self, key: u64) {
        let Some(follower) = self.followers.get_mut(&key) else { return };
        follower.state = Following::Resting;
        let feed = follower.feed.clone();
        self.resting.push(Box::pin(async move {
            drop(feed.reserve_many(QUEUED_UPDATES).await);
            key
        }));
    }

    /// A feed whose reader has caught up, to be opened again.
    pub(super) async fn rested(resting: &mut FuturesUnordered<BoxFuture<'static, u64>>) -> u64 {
        match resting.next().await {
            Some(key) => key,
            None => pending().await,
        }
    }

    /// Makes a connection; `None` when there is nobody left to make it for.
    async fn connect(&mut self) -> Option<Box<dyn FrameIo>> {
        let mut failed = 0;
        while self.has_work() {
            match self.connector.connect().await {
                Ok(io) => return Some(io),
                Err(error) => {
                    failed += 1;
                    let source = Arc::new(error);
                    self.refuse_fresh(&source);
                    match self.reconnect.pause(failed) {
                        Some(pause) if self.has_work() => self.pause(pause).await,
                        _ => self.give_up(&source),
                    }
                }
            }
        }
        None
    }

    /// Waits, and goes on taking commands meanwhile.
    async fn pause(&mut self, pause: std::time::Duration) {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Some(command) = self.commands.recv() => self.note(command),
                key = Self::rested(&mut self.resting) => self.wake(key),
            }
        }
    }

    /// The reader of `key` has caught up, or is gone.
    pub(super) fn wake(&mut self, key: u64) {
        if self.followers.get(&key).is_some_and(|follower| follower.feed.is_closed()) {
            self.followers.remove(&key);
        }
        if let Some(follower) = self.followers.get_mut(&key)
            && follower.state == Following::Resting
        {
            follower.state = Following::Due;
        }
    }

    /// Calls and subscriptions that were never sent need not wait for better times.
    fn refuse_fresh(&mut self, source: &Arc<io::Error>) {
        let transport = self.connector.transport_name();
        let refusal = || ClientError::Unreachable { transport, source: Arc::clone(source) };
        for (_, call) in self.calls.extract_if(|_, call| !call.sent) {
            drop(call.answer.send(Err(refusal())));
        }
        for (_, follower) in self.followers.extract_if(|_, one| one.opened.is_some()) {
            if let Some(opened) = follower.opened {
                drop(opened.send(Err(refusal())));
            }
        }
    }

    /// The daemon has been away for too long.
    fn give_up(&mut self, source: &Arc<io::Error>) {
        let lost = || ClientError::ConnectionLost { source: Some(Arc::clone(source)) };
        for (_, call) in self.calls.drain() {
            drop(call.answer.send(Err(lost())));
        }
        for (_, follower) in self.followers.drain() {
            end(follower.feed, lost());
        }
    }

    /// The connection is gone: what may be repeated stays, the rest is told.
    fn lost(&mut self, source: Option<&Arc<io::Error>>) {
        for (_, call) in self.calls.extract_if(|_, call| call.sent && !call.repeatable) {
            drop(call.answer.send(Err(ClientError::ConnectionLost { source: source.cloned() })));
        }
        for follower in self.followers.values_mut() {
            if follower.state != Following::Resting {
                follower.state = Following::Due;
            }
        }
    }
}

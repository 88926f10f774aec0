//! The task that owns the connection: makes it, loses it, makes it again.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{Lost, Open, Over};
use super::{Call, Command, Follow};
use crate::client::backoff::{Attempts, STEADY};
use crate::client::feed::{Feed, Room};
use crate::client::follower::{EndedAgain, Place};
use crate::client::{ClientError, Connect, FrameIo, Reconnect};
use crate::wire::event::Subscribed;

/// How long one attempt to connect may take: no network that works needs longer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Everything that outlives one connection.
pub(super) struct Driver {
    pub(super) connector: Arc<dyn Connect>,
    pub(super) attempts: Attempts,
    ids: Arc<AtomicU64>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) calls: HashMap<u64, Call>,
    pub(super) followers: HashMap<u64, Follower>,
    /// What rests, until it is to be tried again.
    pub(super) resting: FuturesUnordered<BoxFuture<'static, Wake>>,
}

/// What has rested for long enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wake {
    /// A subscription, by its key.
    Follower(u64),
    /// A call, by its identifier.
    Call(u64),
}

/// A subscription that is fed.
pub(super) struct Follower {
    pub(super) place: Place,
    pub(super) feed: Feed,
    pub(super) opened: Option<oneshot::Sender<Result<Subscribed, ClientError>>>,
    pub(super) state: Following,
    /// How often it was ended or refused since it last got on.
    pub(super) failed: u32,
}

/// How far a subscription is on the present connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// It has to be opened.
    Due,
    /// It was asked for.
    Asked,
    /// It is open under this name since then.
    Live(String, Instant),
    /// It is closed until its reader has caught up, or until a pause is over.
    Resting,
}

impl Driver {
    pub(super) fn new(
        connector: Arc<dyn Connect>,
        reconnect: Reconnect,
        ids: Arc<AtomicU64>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            connector,
            attempts: Attempts::new(reconnect),
            ids,
            commands,
            calls: HashMap::new(),
            followers: HashMap::new(),
            resting: FuturesUnordered::new(),
        }
    }

    /// Runs until every client and subscription is gone.
    pub(super) async fn run(mut self) {
        loop {
            self.sweep();
            if !self.is_wanted() {
                tokio::select! {
                    command = self.commands.recv() => match command {
                        Some(command) => self.note(command),
                        None => return,
                    },
                    wake = Self::rested(&mut self.resting) => self.wake(wake),
                }
                continue;
            }
            let Some(io) = self.connect().await else { continue };
            let began = Instant::now();
            match Open::new(&mut self, io).serve().await {
                Over::Finished => return,
                Over::Lost(lost) => self.lost(began.elapsed(), lost).await,
            }
        }
    }

    /// Whether anybody waits for something that a connection could bring.
    pub(super) fn is_wanted(&self) -> bool {
        let rests = |follower: &Follower| follower.state == Following::Resting;
        self.calls.values().any(|call| !call.resting) || !self.followers.values().all(rests)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
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
        let (opened, state) = (Some(opened), Following::Due);
        self.followers.insert(key, Follower { place, feed, opened, state, failed: 0 });
    }

    /// Forgets calls that nobody waits for; their callers could not say so.
    pub(super) fn sweep(&mut self) {
        self.calls.retain(|_, call| !call.answer.is_closed());
        self.followers.retain(|_, follower| {
            matches!(follower.state, Following::Live(..)) || follower.feed.room() != Room::Gone
        });
    }

    /// Lets the feed `key` rest until its reader has caught up.
    pub(super) fn rest(&mut self, key: u64) {
        let Some(follower) = self.followers.get_mut(&key) else { return };
        follower.state = Following::Resting;
        let caught_up = follower.feed.caught_up();
        self.resting.push(Box::pin(async move {
            caught_up.await;
            Wake::Follower(key)
        }));
    }

    /// Opens the feed `key` again after a pause, unless that was tried often enough; `error` says
    /// what was the matter if it was not the daemon's own end of it.
    pub(super) fn reopen_later(&mut self, key: u64, error: Option<ClientError>) {
        let Some(follower) = self.followers.get_mut(&key) else { return };
        if matches!(follower.state, Following::Live(_, since) if since.elapsed() >= STEADY) {
            // It was a good one, although nothing happened on it.
            follower.failed = 0;
        }
        follower.failed += 1;
        if let Some(pause) = self.attempts.reconnect.pause(follower.failed) {
            follower.state = Following::Resting;
            self.rest_for(pause, Wake::Follower(key));
        } else if let Some(follower) = self.followers.remove(&key) {
            let ended = || io::Error::other(EndedAgain);
            let lost = || ClientError::ConnectionLost { source: Some(Arc::new(ended())) };
            follower.fail(error.unwrap_or_else(lost));
        }
    }

    /// Sends the call `id` again after a pause; false if that was done often enough.
    pub(super) fn repeat_later(&mut self, id: u64) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        let Some(pause) = self.attempts.reconnect.pause(call.sent) else { return false };
        call.resting = true;
        self.rest_for(pause, Wake::Call(id));
        true
    }

    fn rest_for(&mut self, pause: Duration, then: Wake) {
        self.resting.push(Box::pin(async move {
            sleep(pause).await;
            then
        }));
    }

    /// What has rested for long enough.
    pub(super) async fn rested(resting: &mut FuturesUnordered<BoxFuture<'static, Wake>>) -> Wake {
        match resting.next().await {
            Some(wake) => wake,
            None => pending().await,
        }
    }

    /// What has rested is due again.
    pub(super) fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Call(id) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.resting = false;
                }
            }
            Wake::Follower(key) => {
                let Some(follower) = self.followers.get_mut(&key) else { return };
                if follower.feed.room() == Room::Gone {
                    self.followers.remove(&key);
                } else if follower.state == Following::Resting {
                    follower.state = Following::Due;
                }
            }
        }
    }

    /// Makes a connection; `None` when there is nobody left to make it for.
    async fn connect(&mut self) -> Option<Box<dyn FrameIo>> {
        while self.is_wanted() {
            let source = match self.reach().await {
                Ok(io) => return Some(io),
                Err(error) => Arc::new(error),
            };
            self.refuse_fresh(&source);
            self.sweep();
            match self.attempts.fail() {
                Some(pause) if self.is_wanted() => self.pause(pause).await,
                Some(_) => {}
                None => self.give_up(Some(&source)),
            }
        }
        None
    }

    /// One attempt; commands are taken meanwhile.
    async fn reach(&mut self) -> io::Result<Box<dyn FrameIo>> {
        let connector = Arc::clone(&self.connector);
        let connecting = timeout(CONNECT_DEADLINE, connector.connect());
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                made = &mut connecting => {
                    return made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                }
                Some(command) = self.commands.recv() => self.note(command),
                wake = Self::rested(&mut self.resting) => self.wake(wake),
            }
        }
    }

    /// Waits, and goes on taking commands meanwhile.
    async fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(command) = self.commands.recv() => self.note(command),
                wake = Self::rested(&mut self.resting) => self.wake(wake),
            }
        }
    }

    /// Calls and subscriptions that were never sent need not wait for better times.
    fn refuse_fresh(&mut self, source: &Arc<io::Error>) {
        let transport = self.connector.transport_name();
        let refusal = || ClientError::Unreachable { transport, source: Arc::clone(source) };
        for (_, call) in self.calls.extract_if(|_, call| call.sent == 0) {
            drop(call.answer.send(Err(refusal())));
        }
        for (_, follower) in self.followers.extract_if(|_, one| one.opened.is_some()) {
            follower.fail(refusal());
        }
    }

    /// The daemon has been away for too long.
    fn give_up(&mut self, source: Option<&Arc<io::Error>>) {
        self.attempts.succeed();
        let silent = || Arc::new(io::ErrorKind::UnexpectedEof.into());
        self.refuse_fresh(&source.cloned().unwrap_or_else(silent));
        let lost = || ClientError::ConnectionLost { source: source.cloned() };
        for (_, call) in self.calls.drain() {
            drop(call.answer.send(Err(lost())));
        }
        for (_, follower) in self.followers.drain() {
            follower.fail(lost());
        }
    }

    /// The connection is gone: what may be repeated stays, the rest is told.
    async fn lost(&mut self, lived: Duration, lost: Lost) {
        let source = lost.source.map(Arc::new);
        // Where nobody waited for anything, an end is no failure.
        let useful = lost.useful || !self.is_wanted();
        let most = self.attempts.reconnect.attempts;
        let is_over = |call: &Call| call.sent > 0 && !(call.repeatable && call.sent < most);
        for (_, call) in self.calls.extract_if(|_, call| is_over(call)) {
            let source = source.clone();
            drop(call.answer.send(Err(ClientError::ConnectionLost { source })));
        }
        for follower in self.followers.values_mut() {
            if follower.state != Following::Resting {
                follower.state = Following::Due;
            }
        }
        match self.attempts.lose(lived, useful) {
            Some(pause) => self.pause(pause).await,
            None => self.give_up(source.as_ref()),
        }
    }
}

impl Follower {
    /// Tells whoever opened it, or reads it, why nothing follows.
    pub(super) fn fail(self, error: ClientError) {
        match self.opened {
            Some(opened) => drop(opened.send(Err(error))),
            None => self.feed.push(Err(error)),
        }
    }
}

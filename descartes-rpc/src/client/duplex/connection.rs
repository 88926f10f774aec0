//! One connection while it lasts: messages out, answers and updates in.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, StreamExt};

use super::driver::{Driver, Following};
use super::{Call, Command};
use crate::client::incoming::{self, Incoming};
use crate::client::{ClientError, FrameIo, Outgoing, Update};
use crate::error::RpcError;
use crate::wire::event::Subscribed;

/// How long one slow reader may hold up the others of its connection before it has to rest.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why a connection is over.
pub(super) enum Over {
    /// Every client and subscription is gone.
    Finished,
    /// The other side is gone.
    Lost(Option<io::Error>),
}

/// An open connection.
pub(super) struct Open<'a> {
    driver: &'a mut Driver,
    sink: SplitSink<Box<dyn FrameIo>, Bytes>,
    frames: SplitStream<Box<dyn FrameIo>>,
    /// Messages that the sink has not taken yet.
    queue: VecDeque<Bytes>,
    unflushed: bool,
    /// Which feed an open subscription belongs to.
    subscriptions: HashMap<String, u64>,
    /// Which feed asked for a subscription under an identifier.
    asked: HashMap<u64, u64>,
}

impl<'a> Open<'a> {
    pub(super) fn new(driver: &'a mut Driver, io: Box<dyn FrameIo>) -> Self {
        let (sink, frames) = io.split();
        let (subscriptions, asked) = (HashMap::new(), HashMap::new());
        let (queue, unflushed) = (VecDeque::new(), false);
        Self { driver, sink, frames, queue, unflushed, subscriptions, asked }
    }

    /// Works until the connection is lost or nobody needs it.
    pub(super) async fn serve(mut self) -> Over {
        let mut calls: Vec<u64> = self.driver.calls.keys().copied().collect();
        calls.sort_unstable();
        for id in calls {
            if let Some(call) = self.driver.calls.get_mut(&id) {
                call.sent = true;
                self.queue.push_back(call.message.clone());
            }
        }
        self.open_due();
        loop {
            let busy = self.unflushed || !self.queue.is_empty();
            tokio::select! {
                command = self.driver.commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return Over::Finished,
                },
                frame = self.frames.next() => match frame {
                    Some(Ok(frame)) => self.hear(&frame).await,
                    Some(Err(error)) => return Over::Lost(Some(error)),
                    None => return Over::Lost(None),
                },
                key = Driver::rested(&mut self.driver.resting) => {
                    self.driver.wake(key);
                    self.open_due();
                }
                written = write(&mut self.sink, &mut self.queue, &mut self.unflushed), if busy => {
                    if let Err(error) = written {
                        return Over::Lost(Some(error));
                    }
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Call { id, mut call } => {
                call.sent = true;
                self.queue.push_back(call.message.clone());
                self.driver.calls.insert(id, call);
            }
            Command::Forget { id } => {
                if self.driver.calls.remove(&id).is_some_and(|call| call.waits) {
                    self.notify("rpc.cancel", &serde_json::json!({ "id": id }));
                }
            }
            Command::Follow { key, follow } => {
                self.driver.follow(key, follow);
                self.open_due();
            }
            Command::Unfollow { key } => {
                let follower = self.driver.followers.remove(&key);
                if let Some(Following::Live(id)) = follower.map(|follower| follower.state) {
                    self.close(&id);
                }
            }
        }
    }

    /// Asks for every subscription that is not open and should be.
    fn open_due(&mut self) {
        let due = self.driver.followers.iter_mut().filter(|(_, one)| one.state == Following::Due);
        for (key, follower) in due {
            let id = self.driver.ids.fetch_add(1, Ordering::Relaxed) + 1;
            match Outgoing::new("event.subscribe", follower.place.params()) {
                Ok(outgoing) => self.queue.push_back(outgoing.message(id)),
                Err(error) => {
                    tracing::debug!(%error, "a subscription cannot be asked for");
                    continue;
                }
            }
            follower.state = Following::Asked(id);
            self.asked.insert(id, *key);
        }
    }

    /// Sends something that is not answered.
    fn notify(&mut self, method: &str, params: &serde_json::Value) {
        let message = serde_json::json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.queue.push_back(Bytes::from(message.to_string()));
    }

    fn close(&mut self, subscription_id: &str) {
        self.subscriptions.remove(subscription_id);
        let params = serde_json::json!({ "subscription_id": subscription_id });
        self.notify("event.unsubscribe", &params);
    }

    async fn hear(&mut self, frame: &Bytes) {
        match incoming::read(frame) {
            Ok(Incoming::Answer { id: Some(id), outcome }) => self.answered(id, outcome),
            Ok(Incoming::Answer { id: None, outcome }) => {
                let error = outcome.err();
                tracing::debug!(?error, "the daemon could not attribute a message");
            }
            Ok(Incoming::Notice { subscription_id, update }) => {
                self.feed(&subscription_id, update).await;
            }
            Ok(Incoming::Unknown) => {}
            Err(error) => tracing::debug!(%error, "not a message of a daemon"),
        }
    }

    fn answered(&mut self, id: u64, outcome: Result<Bytes, RpcError>) {
        if let Some(key) = self.asked.remove(&id) {
            self.opened(key, outcome);
        } else if let Some(Call { answer, .. }) = self.driver.calls.remove(&id) {
            drop(answer.send(outcome.map_err(ClientError::Rpc)));
        }
    }

    fn opened(&mut self, key: u64, outcome: Result<Bytes, RpcError>) {
        let decoded = outcome.map_err(ClientError::Rpc).and_then(|result| {
            serde_json::from_slice::<Subscribed>(&result).map_err(|source| ClientError::Decode {
                method: "event.subscribe".to_owned(),
                source,
            })
        });
        let Some(follower) = self.driver.followers.get_mut(&key) else {
            // Dropped while it was being opened.
            if let Ok(subscribed) = decoded {
                self.close(&subscribed.subscription_id);
            }
            return;
        };
        match decoded {
            Ok(subscribed) => {
                follower.place.opened(&subscribed.cursor);
                follower.state = Following::Live(subscribed.subscription_id.clone());
                self.subscriptions.insert(subscribed.subscription_id.clone(), key);
                if let Some(opened) = follower.opened.take() {
                    drop(opened.send(Ok(subscribed)));
                }
            }
            Err(error) => {
                if let Some(follower) = self.driver.followers.remove(&key) {
                    match follower.opened {
                        Some(opened) => drop(opened.send(Err(error))),
                        None => end(follower.feed, error),
                    }
                }
            }
        }
    }

    async fn feed(&mut self, subscription_id: &str, update: Update) {
        let Some(&key) = self.subscriptions.get(subscription_id) else { return };
        let Some(follower) = self.driver.followers.get_mut(&key) else { return };
        if !follower.place.wants(&update) {
            return;
        }
        let last = matches!(update, Update::Ended { .. });
        let feed = follower.feed.clone();
        match tokio::time::timeout(PATIENCE, feed.reserve()).await {
            Ok(Ok(room)) => {
                if let Some(follower) = self.driver.followers.get_mut(&key) {
                    follower.place.stands_after(&update);
                }
                room.send(Ok(update));
                if last {
                    self.subscriptions.remove(subscription_id);
                    self.driver.followers.remove(&key);
                }
            }
            Ok(Err(_gone)) => {
                self.driver.followers.remove(&key);
                self.close(subscription_id);
            }
            Err(_slow) => {
                self.driver.rest(key);
                self.close(subscription_id);
            }
        }
    }
}

/// Tells a reader why nothing follows, as soon as there is room.
pub(super) fn end(feed: crate::client::follower::Feed, error: ClientError) {
    tokio::spawn(async move { drop(feed.send(Err(error)).await) });
}

/// Writes what waits. What was handed over stays handed over if this future is dropped.
async fn write(
    sink: &mut SplitSink<Box<dyn FrameIo>, Bytes>,
    queue: &mut VecDeque<Bytes>,
    unflushed: &mut bool,
) -> io::Result<()> {
    while !queue.is_empty() {
        poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
        if let Some(message) = queue.pop_front() {
            *unflushed = true;
            Pin::new(&mut *sink).start_send(message)?;
        }
    }
    poll_fn(|cx| Pin::new(&mut *sink).poll_flush(cx)).await?;
    *unflushed = false;
    Ok(())
}

//! One connection while it lasts: messages out, answers and updates in.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Command;
use super::driver::{Driver, Follower, Following, Wake};
use super::link::{Link, Moved};
use crate::client::backoff::STEADY;
use crate::client::feed::Room;
use crate::client::follower::{Means, passes};
use crate::client::incoming::{self, Incoming};
use crate::client::{ClientError, FrameIo, Outgoing, Update};
use crate::error::RpcError;
use crate::limits::{CLIENT_ANSWER, CLIENT_SILENCE};
use crate::wire::event::Subscribed;

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is over.
pub(super) enum Over {
    /// Every client and subscription is gone.
    Finished,
    /// The other side is gone.
    Lost(Lost),
}

/// A connection that was lost.
pub(super) struct Lost {
    /// What the system said, if it said something.
    pub(super) source: Option<io::Error>,
    /// Whether it brought anybody anything.
    pub(super) useful: bool,
}

/// An open connection.
pub(super) struct Open<'a> {
    driver: &'a mut Driver,
    link: Link,
    /// Which feed an open subscription belongs to.
    subscriptions: HashMap<String, u64>,
    /// Which feed asked for a subscription under an identifier.
    asked: HashMap<u64, u64>,
    /// Whether an answer to a caller or an update has come.
    useful: bool,
    began: Instant,
    /// When the daemon was last heard.
    heard: Instant,
    /// When it was asked for a sign of life that has not come.
    probed: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Open<'a> {
    pub(super) fn new(driver: &'a mut Driver, io: Box<dyn FrameIo>) -> Self {
        let now = Instant::now();
        Self {
            driver,
            link: Link::new(io),
            subscriptions: HashMap::new(),
            asked: HashMap::new(),
            useful: false,
            began: now,
            heard: now,
            probed: None,
            timer: Box::pin(sleep(CLIENT_SILENCE)),
        }
    }

    /// Works until the connection is lost or nobody needs it.
    pub(super) async fn serve(mut self) -> Over {
        self.send_all();
        self.open_due();
        loop {
            let room = self.link.has_room();
            let moved = tokio::select! {
                command = self.driver.commands.recv(), if room => match command {
                    Some(command) => {
                        self.take(command);
                        Ok(())
                    }
                    None => return self.finish().await,
                },
                moved = self.link.next(&mut self.driver.calls) => self.receive(moved),
                wake = Driver::rested(&mut self.driver.resting) => {
                    self.wake(wake);
                    Ok(())
                }
                () = self.timer.as_mut() => self.tick().map_err(Some),
            };
            if let Err(source) = moved {
                return Over::Lost(Lost { source, useful: self.was_useful() });
            }
        }
    }

    /// A connection that spoke and held for a while was one, even if nothing happened on it.
    fn was_useful(&self) -> bool {
        let held = self.began.elapsed() >= STEADY;
        self.useful || (held && self.heard > self.began)
    }

    async fn finish(mut self) -> Over {
        let closing = self.link.close(&mut self.driver.calls);
        if let Ok(Err(error)) = timeout(FAREWELL, closing).await {
            tracing::debug!(%error, "a connection that nobody needs did not close");
        }
        Over::Finished
    }

    /// Sends what waits for an answer from earlier, in the order of the calls.
    fn send_all(&mut self) {
        let waiting = self.driver.calls.iter().filter(|(_, call)| !call.resting);
        let mut waiting: Vec<u64> = waiting.map(|(id, _)| *id).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|id| self.send(id));
    }

    fn send(&mut self, id: u64) {
        if let Some(call) = self.driver.calls.get(&id) {
            self.link.push(Some(id), call.message.clone());
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Call { id, call } => {
                self.driver.calls.insert(id, call);
                self.send(id);
            }
            Command::Forget { id } => {
                // What was not sent yet is not sent any more.
                let call = self.driver.calls.remove(&id);
                if call.is_some_and(|call| call.waits && call.sent > 0) {
                    self.notify("rpc.cancel", &serde_json::json!({ "id": id }));
                }
            }
            Command::Follow { key, follow } => {
                self.driver.follow(key, follow);
                self.open_due();
            }
            Command::Unfollow { key } => self.forget(key),
        }
    }

    /// Nobody reads the feed `key` any more.
    fn forget(&mut self, key: u64) {
        let follower = self.driver.followers.remove(&key);
        if let Some(Following::Live(id, _)) = follower.map(|follower| follower.state) {
            self.close(&id);
        }
    }

    fn wake(&mut self, wake: Wake) {
        self.driver.wake(wake);
        match wake {
            Wake::Call(id) => self.send(id),
            Wake::Follower(_) => self.open_due(),
        }
    }

    /// Asks for every subscription that is not open and should be.
    fn open_due(&mut self) {
        let is_due = |one: &Follower| one.state == Following::Due;
        let due = self.driver.followers.iter().filter(|(_, one)| is_due(one));
        let due: Vec<u64> = due.map(|(key, _)| *key).collect();
        for key in due {
            let id = self.driver.next_id();
            let Some(follower) = self.driver.followers.get_mut(&key) else { continue };
            match Outgoing::new("event.subscribe", follower.place.params()) {
                Ok(outgoing) => {
                    follower.state = Following::Asked;
                    self.asked.insert(id, key);
                    self.link.push(None, outgoing.message(id));
                }
                Err(error) => {
                    if let Some(follower) = self.driver.followers.remove(&key) {
                        follower.fail(error);
                    }
                }
            }
        }
    }

    /// Sends something that is not answered.
    fn notify(&mut self, method: &str, params: &serde_json::Value) {
        let message = serde_json::json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.link.push(None, Bytes::from(message.to_string()));
    }

    fn close(&mut self, subscription_id: &str) {
        self.subscriptions.remove(subscription_id);
        let params = serde_json::json!({ "subscription_id": subscription_id });
        self.notify("event.unsubscribe", &params);
    }

    /// Looks after what has gone unsaid, and whether the daemon is still there.
    ///
    /// A peer that is gone without a word (a pulled cable, a suspended machine) would be waited
    /// for until the system gives up, which takes a quarter of an hour, or for ever.
    fn tick(&mut self) -> io::Result<()> {
        self.sweep();
        let now = Instant::now();
        let next = if !self.driver.connector.may_fall_silent() || !self.driver.is_wanted() {
            (self.heard, self.probed) = (now, None);
            now + CLIENT_SILENCE
        } else if let Some(probed) = self.probed {
            if now >= probed + CLIENT_ANSWER {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the daemon is silent"));
            }
            probed + CLIENT_ANSWER
        } else if now >= self.heard + CLIENT_SILENCE {
            self.probe(now);
            now + CLIENT_ANSWER
        } else {
            self.heard + CLIENT_SILENCE
        };
        self.timer.as_mut().reset(next);
        Ok(())
    }

    /// Asks for a sign of life.
    fn probe(&mut self, now: Instant) {
        self.probed = Some(now);
        let id = self.driver.next_id();
        if let Ok(outgoing) = Outgoing::new("system.health", &serde_json::json!({})) {
            self.link.push(None, outgoing.message(id));
        }
    }

    /// Closes what nobody reads, whose readers could not say so.
    fn sweep(&mut self) {
        self.driver.sweep();
        let followers = self.driver.followers.iter();
        let gone = followers.filter(|(_, follower)| follower.feed.room() == Room::Gone);
        let gone: Vec<u64> = gone.map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|key| self.forget(key));
    }

    /// Takes what came; the error of a connection that ended without one is none.
    fn receive(&mut self, moved: io::Result<Moved>) -> Result<(), Option<io::Error>> {
        let frame = match moved.map_err(Some)? {
            Moved::Frame(frame) => frame.ok_or(None)?,
            Moved::Room => return Ok(()),
        };
        (self.heard, self.probed) = (Instant::now(), None);
        match incoming::read(&frame) {
            Ok(Incoming::Answer { id: Some(id), outcome }) => self.answered(id, outcome),
            Ok(Incoming::Answer { id: None, outcome }) => {
                let error = outcome.err();
                tracing::debug!(?error, "the daemon could not attribute a message");
            }
            Ok(Incoming::Notice { subscription_id, update }) => self.feed(&subscription_id, update),
            Ok(Incoming::Unknown) => {}
            // It may have been an event: to go on would be to leave it out.
            Err(error) => return Err(Some(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
        Ok(())
    }

    fn answered(&mut self, id: u64, outcome: Result<Bytes, RpcError>) {
        if let Some(key) = self.asked.remove(&id) {
            self.opened(key, outcome);
            return;
        }
        let Some(call) = self.driver.calls.get(&id) else { return };
        // It may have had its effect before: only then is `not now` not the outcome.
        let again = call.sent > 1 && incoming::is_unavailable(&outcome);
        if again && self.driver.repeat_later(id) {
            return;
        }
        if let Some(call) = self.driver.calls.remove(&id) {
            self.useful = true;
            drop(call.answer.send(outcome.map_err(ClientError::Rpc)));
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
                follower.place.opened(&subscribed);
                let id = subscribed.subscription_id.clone();
                follower.state = Following::Live(id, Instant::now());
                self.subscriptions.insert(subscribed.subscription_id.clone(), key);
                if let Some(opened) = follower.opened.take() {
                    self.useful = true;
                    drop(opened.send(Ok(subscribed)));
                }
            }
            Err(error) if follower.opened.is_none() && passes(&error) => {
                self.driver.reopen_later(key, Some(error));
            }
            Err(error) => {
                if let Some(follower) = self.driver.followers.remove(&key) {
                    follower.fail(error);
                }
            }
        }
    }

    /// Hands an update to its reader. It never waits: other calls and readers use the same
    /// connection.
    fn feed(&mut self, subscription_id: &str, update: Update) {
        let Some(&key) = self.subscriptions.get(subscription_id) else { return };
        let Some(follower) = self.driver.followers.get_mut(&key) else { return };
        match (follower.place.means(&update), follower.feed.room()) {
            (Means::Known, _) => {}
            (_, Room::Gone) => self.forget(key),
            (Means::Break, _) => {
                follower.place.broke_at(update.cursor());
                self.subscriptions.remove(subscription_id);
                self.driver.reopen_later(key, None);
            }
            (Means::End, _) => {
                self.subscriptions.remove(subscription_id);
                if let Some(follower) = self.driver.followers.remove(&key) {
                    follower.feed.push(Ok(update));
                }
            }
            (Means::News, Room::Full) => {
                self.driver.rest(key);
                self.close(subscription_id);
            }
            (Means::News, Room::Free) => {
                self.useful = true;
                follower.failed = 0;
                follower.place.stands_after(&update);
                follower.feed.push(Ok(update));
            }
        }
    }
}

//! One connection of a duplex transport.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use super::{FIRST_ID, call, id_of, must_notify, notification};
use crate::{
    client::FrameIo,
    testing::conformance::expect::{Failure, check, failure, outcome},
};

/// A connection, with notifications that came while an answer was awaited.
pub(crate) struct Duplex {
    io: Box<dyn FrameIo>,
    next: u64,
    notifications: VecDeque<Value>,
}

impl Duplex {
    pub(crate) fn new(io: Box<dyn FrameIo>) -> Self {
        Self { io, next: FIRST_ID, notifications: VecDeque::new() }
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), Failure> {
        self.io.send(message.into()).await.map_err(Failure::from)
    }

    /// Sends a call without waiting for its answer.
    pub(crate) async fn begin(&mut self, method: &str, params: Value) -> Result<u64, Failure> {
        let id = self.fresh();
        self.send(call(id, method, &params)).await?;
        Ok(id)
    }

    /// Sends a call for each of `params` in one go, so that none stays behind in a network's queue
    /// when the client leaves at once.
    pub(crate) async fn begin_all(
        &mut self,
        method: &str,
        params: impl IntoIterator<Item = Value>,
    ) -> Result<(), Failure> {
        for params in params {
            let id = self.fresh();
            self.io.feed(call(id, method, &params)).await.map_err(Failure::from)?;
        }
        self.io.flush().await.map_err(Failure::from)
    }

    /// The next answer; notifications before it are kept.
    pub(crate) async fn answer(&mut self) -> Result<Bytes, Failure> {
        loop {
            let frame = self.frame().await?.ok_or_else(Failure::ended)?;
            match notification(&frame) {
                Some(notification) => self.notifications.push_back(notification),
                None => return Ok(frame),
            }
        }
    }

    /// The next `count` answers.
    pub(crate) async fn answers(&mut self, count: usize) -> Result<Vec<Bytes>, Failure> {
        let mut answers = Vec::with_capacity(count);
        while answers.len() < count {
            answers.push(self.answer().await?);
        }
        Ok(answers)
    }

    /// The outcomes of the next `count` answers, by identifier; none may be answered twice.
    pub(crate) async fn outcomes(
        &mut self,
        count: usize,
    ) -> Result<BTreeMap<u64, Result<Value, Value>>, Failure> {
        let mut outcomes = BTreeMap::new();
        for _ in 0..count {
            let answer = self.answer().await?;
            let id = id_of(&answer).ok_or_else(|| failure("an answer without its id"))?;
            let twice = outcomes.insert(id, outcome(&answer)?).is_some();
            check(!twice, || format!("{id} was answered twice"))?;
        }
        Ok(outcomes)
    }

    /// Calls a method while nothing else waits for its answer; it must succeed.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.begin(method, params).await?;
        let answer = self.answer().await?;
        check(id_of(&answer) == Some(id), || format!("{method} got the answer to another call"))?;
        outcome(&answer)?.map_err(|error| failure(format!("{method} answered {error}")))
    }

    /// Sends a message and gives what comes back before a call that is sent behind it is answered.
    pub(crate) async fn tell(
        &mut self,
        message: impl Into<Bytes>,
    ) -> Result<Option<Bytes>, Failure> {
        self.send(message).await?;
        let probe = self.begin("system.health", json!({})).await?;
        let first = self.answer().await?;
        if id_of(&first) == Some(probe) {
            return Ok(None);
        }
        let second = self.answer().await?;
        check(id_of(&second) == Some(probe), || "more than one answer".into())?;
        Ok(Some(first))
    }

    /// The next notification; nothing else may come before it. None when the connection has ended.
    pub(crate) async fn notification(&mut self) -> Result<Option<Value>, Failure> {
        if let Some(kept) = self.notifications.pop_front() {
            return Ok(Some(kept));
        }
        self.frame().await?.map(|frame| must_notify(&frame)).transpose()
    }

    /// Whether no notification is kept.
    pub(crate) fn heard_nothing(&self) -> bool {
        self.notifications.is_empty()
    }

    /// The next message; none when the connection has ended.
    pub(crate) async fn frame(&mut self) -> Result<Option<Bytes>, Failure> {
        self.io.next().await.transpose().map_err(Failure::from)
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn close(&mut self) -> Result<(), Failure> {
        self.io.close().await.map_err(Failure::from)
    }
}

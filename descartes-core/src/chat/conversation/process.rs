//! The processes of a chat: begun when a prompt needs one, ended when the chat is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::step::Effect;
use super::{Answer, Conversation, Stopped, Stopping};
use crate::agent::AgentError;
use crate::chat::{ChatError, ChatMode, ChatRecord, ChatStatus};
use crate::descartes::{Kill, Killed};
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits::STOP_PATIENCE;
use crate::runner::StdinError;
use crate::trace::TraceContext;

impl Conversation {
    /// Begins a process, unless one runs that can be asked something; it belongs to `trace`.
    pub(super) async fn ensure_process(
        &mut self,
        by: &Arc<str>,
        trace: Option<TraceContext>,
    ) -> Result<(), ChatError> {
        if self.process.as_ref().is_some_and(|process| !process.ending && !process.closing) {
            return Ok(());
        }
        // One that takes no more prompts makes room; what it still has to say comes first.
        self.end_process(false);
        while self.process.is_some() {
            tokio::select! {
                Some(killed) = self.kills.join_next() => {
                    if let Err(error) = killed.unwrap_or(Err(AgentError::Broken)) {
                        self.may_be_ended_again();
                        return Err(error.into());
                    }
                }
                () = self.link.news() => {}
            }
            while let Some(heard) = self.link.take() {
                self.hear_one(heard);
            }
            self.commit().await;
        }
        let had_agent = self.record.has_agent;
        let begun = self.descartes().begin_chat_agent(&self.record, (by, trace)).await;
        if begun.is_err() {
            // What the link says of it was told here, and is of no turn that comes later.
            while let Some(heard) = self.link.take() {
                self.hear_one(heard);
            }
        }
        self.record.has_agent = had_agent || begun.is_ok();
        begun
    }

    /// Somebody wants the chat to be an agent: that runs, and goes on running.
    pub(super) async fn upgrade(&mut self, by: Arc<str>, answer: Answer<Arc<ChatRecord>>) {
        let started = match self.check_open() {
            Ok(()) if self.turn.is_none() => self.ensure_process(&by, None).await,
            checked => checked,
        };
        if let Err(error) = started {
            return drop(answer.send(Err(error)));
        }
        self.record.mode = ChatMode::Agent;
        self.step.touch();
        let record = Arc::new(self.record.clone());
        self.step.answer(answer, Ok(record));
        self.commit().await;
    }

    /// Somebody ends the chat.
    pub(super) async fn stop(&mut self, by: Arc<str>, answer: Answer<Stopped>) {
        if self.record.status == ChatStatus::Closed {
            let record = Arc::new(self.record.clone());
            return drop(answer.send(Ok(Stopped { outcome: None, record })));
        }
        let due = Instant::now() + STOP_PATIENCE;
        let stopping = self.stopping.get_or_insert_with(|| Stopping {
            by,
            answers: Vec::new(),
            outcome: None,
            due,
        });
        stopping.answers.push(answer);
        for waits in std::mem::take(&mut self.queue) {
            self.never_begins(&waits, TurnOutcome::Cancelled);
        }
        self.end_turn_early(TurnOutcome::Cancelled);
        self.commit().await;
        self.go_on().await;
    }

    /// No turn is under way any more: the process ends, then the chat.
    pub(super) async fn stop_on(&mut self) {
        if self.process.is_some() {
            return self.end_process(false);
        }
        if !self.kills.is_empty() {
            return;
        }
        let Some(stopping) = self.stopping.take() else { return };
        self.record.status = ChatStatus::Closed;
        let reason = "stopped".into();
        self.say(ChunkBody::Closed { by: Some(stopping.by), reason });
        self.step.touch();
        let record = Arc::new(self.record.clone());
        for answer in stopping.answers {
            let stopped = Stopped { outcome: stopping.outcome, record: Arc::clone(&record) };
            self.step.answer(answer, Ok(stopped));
        }
        self.commit().await;
    }

    /// Has the process end: what it was asked is over, or it does not obey (`force`).
    pub(super) fn end_process(&mut self, force: bool) {
        let Some(process) = self.process.as_mut().filter(|process| !process.ending) else { return };
        process.ending = true;
        let grace = force.then_some(Duration::ZERO);
        let (descartes, agent) = (self.descartes(), self.record.agent);
        let by: Arc<str> =
            self.stopping.as_ref().map_or_else(|| "system".into(), |it| Arc::clone(&it.by));
        self.kills
            .spawn(async move { descartes.kill(agent, Kill { grace, force: false }, by).await });
    }

    /// A process was told to end, and has, or could not be.
    pub(super) async fn killed(&mut self, result: Result<Killed, AgentError>) {
        if let Err(error) = result {
            tracing::error!(chat = %self.record.id, %error, "an agent's process was not ended");
            self.may_be_ended_again();
            if let Some(stopping) = self.stopping.take() {
                let left: Arc<str> = error.to_string().into();
                for answer in stopping.answers {
                    let left = Arc::clone(&left);
                    drop(answer.send(Err(AgentError::Kill { left }.into())));
                }
            }
        }
        self.go_on().await;
    }

    /// What was to end the process did not.
    fn may_be_ended_again(&mut self) {
        if let Some(process) = &mut self.process {
            process.ending = false;
        }
    }

    /// Does to the process what a dialect wants.
    pub(super) async fn effect(&mut self, effect: Effect) {
        let (descartes, agent) = (self.descartes(), self.record.agent);
        let done = match effect {
            Effect::Send(bytes) => {
                descartes.write_stdin(agent, Bytes::from(bytes), false).await.map(drop)
            }
            Effect::CloseStdin => descartes.write_stdin(agent, Bytes::new(), true).await.map(drop),
            Effect::Signal(signal) => descartes.signal(agent, signal).await,
        };
        match done {
            Ok(()) => {}
            Err(AgentError::Stdin(error @ StdinError::Full { .. })) => {
                let message = format!("the agent does not read what it is told: {error}");
                let error = ChunkError::new(ChunkErrorKind::Protocol, message);
                self.say(ChunkBody::Error(error));
                self.end_process(true);
            }
            // It has ended, which is heard soon.
            Err(error) => tracing::debug!(chat = %self.record.id, %error, "the agent is gone"),
        }
    }
}

/// What is said of a turn whose process could not be started.
pub(super) fn not_started(error: &ChatError) -> ChunkError {
    if let ChatError::Cost(reached) = error {
        return ChunkError::new(ChunkErrorKind::Budget, reached.to_string());
    }
    let message = format!("the agent could not be started: {error}");
    ChunkError::new(ChunkErrorKind::AgentCrashed, message)
}

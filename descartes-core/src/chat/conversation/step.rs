//! One step of a conversation: what is written down together, and what is done when it is.

use std::sync::Arc;

use super::{Answer, Conversation};
use crate::approval::{Approval, ApprovalStatus};
use crate::chat::{ChatError, ChatRecord, ChatStatus};
use crate::event::{ChunkBody, EventBody, NewEvent, StreamChunk, Topic};
use crate::limits::CONVERSATION_LITTLE_BYTES;
use crate::runner::Signal;
use crate::store::format::{encode_approval, encode_chat};
use crate::store::{Batch, Key, Lane, Put, Space, StoreError};

/// One step: collected, committed, then acted upon.
#[derive(Default)]
pub(super) struct Step {
    pub(super) batch: Batch,
    /// The chat's record changed.
    record: bool,
    /// It may not wait for more.
    pressing: bool,
    pub(super) effects: Vec<Effect>,
    answers: Vec<Box<dyn FnOnce(Option<StoreError>) + Send>>,
    approvals: Vec<Arc<Approval>>,
}

/// Something to do once the step is written down.
pub(super) enum Effect {
    Send(Vec<u8>),
    Signal(Signal),
    CloseStdin,
}

impl Step {
    /// The chat's record changed.
    pub(super) fn touch(&mut self) {
        self.record = true;
        self.pressing = true;
    }

    /// Answers when the step is written down; with the store's error when it cannot be.
    pub(super) fn answer<T: Send + 'static>(
        &mut self,
        answer: Answer<T>,
        result: Result<T, ChatError>,
    ) {
        self.answers.push(Box::new(move |error| {
            let result = match error {
                Some(error) => Err(error.into()),
                None => result,
            };
            drop(answer.send(result));
        }));
    }

    /// Does `what` when the step is written down, or cannot be.
    pub(super) fn then(&mut self, what: impl FnOnce() + Send + 'static) {
        self.answers.push(Box::new(move |_| what()));
    }

    /// An approval begins to wait, or does so no more.
    pub(super) fn approval(&mut self, approval: Arc<Approval>) {
        self.approvals.push(approval);
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty() && !self.record && self.effects.is_empty() && self.answers.is_empty()
    }
}

impl Conversation {
    pub(super) fn topic(&self) -> Topic {
        Topic::chat(self.record.id)
    }

    /// Says `body` in the turn that is under way, or was the last.
    pub(super) fn say(&mut self, body: ChunkBody) {
        let turn = self.turn.as_ref().map_or(self.last_turn(), |turn| turn.number);
        self.emit(StreamChunk::new(turn, body));
    }

    /// The last turn that began.
    pub(super) fn last_turn(&self) -> u32 {
        let queued = u32::try_from(self.queue.len()).unwrap_or(0);
        self.record.turns.saturating_sub(queued)
    }

    pub(super) fn emit(&mut self, chunk: StreamChunk) {
        self.watch(&chunk);
        let pressing =
            !matches!(chunk.body, ChunkBody::Text { .. } | ChunkBody::ToolUseInput { .. });
        self.step.pressing |= pressing && !matches!(chunk.body, ChunkBody::Thinking { .. });
        let by: Arc<str> = self.record.agent.to_string().into();
        let body = EventBody::ChatChunk(Box::new(chunk));
        let event = NewEvent::new(self.topic(), by, self.core.clock.now(), &body);
        self.step.batch.events.push(event);
        self.offset += 1;
    }

    /// Commits what the step has collected, and does what follows from it.
    pub(super) async fn commit(&mut self) {
        self.write_recording().await;
        if self.step.is_empty() {
            return;
        }
        let mut step = std::mem::take(&mut self.step);
        let mut batch = std::mem::take(&mut step.batch);
        let little = batch.weight() < CONVERSATION_LITTLE_BYTES;
        batch.lane = if step.pressing || little { Lane::Control } else { Lane::Output };
        if step.record {
            self.refresh();
            batch.puts.push(put_chat(&self.record));
        }
        for approval in &step.approvals {
            batch.puts.push(put_approval(approval));
        }
        if let Some(held) = self.held.take() {
            batch = after(held, batch);
        }
        let Step { record, approvals, answers, effects, .. } = step;
        let written =
            if batch.is_empty() { Ok(()) } else { self.write(batch, record, approvals).await };
        let error = written.err();
        for answer in answers {
            answer(error.clone());
        }
        for effect in effects {
            self.effect(effect).await;
        }
    }

    /// Writes `batch`; what the store refuses for now is held and written later.
    async fn write(
        &mut self,
        batch: Batch,
        record: bool,
        approvals: Vec<Arc<Approval>>,
    ) -> Result<(), StoreError> {
        let core = Arc::clone(&self.core);
        let record = record.then(|| self.record.clone());
        let apply = Box::new(move |_: &_| {
            if let Some(record) = record {
                core.chats.update(record);
            }
            for approval in approvals {
                if approval.status == ApprovalStatus::Pending {
                    core.chats.wait_for(approval);
                } else {
                    core.chats.resolved(approval.id);
                }
            }
        });
        match self.core.journal.commit_then(batch.clone(), Some(apply)).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(chat = %self.record.id, %error, "a chat waits for the store");
                if !matches!(error, StoreError::Closed) {
                    self.held = Some(batch);
                }
                Err(error)
            }
        }
    }

    /// The store works again: what is held is written.
    pub(super) async fn write_held(&mut self) {
        self.step.touch();
        self.commit().await;
    }

    /// Makes the record say what is.
    fn refresh(&mut self) {
        let record = &mut self.record;
        record.pending_approvals = u32::try_from(self.asks.len()).unwrap_or(u32::MAX);
        record.turn = self.turn.as_ref().map(|turn| turn.number);
        record.queue = self.queue.iter().cloned().collect();
        record.is_active = self.process.is_some();
        record.last_activity_at = self.core.clock.now();
        if record.status == ChatStatus::Closed {
            return;
        }
        record.status = match &self.turn {
            Some(_) if !self.asks.is_empty() => ChatStatus::WaitingApproval,
            Some(turn) if turn.stalled => ChatStatus::Stalled,
            Some(_) => ChatStatus::Running,
            None if !self.queue.is_empty() => ChatStatus::Queued,
            None => ChatStatus::Idle,
        };
    }
}

/// The document of a chat.
pub(crate) fn put_chat(record: &ChatRecord) -> Put {
    let key = Key::new(Space::CHAT, record.id.to_string());
    Put::new(key, Arc::clone(&record.owner), encode_chat(record))
}

/// The document of an approval.
pub(crate) fn put_approval(approval: &Approval) -> Put {
    let key = Key::new(Space::APPROVAL, approval.id.to_string());
    Put::new(key, Arc::clone(&approval.owner), encode_approval(approval))
}

/// Both, as one.
fn after(mut first: Batch, second: Batch) -> Batch {
    first.puts.extend(second.puts);
    first.events.extend(second.events);
    first.lane = second.lane;
    first
}

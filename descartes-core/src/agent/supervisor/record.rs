//! Writing an agent's changes down: the record and the events that led to it, in one commit.

use std::sync::Arc;

use super::Supervisor;
use crate::agent::{Activity, AgentRecord};
use crate::event::{EventBody, Exited, NewEvent, StatusChange, Topic};
use crate::journal::Trouble;
use crate::store::format::encode_record;
use crate::store::{Batch, Key, Put, Space, StoreError};

/// The document of `record`.
pub(crate) fn put_record(record: &AgentRecord) -> Put {
    let key = Key::new(Space::AGENT, record.id.to_string());
    Put::new(key, Arc::clone(&record.owner), encode_record(record))
}

/// An event of the status topic of `record`.
pub(crate) fn status_event(record: &AgentRecord, by: &Arc<str>, body: &EventBody) -> NewEvent {
    let topic = Topic::agent_status(record.id);
    NewEvent::new(topic, Arc::clone(by), record.updated_at, body)
}

impl Supervisor {
    /// Writes a step down and shows it; returns whether it was written.
    pub(super) async fn record_change(&mut self, change: StatusChange) -> bool {
        self.record_change_by(change, &Arc::clone(&self.record.owner)).await
    }

    pub(super) async fn record_change_by(&mut self, change: StatusChange, by: &Arc<str>) -> bool {
        let change = StatusChange { activity: self.record.activity, ..change };
        let body = EventBody::AgentStatusChanged(change);
        let batch = Batch::control().put(put_record(&self.record));
        let event = status_event(&self.record, by, &body);
        self.write(batch.event(event)).await
    }

    /// Shows what the agent is busy with; its status stays.
    pub(super) async fn busy_with(&mut self, activity: Option<Activity>) {
        if self.record.activity == activity {
            return;
        }
        self.record.activity = activity;
        self.record.updated_at = self.core.clock.now();
        let (status, by) = (self.record.status, "system".into());
        self.record_change_by(StatusChange::new(status, status, self.record.run), &by).await;
    }

    /// Writes the end of a run down and shows it; returns whether it was written.
    pub(super) async fn record_end(&mut self, change: StatusChange, exited: Exited) -> bool {
        let by = exited.exit.by.clone().unwrap_or_else(|| self.record.id.to_string().into());
        let change = EventBody::AgentStatusChanged(change);
        let batch = Batch::control()
            .put(put_record(&self.record))
            .event(status_event(&self.record, &by, &change))
            .event(status_event(&self.record, &by, &EventBody::AgentExited(exited)));
        self.write(batch).await
    }

    /// Commits `batch`. On a store that cannot write, the change still holds: it is shown at once
    /// and written when the store works again.
    async fn write(&mut self, batch: Batch) -> bool {
        let batch = match self.unrecorded.take() {
            Some(earlier) => join(earlier, batch),
            None => batch,
        };
        let core = Arc::clone(&self.core);
        let record = self.record.clone();
        let apply = Box::new(move |_: &_| core.registry.update(record));
        match self.core.journal.commit_then(batch.clone(), Some(apply)).await {
            Ok(_) => true,
            Err(error) => {
                if Trouble::of(&error).is_some() {
                    self.unrecorded = Some(batch);
                }
                tracing::warn!(agent_id = %self.record.id, %error, "a change is not written yet");
                self.core.registry.update(self.record.clone());
                false
            }
        }
    }

    /// Writes what could not be written before, once the store works again.
    pub(super) async fn record_at_last(&mut self) {
        while let Some(batch) = self.unrecorded.take() {
            self.core.journal.works().await;
            match self.core.journal.commit(batch.clone()).await {
                Ok(_) | Err(StoreError::Closed) => {}
                Err(_) => {
                    tokio::time::sleep(crate::limits::STORE_RETRY).await;
                    self.unrecorded = Some(batch);
                }
            }
        }
    }
}

/// Both batches' events, and the later one's document.
fn join(mut earlier: Batch, later: Batch) -> Batch {
    earlier.puts = later.puts;
    earlier.events.extend(later.events);
    earlier
}

//! Forgetting ended agents and their output, and chats and what was asked in them.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::{Core, Descartes, not_found};
use crate::agent::supervisor::status_event;
use crate::agent::{AgentError, AgentFilter, AgentId, AgentRecord};
use crate::chat::{ChatError, ChatRecord};
use crate::cost;
use crate::event::{EventBody, Topic};
use crate::limits::FORGOTTEN_CHATS;
use crate::store::{Batch, Key, KeyRange, Space};

/// State documents that are deleted in one commit.
const PAGE: usize = 1000;

/// Which ended agents to forget.
#[derive(Clone, Debug, Default)]
pub struct Prune {
    /// Those that ended longer ago than this.
    pub older_than: Duration,
    /// Of these.
    pub select: AgentFilter,
    /// Only say which.
    pub dry_run: bool,
}

impl Descartes {
    /// Forgets an ended agent: its record, its output, its state, its secret values.
    ///
    /// # Errors
    /// When it has not ended, or the store does not take it.
    pub async fn remove(&self, id: AgentId, by: impl Into<Arc<str>>) -> Result<(), AgentError> {
        let record = self.core.registry.get(id).ok_or_else(|| not_found(id))?;
        if record.is_live() {
            let (status, exit) = (record.status, None);
            return Err(AgentError::WrongStatus { id, status, exit });
        }
        let (core, by) = (Arc::clone(&self.core), by.into());
        let work = async move { core.forget(record, &by).await };
        tokio::spawn(work.in_current_span()).await.unwrap_or(Err(AgentError::Broken))
    }

    /// Forgets the ended agents that `prune` selects; returns which.
    ///
    /// # Errors
    /// When the store does not take it; those forgotten before stay forgotten.
    pub async fn prune(
        &self,
        prune: Prune,
        by: impl Into<Arc<str>>,
    ) -> Result<Vec<AgentId>, AgentError> {
        let by = by.into();
        let now = self.core.clock.now();
        let mut ids = Vec::new();
        for record in self.core.registry.selected(&prune.select) {
            let old = record.ended_at.is_some_and(|ended| now.since(ended) >= prune.older_than);
            if record.is_live() || !old {
                continue;
            }
            if !prune.dry_run {
                self.remove(record.id, Arc::clone(&by)).await?;
            }
            ids.push(record.id);
        }
        Ok(ids)
    }
}

impl Descartes {
    /// Forgets chats in which nothing has happened for too long and of which nothing runs, some at a
    /// time.
    pub(super) async fn forget_chats(&self) {
        let (age, now) = (self.core.settings().retention.chats_age, self.core.clock.now());
        let is_due = |record: &Arc<ChatRecord>| {
            let rests = !record.is_active && record.next_turn().is_none();
            rests && now.since(record.last_activity_at) > age
        };
        for record in self.core.chats.all().into_iter().filter(is_due).take(FORGOTTEN_CHATS) {
            if let Err(error) = self.forget_chat(&record).await {
                tracing::warn!(chat = %record.id, %error, "an old chat is still kept");
                return;
            }
        }
    }

    async fn forget_chat(&self, record: &ChatRecord) -> Result<(), ChatError> {
        if record.is_open() {
            self.chat_stop(record.id, "system").await?;
        }
        self.chat_remove(record.id).await
    }
}

impl Core {
    /// Forgets what chats have cost that are forgotten themselves, once it counts no more. That of a
    /// chat that is there is its task's to write.
    pub(super) async fn forget_costs(&self) {
        let mut old = self.costs.old(self.clock.now());
        old.retain(|chat| self.chats.get(*chat).is_none());
        old.truncate(PAGE);
        if old.is_empty() {
            return;
        }
        let mut batch = Batch::control();
        batch.deletes = old.iter().map(|chat| cost::key(*chat)).collect();
        match self.journal.commit(batch).await {
            Ok(_) => self.costs.forget(&old),
            Err(error) => tracing::warn!(%error, "what old chats have cost is still kept"),
        }
    }

    pub(super) async fn forget(
        &self,
        record: Arc<AgentRecord>,
        by: &Arc<str>,
    ) -> Result<(), AgentError> {
        let id = record.id;
        self.forget_state(id).await?;
        let mut batch = Batch::control()
            .delete(Key::new(Space::AGENT, id.to_string()))
            .delete(Key::new(Space::OUTPUT, id.to_string()))
            .event(status_event(&record, by, &EventBody::AgentRemoved));
        batch.forget.push(Topic::agent_output(id));
        let registry = Arc::clone(&self.registry);
        let apply = Box::new(move |_: &_| registry.remove(id));
        self.journal.commit_then(batch, Some(apply)).await?;
        self.secrets.forget(id).await;
        Ok(())
    }

    async fn forget_state(&self, id: AgentId) -> Result<(), AgentError> {
        loop {
            let range = KeyRange::new(Space::STATE, format!("{id}/"), PAGE);
            let page = self.journal.store().list(&range).await?;
            if page.documents.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::control();
            batch.deletes = page.documents.into_iter().map(|document| document.key).collect();
            self.journal.commit(batch).await?;
        }
    }
}

//! What belongs to whom: chats, approvals, and topics of the journal.

use std::sync::Arc;

use super::{Core, Descartes};
use crate::agent::{AgentId, Reach};
use crate::approval::{Approval, ApprovalId};
use crate::chat::{ChatError, ChatId, ChatRecord};
use crate::event::{Event, EventBody, Topic};

impl Descartes {
    /// Whether the agent `id` is within `reach`: kept, or forgotten a short while ago.
    #[must_use]
    pub fn reaches_agent(&self, id: AgentId, reach: &Reach) -> bool {
        self.core.registry.reaches(reach, id)
    }

    /// Whose the agent `id` is, while it is kept.
    #[must_use]
    pub fn owner_of(&self, id: AgentId) -> Option<Arc<str>> {
        self.core.registry.get(id).map(|record| Arc::clone(&record.owner))
    }

    /// A chat as it is now, if it is within `reach`.
    ///
    /// # Errors
    /// When there is none.
    pub fn chat_within(&self, chat: ChatId, reach: &Reach) -> Result<Arc<ChatRecord>, ChatError> {
        let record = self.chat(chat)?;
        if self.core.reaches_chat(reach, &record) {
            return Ok(record);
        }
        Err(ChatError::NotFound { asked: chat.to_string() })
    }

    /// One approval, if it is within `reach`.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn approval_within(
        &self,
        id: ApprovalId,
        reach: &Reach,
    ) -> Result<Arc<Approval>, ChatError> {
        let approval = self.approval(id).await?;
        if self.core.reaches_approval(reach, &approval) {
            return Ok(approval);
        }
        Err(ChatError::NoApproval { asked: id.to_string() })
    }

    /// Whether what is read under `topic` of an agent or a chat is within `reach`. Of other topics
    /// nothing is known: only who reaches everything reaches them.
    #[must_use]
    pub fn reaches_topic(&self, topic: &Topic, reach: &Reach) -> bool {
        if reach.is_all() {
            return true;
        }
        let mut parts = topic.as_str().split('/');
        match (parts.next(), parts.next()) {
            (Some("agent"), Some(id)) => {
                id.parse().is_ok_and(|id| self.core.registry.reaches(reach, id))
            }
            (Some("chat"), Some(id)) => id.parse().is_ok_and(|id| {
                self.core.chats.get(id).is_some_and(|record| self.core.reaches_chat(reach, &record))
            }),
            (Some("approval"), Some(id)) => id.parse().is_ok_and(|id| {
                let pending = self.core.chats.pending(id);
                pending.is_some_and(|approval| self.core.reaches_approval(reach, &approval))
            }),
            _ => false,
        }
    }

    /// Whether `event` is within `reach`; one about an approval says itself whose that is.
    #[must_use]
    pub fn reaches_event(&self, event: &Event, reach: &Reach) -> bool {
        if reach.is_all() || !event.topic.as_str().starts_with("approval/") {
            return self.reaches_topic(&event.topic, reach);
        }
        match event.decode() {
            Ok(EventBody::ApprovalRequested(approval) | EventBody::ApprovalResolved(approval)) => {
                self.core.reaches_approval(reach, &approval)
            }
            _ => false,
        }
    }
}

impl Core {
    pub(super) fn reaches_chat(&self, reach: &Reach, record: &ChatRecord) -> bool {
        // Its agent may not have begun: then it is its parent's.
        let descends = |ancestor: AgentId| {
            let parent = record.spec.agent.parent;
            self.registry.descends(record.agent, ancestor)
                || parent.is_some_and(|parent| self.registry.descends(parent, ancestor))
        };
        reach.allows_owner(&record.owner) && reach.agent().is_none_or(descends)
    }

    pub(super) fn reaches_approval(&self, reach: &Reach, approval: &Approval) -> bool {
        let descends = |ancestor| self.registry.descends(approval.agent, ancestor);
        reach.allows_owner(&approval.owner) && reach.agent().is_none_or(descends)
    }
}

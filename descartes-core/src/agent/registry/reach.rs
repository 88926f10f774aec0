//! Who is within reach: owners, and the line of parents.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Agents, Newcomer, Registry};
use crate::agent::{AgentId, AgentRecord, Reach};
use crate::limits::FORGOTTEN_AGENTS;

/// What is remembered of agents that were forgotten, the last ones: whose they were, and whose
/// children. Their last events are still read, and their children go on.
#[derive(Default)]
pub(super) struct Forgotten {
    agents: HashMap<AgentId, (Arc<str>, Option<AgentId>)>,
    order: VecDeque<AgentId>,
}

impl Forgotten {
    pub(super) fn note(&mut self, record: &AgentRecord) {
        let known = (Arc::clone(&record.owner), record.spec.parent);
        if self.agents.insert(record.id, known).is_none() {
            self.order.push_back(record.id);
        }
        if self.order.len() > FORGOTTEN_AGENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.agents.remove(&oldest);
        }
    }
}

impl Agents {
    /// Whether a record that is kept is within `reach`.
    pub(super) fn reaches(&self, reach: &Reach, record: &AgentRecord) -> bool {
        reach.allows_owner(&record.owner)
            && reach.agent().is_none_or(|agent| self.descends(record.id, agent))
    }

    /// Whether an agent that is being started will be within `reach`.
    pub(super) fn reaches_new(&self, reach: &Reach, newcomer: &Newcomer) -> bool {
        let descends = |agent| newcomer.parent.is_some_and(|parent| self.descends(parent, agent));
        reach.allows_owner(&newcomer.owner) && reach.agent().is_none_or(descends)
    }

    /// Whether `id`, kept or lately forgotten, is within `reach`. Of one that nobody remembers
    /// nothing is known, so only who reaches everything reaches it.
    pub(super) fn reaches_id(&self, reach: &Reach, id: AgentId) -> bool {
        if reach.is_all() {
            return true;
        }
        let owner = self.known(id).map(|(owner, _)| owner);
        owner.is_some_and(|owner| reach.allows_owner(owner))
            && reach.agent().is_none_or(|agent| self.descends(id, agent))
    }

    /// Whether `id` is `ancestor` or descends from it.
    fn descends(&self, id: AgentId, ancestor: AgentId) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            if id == ancestor {
                return true;
            }
            // A parent is older than its children, so this ends.
            next = self.known(id).and_then(|(_, parent)| parent);
        }
        false
    }

    fn known(&self, id: AgentId) -> Option<(&Arc<str>, Option<AgentId>)> {
        let record = self.all.get(&id).map(|record| (&record.owner, record.spec.parent));
        record.or_else(|| {
            let (owner, parent) = self.forgotten.agents.get(&id)?;
            Some((owner, *parent))
        })
    }
}

impl Registry {
    /// Whether the agent `id`, kept or lately forgotten, is within `reach`.
    pub(crate) fn reaches(&self, reach: &Reach, id: AgentId) -> bool {
        self.read().reaches_id(reach, id)
    }

    /// Whether `id` is within the tree that `reach` is held to; it need not exist yet.
    pub(crate) fn descends(&self, id: AgentId, ancestor: AgentId) -> bool {
        self.read().descends(id, ancestor)
    }
}

//! How far a caller reaches: which agents, and what belongs to them, it may see and act on.

use std::sync::Arc;

use super::AgentId;

/// How far a caller reaches among agents and what belongs to them. What is out of reach is, to
/// this caller, not there.
///
/// Bounds add up: who is held to an owner and to an agent reaches what both allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    owner: Option<Arc<str>>,
    agent: Option<AgentId>,
}

impl Reach {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self { owner: None, agent: None }
    }

    /// The same, but only what belongs to `owner`.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<Arc<str>>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The same, but only `agent` and what descends from it.
    #[must_use]
    pub const fn of_agent(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Whether nothing is out of reach.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.owner.is_none() && self.agent.is_none()
    }

    /// Whose things it is held to, if it is.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// The agent to whose tree it is held, if it is.
    #[must_use]
    pub const fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    /// Whether what belongs to `owner` and to no agent is within reach: nothing of that kind is an
    /// agent's.
    #[must_use]
    pub fn covers_owner(&self, owner: &str) -> bool {
        self.agent.is_none() && self.allows_owner(owner)
    }

    pub(crate) fn allows_owner(&self, owner: &str) -> bool {
        self.owner.as_deref().is_none_or(|held| held == owner)
    }
}

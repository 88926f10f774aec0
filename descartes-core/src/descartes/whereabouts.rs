//! Who of those that talk to the host is an agent.

use super::Descartes;
use crate::agent::AgentId;
use crate::dialect::ApprovalMode;
use crate::runner::{CallerProcess, Whereabouts};

impl Descartes {
    /// Whether [`whereabouts`](Self::whereabouts) needs to be asked: nobody is inside of an agent
    /// while none lives.
    #[must_use]
    pub fn has_live_agents(&self) -> bool {
        self.core.registry.any_lives()
    }

    /// Whether a process of this machine that talks to the host is one of an agent's: a descendant
    /// of it, or one that bears its marks.
    ///
    /// It costs a look at the processes of agents; ask once for each connection. Without a sandbox
    /// this finds whoever does not hide: a program of the same user can, if it means to.
    pub async fn whereabouts(&self, caller: CallerProcess) -> Whereabouts {
        if !self.has_live_agents() {
            return Whereabouts::Outside;
        }
        self.core.runners.whereabouts(self.core.instance(), caller).await
    }

    /// What happens when an agent that was given no mode of its own asks.
    #[must_use]
    pub fn approval_mode(&self) -> ApprovalMode {
        self.core.settings().approval_mode
    }

    /// What happens when `agent` asks; the default for one that is not known.
    #[must_use]
    pub fn approval_mode_of(&self, agent: AgentId) -> ApprovalMode {
        let own = self.core.registry.get(agent).and_then(|record| record.spec.chat.approvals);
        own.unwrap_or(self.core.settings().approval_mode)
    }
}

//! How the host is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Descartes;
use crate::agent::{AgentRecord, AgentStatus};
use crate::tally::Counts;
use crate::time::Timestamp;

/// Whether the host does what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// It does.
    Healthy,
    /// Something that it needs does not work.
    Degraded,
    /// It is about to stop.
    Draining,
}

impl HealthStatus {
    /// The status's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
        }
    }
}

/// How the host is; cheap to ask for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// In a word.
    pub status: HealthStatus,
    /// Why it is not healthy, one sentence each.
    pub reasons: Vec<Arc<str>>,
    /// How long it has lived.
    pub uptime: Duration,
    /// When it was asked.
    pub at: Timestamp,
}

/// How many agents there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentCounts {
    /// All that are kept.
    pub total: usize,
    /// Running, starting, stopping, restarting.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// Completed or killed.
    pub stopped: usize,
    /// Failed or lost.
    pub failed: usize,
}

impl Descartes {
    /// How the host is.
    #[must_use]
    pub fn health(&self) -> Health {
        let trouble = self.core.journal.trouble();
        let status = match &trouble {
            Some(_) => HealthStatus::Degraded,
            None if self.is_draining() => HealthStatus::Draining,
            None => HealthStatus::Healthy,
        };
        Health {
            status,
            reasons: trouble.map(|trouble| trouble.reason).into_iter().collect(),
            uptime: self.core.started.elapsed(),
            at: self.core.clock.now(),
        }
    }

    /// What was counted since the host began.
    #[must_use]
    pub fn tally(&self) -> Counts {
        self.core.tally.read()
    }

    /// How many approvals wait.
    #[must_use]
    pub fn approvals_pending(&self) -> usize {
        self.core.chats.all_pending().len()
    }

    /// The agents that live.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<AgentRecord>> {
        let live = self.core.registry.live_ids().into_iter();
        live.filter_map(|id| self.core.registry.get(id)).collect()
    }

    /// How many agents are in each status.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<AgentStatus, usize> {
        self.core.registry.counts().into_iter().collect()
    }

    /// How many agents there are.
    #[must_use]
    pub fn counts(&self) -> AgentCounts {
        let mut counts = AgentCounts::default();
        for (status, count) in self.core.registry.counts() {
            counts.total += count;
            *match status {
                AgentStatus::Starting
                | AgentStatus::Running
                | AgentStatus::Stopping
                | AgentStatus::Restarting => &mut counts.running,
                AgentStatus::Paused => &mut counts.paused,
                AgentStatus::Completed | AgentStatus::Killed => &mut counts.stopped,
                AgentStatus::Failed | AgentStatus::Lost => &mut counts.failed,
            } += count;
        }
        counts
    }
}

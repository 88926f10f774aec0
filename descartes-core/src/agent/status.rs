//! The one status model: which statuses there are and which steps between them are allowed.

use std::fmt;

/// Where an agent stands.
///
/// `starting → running ⇄ paused → stopping`, `restarting` between two runs, and one of the four
/// terminal ones at the end. A terminal status comes only when no run follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentStatus {
    /// Asked for; its program does not run yet.
    Starting,
    /// Its program runs.
    Running,
    /// Its program is stopped and can go on.
    Paused,
    /// It was told to end.
    Stopping,
    /// A run has ended and another follows.
    Restarting,
    /// Ended with exit code 0.
    Completed,
    /// Ended with another exit code, or could not be started again.
    Failed,
    /// Ended by us or by a signal.
    Killed,
    /// Ended, or not, without anybody to see it.
    Lost,
}

impl AgentStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Restarting,
        Self::Completed,
        Self::Failed,
        Self::Killed,
        Self::Lost,
    ];

    /// Whether nothing follows, short of an explicit restart.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Killed | Self::Lost)
    }

    /// Whether the step to `next` is allowed. A terminal status is left only by a restart.
    #[must_use]
    pub fn allows(self, next: Self) -> bool {
        use AgentStatus as S;
        match self {
            S::Starting => {
                matches!(next, S::Running | S::Stopping | S::Restarting) || next.is_terminal()
            }
            S::Running => {
                matches!(next, S::Paused | S::Stopping | S::Restarting) || next.is_terminal()
            }
            S::Paused => {
                matches!(next, S::Running | S::Stopping | S::Restarting) || next.is_terminal()
            }
            S::Stopping => matches!(next, S::Restarting) || next.is_terminal(),
            S::Restarting => {
                matches!(next, S::Starting | S::Running | S::Stopping) || next.is_terminal()
            }
            S::Completed | S::Failed | S::Killed | S::Lost => {
                matches!(next, S::Starting | S::Restarting)
            }
        }
    }

    /// The status's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Lost => "lost",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a running agent is busy with, as far as its dialect or its host can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activity {
    /// It waits for input.
    Idle,
    /// The model thinks, or answers.
    Thinking,
    /// A tool works.
    Tool,
    /// It asked something and waits for the decision.
    WaitingApproval,
    /// The model's owner asks for a pause.
    RateLimited,
    /// A turn is under way, and nothing has been heard of it for long.
    Stalled,
    /// Its remote or holder does not answer; it is not lost yet.
    Unreachable,
}

impl Activity {
    /// Every activity.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Thinking,
        Self::Tool,
        Self::WaitingApproval,
        Self::RateLimited,
        Self::Stalled,
        Self::Unreachable,
    ];

    /// The activity's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Thinking => "thinking",
            Self::Tool => "tool",
            Self::WaitingApproval => "waiting_approval",
            Self::RateLimited => "rate_limited",
            Self::Stalled => "stalled",
            Self::Unreachable => "unreachable",
        }
    }

    /// The activity with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activity| activity.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::AgentStatus;

    #[test]
    fn a_terminal_status_is_left_only_towards_another_run() {
        for from in AgentStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
            let next: Vec<_> = AgentStatus::ALL.into_iter().filter(|to| from.allows(*to)).collect();
            assert_eq!(next, [AgentStatus::Starting, AgentStatus::Restarting], "{from}");
        }
    }

    #[test]
    fn every_live_status_may_end_in_any_terminal_one() {
        for from in AgentStatus::ALL.into_iter().filter(|status| !status.is_terminal()) {
            for to in AgentStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
                assert!(from.allows(to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn no_status_steps_to_itself_and_every_text_reads_back() {
        for status in AgentStatus::ALL {
            assert!(!status.allows(status), "{status}");
            assert_eq!(AgentStatus::from_text(status.as_str()), Some(status));
        }
    }
}

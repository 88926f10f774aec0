//! What a chat is asked to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::AgentSpec;
use crate::dialect::{ApprovalMode, Thinking};

/// What a chat is asked to be.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ChatSpec {
    /// Its agent: backend, directory, environment, and how it converses. `task` is no part of it:
    /// a chat begins with a prompt.
    pub agent: AgentSpec,
    /// A title for people.
    pub title: Option<String>,
}

impl ChatSpec {
    /// A chat with an agent of `backend`.
    #[must_use]
    pub fn backend(backend: impl Into<String>) -> Self {
        Self { agent: AgentSpec::backend(backend), title: None }
    }
}

/// How an agent converses, for backends that have turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatOptions {
    /// Which model; the program's own choice when absent.
    pub model: Option<Arc<str>>,
    /// What the model is told first; the program's own when absent.
    pub system_prompt: Option<Arc<str>>,
    /// How hard the model thinks.
    pub thinking: Thinking,
    /// Rounds with the model in one turn.
    pub max_turns: Option<u32>,
    /// What happens when the program asks; the host's default when absent.
    pub approvals: Option<ApprovalMode>,
    /// What a prompt does while a turn is running.
    pub when_busy: WhenBusy,
    /// How long a turn may take; as long as it likes when absent.
    pub turn_timeout: Option<Duration>,
    /// The file, absolute and not there yet, that gets what the agent and our side say to each other
    /// ([`recording`](crate::recording)).
    pub record: Option<PathBuf>,
}

/// What a prompt does while a turn is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenBusy {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// It cancels the turn and is next.
    Interrupt,
}

impl WhenBusy {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Reject, Self::Interrupt];

    /// The choice's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Reject => "reject",
            Self::Interrupt => "interrupt",
        }
    }

    /// The choice with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == text)
    }
}

//! What is known of a chat.

use std::sync::Arc;

use super::{ChatId, ChatSpec};
use crate::agent::AgentId;
use crate::dialect::Prompt;
use crate::event::Usage;
use crate::time::Timestamp;

/// What is known of a chat: its document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChatRecord {
    /// Which chat.
    pub id: ChatId,
    /// What it was asked to be; names of `env` without their values.
    pub spec: ChatSpec,
    /// Its backend.
    pub backend: Arc<str>,
    /// What it does now.
    pub status: ChatStatus,
    /// How many turns there were, those that wait included.
    pub turns: u32,
    /// The turn that is under way.
    pub turn: Option<u32>,
    /// Prompts that wait for their turn.
    pub queue: Vec<QueuedPrompt>,
    /// Whether it is used as a chat or as an agent.
    pub mode: ChatMode,
    /// The agent that is, or will be, at its other end. It has runs as an agent has; it exists once
    /// [`has_agent`](Self::has_agent).
    pub agent: AgentId,
    /// Whether that agent was ever started.
    pub has_agent: bool,
    /// Whether one of its processes runs.
    pub is_active: bool,
    /// The program's own name of the conversation.
    pub native: Option<Arc<str>>,
    /// What it used so far.
    pub usage: Usage,
    /// Questions that are open.
    pub pending_approvals: u32,
    /// What is allowed until the chat is closed.
    pub allows: Vec<SessionAllow>,
    /// Who asked for it.
    pub owner: Arc<str>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When something last happened in it.
    pub last_activity_at: Timestamp,
}

impl ChatRecord {
    /// The record of a chat that was just asked for.
    #[must_use]
    pub fn new(spec: ChatSpec, backend: Arc<str>, owner: Arc<str>, now: Timestamp) -> Self {
        Self {
            id: ChatId::generate(),
            spec,
            backend,
            status: ChatStatus::Idle,
            turns: 0,
            turn: None,
            queue: Vec::new(),
            mode: ChatMode::Chat,
            agent: AgentId::generate(),
            has_agent: false,
            is_active: false,
            native: None,
            usage: Usage::default(),
            pending_approvals: 0,
            allows: Vec::new(),
            owner,
            created_at: now,
            last_activity_at: now,
        }
    }

    /// The turn that is under way, else the one that begins next.
    #[must_use]
    pub fn next_turn(&self) -> Option<u32> {
        self.turn.or_else(|| self.queue.first().map(|waits| waits.turn))
    }

    /// Whether it can go on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status != ChatStatus::Closed
    }
}

/// What a chat does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChatStatus {
    /// It waits for a prompt.
    Idle,
    /// A turn is under way.
    Running,
    /// A turn waits for a decision.
    WaitingApproval,
    /// A turn is about to begin.
    Queued,
    /// A turn is under way, and nothing has been heard of it for long.
    Stalled,
    /// It is over.
    Closed,
}

impl ChatStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Running,
        Self::WaitingApproval,
        Self::Queued,
        Self::Stalled,
        Self::Closed,
    ];

    /// The status's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::WaitingApproval => "waiting_approval",
            Self::Queued => "queued",
            Self::Stalled => "stalled",
            Self::Closed => "closed",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Whether a conversation is used as a chat or as an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChatMode {
    /// Its process may be stopped while nothing is asked of it.
    #[default]
    Chat,
    /// It is a supervised agent of the same conversation.
    Agent,
}

impl ChatMode {
    /// The mode's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Agent => "agent",
        }
    }

    /// The mode with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Chat, Self::Agent].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// A prompt that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedPrompt {
    /// Which turn it will be.
    pub turn: u32,
    /// What is asked.
    pub prompt: Prompt,
    /// By whom.
    pub by: Arc<str>,
}

impl QueuedPrompt {
    /// The prompt of turn `turn`.
    #[must_use]
    pub fn new(turn: u32, prompt: Prompt, by: Arc<str>) -> Self {
        Self { turn, prompt, by }
    }
}

/// What is allowed until a chat is closed: a tool, under the rule that the program named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAllow {
    /// Which tool.
    pub tool: Arc<str>,
    /// Under which rule; any call of the tool only if the program named none.
    pub rule: Option<Arc<str>>,
}

//! Chunks: what happens in a chat, piece by piece.

use std::sync::Arc;

use crate::agent::{Activity, AgentId};
use crate::approval::{Approval, ApprovalId, ApprovalStatus};
use crate::cursor::Cursor;
use crate::json::Json;

/// One piece of what happens in a chat.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamChunk {
    /// In which turn, from 1; the last one when it belongs to none, 0 before the first.
    pub turn: u32,
    /// The tool call behind it, when a sub-agent said it: its text is no part of the turn's content.
    pub parent_tool_id: Option<Arc<str>>,
    /// What it says.
    pub body: ChunkBody,
}

impl StreamChunk {
    /// `body` of turn `turn`.
    #[must_use]
    pub fn new(turn: u32, body: ChunkBody) -> Self {
        Self { turn, parent_tool_id: None, body }
    }

    /// The same, said by the sub-agent of this tool call.
    #[must_use]
    pub fn under(mut self, parent_tool_id: impl Into<Arc<str>>) -> Self {
        self.parent_tool_id = Some(parent_tool_id.into());
        self
    }
}

/// What a chunk says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChunkBody {
    /// A turn began.
    TurnStarted {
        /// What was asked.
        prompt: Arc<str>,
        /// By whom.
        by: Option<Arc<str>>,
        /// Whether it had waited for another turn.
        queued: bool,
    },
    /// The next piece of the answer.
    Text {
        /// The piece.
        content: Arc<str>,
        /// Which block of text of the turn, from 0; a new one begins after each tool call.
        block: u32,
    },
    /// The next piece of what the model thinks.
    Thinking {
        /// The piece.
        content: Arc<str>,
        /// Which block of thinking of the turn, from 0.
        block: u32,
    },
    /// A tool is about to be called.
    ToolUseStart {
        /// Which.
        tool_name: Arc<str>,
        /// The call's name, as the program gave it.
        tool_id: Arc<str>,
    },
    /// The next piece of a tool call's arguments.
    ToolUseInput {
        /// Which call.
        tool_id: Arc<str>,
        /// The piece, as text; empty when the program told nothing but the whole.
        content: Arc<str>,
        /// The whole, in the last one.
        input: Option<Json>,
    },
    /// What a tool call came to.
    ToolResult {
        /// Which call.
        tool_id: Arc<str>,
        /// What it gave, as text.
        result: Arc<str>,
        /// Whether it failed.
        is_error: bool,
    },
    /// The agent asks something and waits.
    ApprovalRequested(Box<Approval>),
    /// What became of it.
    ApprovalResolved {
        /// Which approval.
        approval: ApprovalId,
        /// What.
        status: ApprovalStatus,
    },
    /// What the agent is busy with.
    Status {
        /// With what; nothing is to be said when absent.
        activity: Option<Activity>,
    },
    /// What was used so far.
    Usage(Usage),
    /// Text and thinking of this turn from `from_offset` of the chat's topic on are void.
    Retracted {
        /// The first void offset.
        from_offset: u64,
    },
    /// A turn ended.
    TurnComplete {
        /// How.
        outcome: TurnOutcome,
        /// What it used, as far as the program tells.
        usage: Option<Usage>,
        /// Why it did not succeed.
        error: Option<ChunkError>,
    },
    /// A process ended: its last chunk.
    Complete {
        /// Which agent it was.
        agent: AgentId,
        /// Its exit code, when it ended by itself.
        exit_code: Option<i32>,
        /// Whether the conversation can go on in another process.
        resumable: bool,
    },
    /// The chat is closed: its last chunk.
    Closed {
        /// By whom.
        by: Option<Arc<str>>,
        /// Why.
        reason: Arc<str>,
    },
    /// Something went wrong; the turn may go on.
    Error(ChunkError),
    /// A line that the dialect does not know.
    Raw {
        /// The line, bytes that are no text replaced.
        line: Arc<str>,
    },
    /// A line too long to be read; the agent's log has it whole.
    Oversize {
        /// How long it was.
        bytes: u64,
        /// A position of the journal behind which the agent's output has it; what else was written
        /// then may stand before it. The conversation knows it, a dialect does not.
        cursor: Option<Cursor>,
    },
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnOutcome {
    /// The program says that it is done.
    Completed,
    /// Somebody cancelled it; what was said is kept.
    Cancelled,
    /// It could not be done.
    Failed,
    /// The process or its host ended in the middle.
    Interrupted,
    /// It took longer than it may.
    TimedOut,
}

impl TurnOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Cancelled, Self::Failed, Self::Interrupted, Self::TimedOut];

    /// The outcome's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
        }
    }

    /// The outcome with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What went wrong in a chat, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkError {
    /// What kind of thing.
    pub kind: ChunkErrorKind,
    /// What the program said of it.
    pub message: Arc<str>,
    /// What can be done about it.
    pub hint: Option<Arc<str>>,
}

impl ChunkError {
    /// An error of `kind` that the program described so.
    #[must_use]
    pub fn new(kind: ChunkErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with what can be done about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Arc<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What kind of thing went wrong in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkErrorKind {
    /// The program is not logged in, or its key is refused.
    AgentAuth,
    /// The model's owner asks for a pause.
    RateLimited,
    /// The model or the way to it failed.
    ModelError,
    /// The conversation is too long for the model.
    ContextFull,
    /// The program ended in the middle.
    AgentCrashed,
    /// The program said something that its protocol does not allow.
    Protocol,
    /// The program says nothing, for too long.
    Stalled,
    /// The turn took longer than it may.
    Timeout,
    /// A limit of tokens or cost was reached.
    Budget,
}

impl ChunkErrorKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::AgentAuth,
        Self::RateLimited,
        Self::ModelError,
        Self::ContextFull,
        Self::AgentCrashed,
        Self::Protocol,
        Self::Stalled,
        Self::Timeout,
        Self::Budget,
    ];

    /// The kind's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentAuth => "agent_auth",
            Self::RateLimited => "rate_limited",
            Self::ModelError => "model_error",
            Self::ContextFull => "context_full",
            Self::AgentCrashed => "agent_crashed",
            Self::Protocol => "protocol",
            Self::Stalled => "stalled",
            Self::Timeout => "timeout",
            Self::Budget => "budget",
        }
    }

    /// The kind with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What was used, as far as the program tells: absent is unknown, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that the model read, those from a cache included.
    pub input_tokens: Option<u64>,
    /// Of these, tokens that came from a cache.
    pub cached_tokens: Option<u64>,
    /// Tokens that the model wrote.
    pub output_tokens: Option<u64>,
    /// What it cost.
    pub cost_usd: Option<f64>,
}

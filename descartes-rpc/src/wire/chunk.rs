//! What happens in a chat, piece by piece (API.md section 4, "Chunks").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::approval::ApprovalOption;
use super::{shape, words};

words! {
    /// How a turn ended.
    pub enum TurnOutcome {
        /// The program says that it is done.
        Completed = "completed",
        /// Somebody cancelled it; what was said is kept.
        Cancelled = "cancelled",
        /// It could not be done.
        Failed = "failed",
        /// The process or its host ended in the middle.
        Interrupted = "interrupted",
        /// It took longer than it may.
        TimedOut = "timed_out",
    }
}

shape! {
    /// What was used, as far as the program tells: absent is unknown, never zero.
    #[derive(Default)]
    pub struct Usage {
        /// Tokens that the model read, those from a cache included.
        input_tokens?: u64,
        /// Of these, tokens that came from a cache.
        cached_tokens?: u64,
        /// Tokens that the model wrote.
        output_tokens?: u64,
        /// What it cost.
        cost_usd?: f64,
    }
}

shape! {
    /// What went wrong in a chat.
    pub struct ChunkError {
        /// What kind of thing: `agent_auth`, `rate_limited`, `model_error`, `context_full`,
        /// `agent_crashed`, `protocol`, `stalled`, `timeout` or `budget`.
        kind: String,
        /// What the program said of it.
        message: String,
        /// What can be done about it.
        hint?: String,
    }
}

/// What happens in a chat, piece by piece: the `data` of `chat.chunk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChunkBody {
    /// A turn began.
    TurnStarted {
        /// What was asked.
        prompt: String,
        /// By whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Whether it had waited for another turn.
        queued: bool,
    },
    /// The next piece of the answer.
    Text {
        /// The piece.
        content: String,
        /// Which block of text of the turn, from 0.
        block: u32,
    },
    /// The next piece of what the model thinks.
    Thinking {
        /// The piece.
        content: String,
        /// Which block of thinking of the turn, from 0.
        block: u32,
    },
    /// A tool is about to be called.
    ToolUseStart {
        /// Which.
        tool_name: String,
        /// The call's name.
        tool_id: String,
    },
    /// The next piece of a tool call's arguments.
    ToolUseInput {
        /// Which call.
        tool_id: String,
        /// The piece, as text.
        content: String,
        /// The whole, in the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<serde_json::Value>,
    },
    /// What a tool call came to.
    ToolResult {
        /// Which call.
        tool_id: String,
        /// What it gave.
        result: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// The agent asks something and waits.
    ApprovalRequested {
        /// Its identifier.
        approval_id: String,
        /// `permission` or `question`.
        kind: String,
        /// The tool that it would use.
        tool: String,
        /// One line for people.
        title: String,
        /// The arguments, as they would be used.
        arguments: serde_json::Value,
        /// What it is about, as a number that another question has not.
        digest: String,
        /// What can be answered.
        options: Vec<ApprovalOption>,
        /// What an allow for the whole session would cover.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// When it is decided by default.
        deadline: String,
    },
    /// What became of it.
    ApprovalResolved {
        /// Which approval.
        approval_id: String,
        /// What.
        status: String,
    },
    /// What the agent is busy with.
    Status {
        /// With what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activity: Option<String>,
    },
    /// What was used so far.
    Usage(Usage),
    /// Text and thinking of this turn from that offset of the topic on are void.
    Retracted {
        /// The first void offset.
        from_offset: u64,
    },
    /// A turn ended.
    TurnComplete {
        /// Which.
        turn_number: u32,
        /// How.
        outcome: TurnOutcome,
        /// What it used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ChunkError>,
    },
    /// A process ended: its last chunk.
    Complete {
        /// The chat.
        session_id: String,
        /// Which agent it was.
        agent_id: String,
        /// Its exit code, when it ended by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Whether the conversation can go on in another process.
        resumable: bool,
    },
    /// The chat is closed: its last chunk.
    Closed {
        /// By whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// Something went wrong; the turn may go on.
    Error(ChunkError),
    /// A line that is not understood.
    Raw {
        /// The line.
        line: String,
    },
    /// A line too long to be read.
    Oversize {
        /// How long it was.
        bytes: u64,
        /// Behind it the agent's output has the line, as `after` of `agent.logs` and `event.*`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// A chunk of a later daemon.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A chunk of a chat, as events carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Chunk {
    /// In which turn; 0 before the first.
    pub turn: u32,
    /// The tool call behind it, when a sub-agent said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_id: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub body: ChunkBody,
}

//! The shape of chat chunks on disk. Short names: a turn has thousands of them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::FormatError;
use super::approval::ApprovalDisk;
use super::record::to_bytes;
use crate::agent::Activity;
use crate::approval::ApprovalStatus;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, TurnOutcome, Usage};
use crate::json::Json;

/// Encodes a chunk.
pub(super) fn encode_chunk(chunk: &StreamChunk) -> Bytes {
    to_bytes(&ChunkDisk {
        turn: chunk.turn,
        parent: chunk.parent_tool_id.clone(),
        body: BodyDisk::from(&chunk.body),
    })
}

/// Reads a chunk.
pub(super) fn decode_chunk(bytes: &[u8]) -> Result<StreamChunk, FormatError> {
    let disk: ChunkDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("chunk", error))?;
    let mut chunk = StreamChunk::new(disk.turn, disk.body.into_body()?);
    chunk.parent_tool_id = disk.parent;
    Ok(chunk)
}

#[derive(Serialize, Deserialize)]
struct ChunkDisk {
    #[serde(rename = "t")]
    turn: u32,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    parent: Option<Arc<str>>,
    #[serde(rename = "b")]
    body: BodyDisk,
}

#[derive(Serialize, Deserialize)]
enum BodyDisk {
    #[serde(rename = "turn_started")]
    TurnStarted { prompt: Arc<str>, by: Option<Arc<str>>, queued: bool },
    #[serde(rename = "x")]
    Text(Arc<str>, u32),
    #[serde(rename = "k")]
    Thinking(Arc<str>, u32),
    #[serde(rename = "tool_use_start")]
    ToolUseStart { name: Arc<str>, id: Arc<str> },
    #[serde(rename = "i")]
    ToolUseInput(Arc<str>, Arc<str>, Option<Box<RawValue>>),
    #[serde(rename = "tool_result")]
    ToolResult { id: Arc<str>, result: Arc<str>, is_error: bool },
    #[serde(rename = "approval_requested")]
    ApprovalRequested(Box<ApprovalDisk>),
    #[serde(rename = "approval_resolved")]
    ApprovalResolved { approval: String, status: String },
    #[serde(rename = "status")]
    Status { activity: Option<String> },
    #[serde(rename = "usage")]
    Usage(UsageDisk),
    #[serde(rename = "retracted")]
    Retracted { from: u64 },
    #[serde(rename = "turn_complete")]
    TurnComplete { outcome: String, usage: Option<UsageDisk>, error: Option<ErrorDisk> },
    #[serde(rename = "complete")]
    Complete { agent: String, exit_code: Option<i32>, resumable: bool },
    #[serde(rename = "closed")]
    Closed { by: Option<Arc<str>>, reason: Arc<str> },
    #[serde(rename = "error")]
    Error(ErrorDisk),
    #[serde(rename = "raw")]
    Raw { line: Arc<str> },
    #[serde(rename = "oversize")]
    Oversize {
        bytes: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
}

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) struct UsageDisk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cached: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

impl From<&Usage> for UsageDisk {
    fn from(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            cached: usage.cached_tokens,
            output: usage.output_tokens,
            cost_usd: usage.cost_usd,
        }
    }
}

impl From<UsageDisk> for Usage {
    fn from(disk: UsageDisk) -> Self {
        Self {
            input_tokens: disk.input,
            cached_tokens: disk.cached,
            output_tokens: disk.output,
            cost_usd: disk.cost_usd,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ErrorDisk {
    kind: String,
    message: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<Arc<str>>,
}

impl From<&ChunkError> for ErrorDisk {
    fn from(error: &ChunkError) -> Self {
        Self {
            kind: error.kind.as_str().to_owned(),
            message: Arc::clone(&error.message),
            hint: error.hint.clone(),
        }
    }
}

impl ErrorDisk {
    fn into_error(self) -> Result<ChunkError, FormatError> {
        let kind = ChunkErrorKind::from_text(&self.kind).ok_or_else(|| unknown("kind"))?;
        let mut error = ChunkError::new(kind, self.message);
        error.hint = self.hint;
        Ok(error)
    }
}

impl From<&ChunkBody> for BodyDisk {
    fn from(body: &ChunkBody) -> Self {
        match body.clone() {
            ChunkBody::TurnStarted { prompt, by, queued } => {
                Self::TurnStarted { prompt, by, queued }
            }
            ChunkBody::Text { content, block } => Self::Text(content, block),
            ChunkBody::Thinking { content, block } => Self::Thinking(content, block),
            ChunkBody::ToolUseStart { tool_name, tool_id } => {
                Self::ToolUseStart { name: tool_name, id: tool_id }
            }
            ChunkBody::ToolUseInput { tool_id, content, input } => {
                Self::ToolUseInput(tool_id, content, input.map(|input| input.to_raw()))
            }
            ChunkBody::ToolResult { tool_id, result, is_error } => {
                Self::ToolResult { id: tool_id, result, is_error }
            }
            ChunkBody::ApprovalRequested(approval) => {
                Self::ApprovalRequested(Box::new(ApprovalDisk::from(&*approval)))
            }
            ChunkBody::ApprovalResolved { approval, status } => Self::ApprovalResolved {
                approval: approval.to_string(),
                status: status.as_str().to_owned(),
            },
            ChunkBody::Status { activity } => {
                Self::Status { activity: activity.map(|activity| activity.as_str().to_owned()) }
            }
            ChunkBody::Usage(usage) => Self::Usage(UsageDisk::from(&usage)),
            ChunkBody::Retracted { from_offset } => Self::Retracted { from: from_offset },
            ChunkBody::TurnComplete { outcome, usage, error } => Self::TurnComplete {
                outcome: outcome.as_str().to_owned(),
                usage: usage.as_ref().map(UsageDisk::from),
                error: error.as_ref().map(ErrorDisk::from),
            },
            ChunkBody::Complete { agent, exit_code, resumable } => {
                Self::Complete { agent: agent.to_string(), exit_code, resumable }
            }
            ChunkBody::Closed { by, reason } => Self::Closed { by, reason },
            ChunkBody::Error(error) => Self::Error(ErrorDisk::from(&error)),
            ChunkBody::Raw { line } => Self::Raw { line },
            ChunkBody::Oversize { bytes, cursor } => {
                Self::Oversize { bytes, cursor: cursor.map(|cursor| cursor.to_string()) }
            }
        }
    }
}

impl BodyDisk {
    fn into_body(self) -> Result<ChunkBody, FormatError> {
        Ok(match self {
            Self::TurnStarted { prompt, by, queued } => {
                ChunkBody::TurnStarted { prompt, by, queued }
            }
            Self::Text(content, block) => ChunkBody::Text { content, block },
            Self::Thinking(content, block) => ChunkBody::Thinking { content, block },
            Self::ToolUseStart { name, id } => {
                ChunkBody::ToolUseStart { tool_name: name, tool_id: id }
            }
            Self::ToolUseInput(tool_id, content, input) => {
                let input = input.map(|input| Json::from(&*input));
                ChunkBody::ToolUseInput { tool_id, content, input }
            }
            Self::ToolResult { id, result, is_error } => {
                ChunkBody::ToolResult { tool_id: id, result, is_error }
            }
            Self::ApprovalRequested(approval) => {
                ChunkBody::ApprovalRequested(Box::new(approval.into_approval()?))
            }
            Self::ApprovalResolved { approval, status } => ChunkBody::ApprovalResolved {
                approval: approval.parse().map_err(|error| FormatError::new("chunk", error))?,
                status: ApprovalStatus::from_text(&status).ok_or_else(|| unknown("status"))?,
            },
            Self::Status { activity } => {
                ChunkBody::Status { activity: activity.as_deref().and_then(Activity::from_text) }
            }
            Self::Usage(usage) => ChunkBody::Usage(usage.into()),
            Self::Retracted { from } => ChunkBody::Retracted { from_offset: from },
            Self::TurnComplete { outcome, usage, error } => ChunkBody::TurnComplete {
                outcome: TurnOutcome::from_text(&outcome).ok_or_else(|| unknown("outcome"))?,
                usage: usage.map(Usage::from),
                error: error.map(ErrorDisk::into_error).transpose()?,
            },
            Self::Complete { agent, exit_code, resumable } => ChunkBody::Complete {
                agent: agent.parse().map_err(|error| FormatError::new("chunk", error))?,
                exit_code,
                resumable,
            },
            Self::Closed { by, reason } => ChunkBody::Closed { by, reason },
            Self::Error(error) => ChunkBody::Error(error.into_error()?),
            Self::Raw { line } => ChunkBody::Raw { line },
            Self::Oversize { bytes, cursor } => {
                let cursor = cursor.map(|cursor| cursor.parse()).transpose();
                let cursor = cursor.map_err(|error| FormatError::new("chunk", error))?;
                ChunkBody::Oversize { bytes, cursor }
            }
        })
    }
}

fn unknown(what: &str) -> FormatError {
    FormatError::new("chunk", format_args!("unknown {what}"))
}

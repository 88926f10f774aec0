//! Chats, chunks and approvals, as JSON.

use descartes_core::approval as ap;
use descartes_core::chat as core;
use descartes_core::dialect as dl;
use descartes_core::event::{self as ev, ChunkBody as B};
use serde::Serialize;
use serde_json::value::RawValue;

use super::agent::stamp;
use crate::wire::approval::{Approval, ApprovalOption, ApprovalStatus};
use crate::wire::chat::{ApprovalMode, Chat, ChatMessage, ChatStatus, ToolCall};
use crate::wire::chunk::{ChunkError, TurnOutcome, Usage};
use crate::wire::state::Json;

/// A chat as lists show it.
pub(crate) fn chat(record: &core::ChatRecord) -> Chat {
    let spec = &record.spec.agent;
    Chat {
        session_id: record.id.to_string(),
        backend: record.backend.as_ref().to_owned(),
        working_dir: spec.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()),
        title: record.spec.title.clone(),
        created_at: stamp(record.created_at),
        last_activity_at: stamp(record.last_activity_at),
        status: ChatStatus::from_word(record.status.as_str()),
        is_active: record.is_active,
        turn_count: record.turns,
        turn: record.turn,
        mode: record.mode.as_str().to_owned(),
        agent_id: record.has_agent.then(|| record.agent.to_string()),
        native_session_id: record.native.as_deref().map(str::to_owned),
        pending_approvals: record.pending_approvals,
        owner: record.owner.as_ref().to_owned(),
        labels: spec.labels.clone(),
        usage: usage(&record.usage),
    }
}

/// A message of a chat.
pub(crate) fn message(index: usize, message: core::Message) -> ChatMessage {
    let call = |call: core::ToolCall| ToolCall {
        tool_id: call.id.as_ref().to_owned(),
        tool_name: call.name.as_ref().to_owned(),
        input: call.input.map(|input| Json(input.to_raw())),
        result: call.result.as_deref().map(str::to_owned),
        is_error: call.is_error,
    };
    let calls: Vec<_> = message.tool_calls.into_iter().map(call).collect();
    ChatMessage {
        index: u64::try_from(index).unwrap_or(u64::MAX),
        turn: message.turn,
        role: message.role.as_str().to_owned(),
        content: message.content,
        tool_calls: (!calls.is_empty()).then_some(calls),
    }
}

/// An approval.
pub(crate) fn approval(approval: &ap::Approval) -> Approval {
    Approval {
        approval_id: approval.id.to_string(),
        kind: kind(approval.kind).to_owned(),
        agent_id: approval.agent.to_string(),
        session_id: Some(approval.chat.to_string()),
        turn: approval.turn,
        tool: approval.tool.as_ref().to_owned(),
        title: approval.title.as_ref().to_owned(),
        arguments: Json(approval.arguments.to_raw()),
        cwd: approval.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()),
        digest: approval.digest.as_ref().to_owned(),
        options: approval.options.iter().map(option).collect(),
        rule: approval.rule.as_deref().map(str::to_owned),
        requested_at: stamp(approval.requested_at),
        deadline: stamp(approval.deadline),
        default: if approval.default_allow { "allow" } else { "deny" }.to_owned(),
        status: ApprovalStatus::from_word(approval.status.as_str()),
        decided_by: approval.decided_by.as_deref().map(str::to_owned),
        reason: approval.reason.as_deref().map(str::to_owned),
    }
}

fn kind(kind: dl::AskKind) -> &'static str {
    match kind {
        dl::AskKind::Question => "question",
        _ => "permission",
    }
}

fn option(option: &dl::AskOption) -> ApprovalOption {
    let effect = match option.effect {
        dl::OptionEffect::AllowOnce => "allow_once",
        dl::OptionEffect::AllowSession => "allow_session",
        dl::OptionEffect::Answer => "answer",
        _ => "deny",
    };
    ApprovalOption {
        id: option.id.as_ref().to_owned(),
        label: option.label.as_ref().to_owned(),
        effect: effect.to_owned(),
    }
}

/// What was used.
pub(crate) fn usage(usage: &ev::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        cached_tokens: usage.cached_tokens,
        output_tokens: usage.output_tokens,
        cost_usd: usage.cost_usd,
    }
}

/// How a turn ended.
pub(crate) fn outcome(outcome: ev::TurnOutcome) -> TurnOutcome {
    TurnOutcome::from_word(outcome.as_str())
}

/// What went wrong.
pub(crate) fn error(error: &ev::ChunkError) -> ChunkError {
    ChunkError {
        kind: error.kind.as_str().to_owned(),
        message: error.message.as_ref().to_owned(),
        hint: error.hint.as_deref().map(str::to_owned),
    }
}

/// What happens when an agent asks.
pub(crate) fn mode(mode: dl::ApprovalMode) -> ApprovalMode {
    match mode {
        dl::ApprovalMode::Ask => ApprovalMode::Ask,
        dl::ApprovalMode::AllowEdits => ApprovalMode::AllowEdits,
        dl::ApprovalMode::AllowAll => ApprovalMode::AllowAll,
        dl::ApprovalMode::Deny => ApprovalMode::Deny,
    }
}

/// A chunk on its way out.
#[derive(Serialize)]
pub(crate) struct ChunkOut<'a> {
    turn: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_tool_id: Option<&'a str>,
    #[serde(flatten)]
    body: BodyOut<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BodyOut<'a> {
    TurnStarted {
        prompt: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        queued: bool,
    },
    Text {
        content: &'a str,
        block: u32,
    },
    Thinking {
        content: &'a str,
        block: u32,
    },
    ToolUseStart {
        tool_name: &'a str,
        tool_id: &'a str,
    },
    ToolUseInput {
        tool_id: &'a str,
        content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Box<RawValue>>,
    },
    ToolResult {
        tool_id: &'a str,
        result: &'a str,
        is_error: bool,
    },
    ApprovalRequested {
        approval_id: String,
        kind: &'a str,
        tool: &'a str,
        title: &'a str,
        arguments: Box<RawValue>,
        digest: &'a str,
        options: Vec<ApprovalOption>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<&'a str>,
        deadline: String,
    },
    ApprovalResolved {
        approval_id: String,
        status: &'a str,
    },
    Status {
        #[serde(skip_serializing_if = "Option::is_none")]
        activity: Option<&'a str>,
    },
    Usage(Usage),
    Retracted {
        from_offset: u64,
    },
    TurnComplete {
        turn_number: u32,
        outcome: TurnOutcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ChunkError>,
    },
    Complete {
        session_id: &'a str,
        agent_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        resumable: bool,
    },
    Closed {
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        reason: &'a str,
    },
    Error(ChunkError),
    Raw {
        line: &'a str,
    },
    Oversize {
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    Unknown,
}

impl<'a> ChunkOut<'a> {
    /// The chunk of `event`.
    pub(crate) fn of(event: &'a ev::Event, chunk: &'a ev::StreamChunk) -> Self {
        let session_id = event.topic.as_str().strip_prefix("chat/").unwrap_or_default();
        Self {
            turn: chunk.turn,
            parent_tool_id: chunk.parent_tool_id.as_deref(),
            body: body(session_id, chunk),
        }
    }
}

fn body<'a>(session_id: &'a str, chunk: &'a ev::StreamChunk) -> BodyOut<'a> {
    match &chunk.body {
        B::TurnStarted { prompt, by, queued } => {
            BodyOut::TurnStarted { prompt, by: by.as_deref(), queued: *queued }
        }
        B::Text { content, block } => BodyOut::Text { content, block: *block },
        B::Thinking { content, block } => BodyOut::Thinking { content, block: *block },
        B::ToolUseStart { tool_name, tool_id } => BodyOut::ToolUseStart { tool_name, tool_id },
        B::ToolUseInput { tool_id, content, input } => {
            let input = input.as_ref().map(descartes_core::json::Json::to_raw);
            BodyOut::ToolUseInput { tool_id, content, input }
        }
        B::ToolResult { tool_id, result, is_error } => {
            BodyOut::ToolResult { tool_id, result, is_error: *is_error }
        }
        B::ApprovalRequested(approval) => requested(approval),
        B::ApprovalResolved { approval, status } => {
            BodyOut::ApprovalResolved { approval_id: approval.to_string(), status: status.as_str() }
        }
        B::Status { activity } => {
            BodyOut::Status { activity: activity.map(descartes_core::agent::Activity::as_str) }
        }
        B::Usage(used) => BodyOut::Usage(usage(used)),
        B::Retracted { from_offset } => BodyOut::Retracted { from_offset: *from_offset },
        B::TurnComplete { outcome: how, usage: used, error: why } => BodyOut::TurnComplete {
            turn_number: chunk.turn,
            outcome: outcome(*how),
            usage: used.as_ref().map(usage),
            error: why.as_ref().map(error),
        },
        B::Complete { agent, exit_code, resumable } => BodyOut::Complete {
            session_id,
            agent_id: agent.to_string(),
            exit_code: *exit_code,
            resumable: *resumable,
        },
        B::Closed { by, reason } => BodyOut::Closed { by: by.as_deref(), reason },
        B::Error(why) => BodyOut::Error(error(why)),
        B::Raw { line } => BodyOut::Raw { line },
        B::Oversize { bytes, cursor } => {
            BodyOut::Oversize { bytes: *bytes, cursor: cursor.map(|cursor| cursor.to_string()) }
        }
        _ => BodyOut::Unknown,
    }
}

fn requested(approval: &ap::Approval) -> BodyOut<'_> {
    BodyOut::ApprovalRequested {
        approval_id: approval.id.to_string(),
        kind: kind(approval.kind),
        tool: &approval.tool,
        title: &approval.title,
        arguments: approval.arguments.to_raw(),
        digest: &approval.digest,
        options: approval.options.iter().map(option).collect(),
        rule: approval.rule.as_deref(),
        deadline: stamp(approval.deadline),
    }
}

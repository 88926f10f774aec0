//! The shape of a chat's record, and of how its agent converses, on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FormatError;
use super::chunk::UsageDisk;
use super::record::{SpecDisk, millis, to_bytes};
use crate::chat::{
    ChatMode, ChatOptions, ChatRecord, ChatSpec, ChatStatus, QueuedPrompt, SessionAllow, WhenBusy,
};
use crate::dialect::{ApprovalMode, Prompt, PromptPart, Thinking};
use crate::time::Timestamp;

/// Encodes a chat's record. Values of `env` are not written, only the names.
#[must_use]
pub fn encode_chat(record: &ChatRecord) -> Bytes {
    to_bytes(&ChatDisk::from(record))
}

/// Reads a chat's record.
///
/// # Errors
/// When the bytes are not a chat.
pub fn decode_chat(bytes: &[u8]) -> Result<ChatRecord, FormatError> {
    let disk: ChatDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("chat", error))?;
    disk.into_record()
}

#[derive(Serialize, Deserialize)]
struct ChatDisk {
    id: String,
    spec: SpecDisk,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    backend: Arc<str>,
    status: String,
    turns: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    queue: Vec<QueuedDisk>,
    mode: String,
    agent: String,
    has_agent: bool,
    is_active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    native: Option<Arc<str>>,
    usage: UsageDisk,
    pending: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allows: Vec<(Arc<str>, Option<Arc<str>>)>,
    owner: Arc<str>,
    created_at: i64,
    last_activity_at: i64,
}

#[derive(Serialize, Deserialize)]
struct QueuedDisk {
    turn: u32,
    by: Arc<str>,
    parts: Vec<PartDisk>,
}

#[derive(Serialize, Deserialize)]
enum PartDisk {
    #[serde(rename = "text")]
    Text(Arc<str>),
    #[serde(rename = "image")]
    Image(Arc<str>, Arc<str>),
    #[serde(rename = "file")]
    File(std::path::PathBuf),
}

/// How an agent converses.
#[derive(Serialize, Deserialize)]
pub(super) struct OptionsDisk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_prompt: Option<Arc<str>>,
    thinking: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_turns: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approvals: Option<String>,
    when_busy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<std::path::PathBuf>,
}

impl From<&ChatOptions> for OptionsDisk {
    fn from(options: &ChatOptions) -> Self {
        Self {
            model: options.model.clone(),
            system_prompt: options.system_prompt.clone(),
            thinking: options.thinking.as_str().to_owned(),
            max_turns: options.max_turns,
            approvals: options.approvals.map(|mode| mode.as_str().to_owned()),
            when_busy: options.when_busy.as_str().to_owned(),
            turn_timeout_ms: options.turn_timeout.map(millis),
            record: options.record.clone(),
        }
    }
}

impl From<OptionsDisk> for ChatOptions {
    fn from(disk: OptionsDisk) -> Self {
        Self {
            model: disk.model,
            system_prompt: disk.system_prompt,
            thinking: Thinking::from_text(&disk.thinking).unwrap_or_default(),
            max_turns: disk.max_turns,
            approvals: disk.approvals.as_deref().and_then(ApprovalMode::from_text),
            when_busy: WhenBusy::from_text(&disk.when_busy).unwrap_or_default(),
            turn_timeout: disk.turn_timeout_ms.map(Duration::from_millis),
            record: disk.record,
        }
    }
}

impl From<&ChatRecord> for ChatDisk {
    fn from(record: &ChatRecord) -> Self {
        let allow = |allow: &SessionAllow| (Arc::clone(&allow.tool), allow.rule.clone());
        Self {
            id: record.id.to_string(),
            spec: SpecDisk::from(&record.spec.agent),
            title: record.spec.title.clone(),
            backend: Arc::clone(&record.backend),
            status: record.status.as_str().to_owned(),
            turns: record.turns,
            turn: record.turn,
            queue: record.queue.iter().map(QueuedDisk::from).collect(),
            mode: record.mode.as_str().to_owned(),
            agent: record.agent.to_string(),
            has_agent: record.has_agent,
            is_active: record.is_active,
            native: record.native.clone(),
            usage: UsageDisk::from(&record.usage),
            pending: record.pending_approvals,
            allows: record.allows.iter().map(allow).collect(),
            owner: Arc::clone(&record.owner),
            created_at: record.created_at.as_millis(),
            last_activity_at: record.last_activity_at.as_millis(),
        }
    }
}

impl ChatDisk {
    fn into_record(self) -> Result<ChatRecord, FormatError> {
        let bad = |what: &str| FormatError::new("chat", format_args!("unknown {what}"));
        let not = |error: &dyn std::fmt::Display| FormatError::new("chat", error);
        let mut spec = ChatSpec::default();
        spec.agent = self.spec.into_spec()?;
        spec.title = self.title;
        let now = Timestamp::from_millis(self.created_at);
        let mut record = ChatRecord::new(spec, self.backend, self.owner, now);
        record.id = self.id.parse().map_err(|error| not(&error))?;
        record.status = ChatStatus::from_text(&self.status).ok_or_else(|| bad("status"))?;
        record.turns = self.turns;
        record.turn = self.turn;
        record.queue = self.queue.into_iter().map(QueuedPrompt::from).collect();
        record.mode = ChatMode::from_text(&self.mode).ok_or_else(|| bad("mode"))?;
        record.agent = self.agent.parse().map_err(|error| not(&error))?;
        record.has_agent = self.has_agent;
        record.is_active = self.is_active;
        record.native = self.native;
        record.usage = self.usage.into();
        record.pending_approvals = self.pending;
        let allow = |(tool, rule)| SessionAllow { tool, rule };
        record.allows = self.allows.into_iter().map(allow).collect();
        record.last_activity_at = Timestamp::from_millis(self.last_activity_at);
        Ok(record)
    }
}

impl From<&QueuedPrompt> for QueuedDisk {
    fn from(queued: &QueuedPrompt) -> Self {
        let part = |part: &PromptPart| match part.clone() {
            PromptPart::Text(text) => PartDisk::Text(text),
            PromptPart::Image { media_type, data } => PartDisk::Image(media_type, data),
            PromptPart::File { path } => PartDisk::File(path),
        };
        let parts = queued.prompt.parts.iter().map(part).collect();
        Self { turn: queued.turn, by: Arc::clone(&queued.by), parts }
    }
}

impl From<QueuedDisk> for QueuedPrompt {
    fn from(disk: QueuedDisk) -> Self {
        let part = |part| match part {
            PartDisk::Text(text) => PromptPart::Text(text),
            PartDisk::Image(media_type, data) => PromptPart::Image { media_type, data },
            PartDisk::File(path) => PromptPart::File { path },
        };
        let parts = disk.parts.into_iter().map(part).collect();
        Self::new(disk.turn, Prompt { parts }, disk.by)
    }
}

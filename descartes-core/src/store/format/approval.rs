//! The shape of an approval on disk.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::FormatError;
use super::record::to_bytes;
use crate::approval::{Approval, ApprovalStatus};
use crate::dialect::{AskKind, AskOption, OptionEffect, ToolEffect};
use crate::json::Json;
use crate::time::Timestamp;

/// Encodes an approval.
#[must_use]
pub fn encode_approval(approval: &Approval) -> Bytes {
    to_bytes(&ApprovalDisk::from(approval))
}

/// Reads an approval.
///
/// # Errors
/// When the bytes are not an approval.
pub fn decode_approval(bytes: &[u8]) -> Result<Approval, FormatError> {
    let disk: ApprovalDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("approval", error))?;
    disk.into_approval()
}

#[derive(Serialize, Deserialize)]
pub(super) struct ApprovalDisk {
    id: String,
    question: bool,
    agent: String,
    chat: String,
    turn: u32,
    tool: Arc<str>,
    effect: String,
    title: Arc<str>,
    arguments: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    digest: Arc<str>,
    /// Name, label, effect.
    options: Vec<(Arc<str>, Arc<str>, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<Arc<str>>,
    requested_at: i64,
    deadline: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    default_allow: bool,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_by: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    owner: Arc<str>,
}

impl From<&Approval> for ApprovalDisk {
    fn from(approval: &Approval) -> Self {
        let option = |option: &AskOption| {
            let effect = option_effect(option.effect).to_owned();
            (Arc::clone(&option.id), Arc::clone(&option.label), effect)
        };
        Self {
            id: approval.id.to_string(),
            question: approval.kind == AskKind::Question,
            agent: approval.agent.to_string(),
            chat: approval.chat.to_string(),
            turn: approval.turn,
            tool: Arc::clone(&approval.tool),
            effect: tool_effect(approval.effect).to_owned(),
            title: Arc::clone(&approval.title),
            arguments: approval.arguments.to_raw(),
            cwd: approval.cwd.clone(),
            digest: Arc::clone(&approval.digest),
            options: approval.options.iter().map(option).collect(),
            rule: approval.rule.clone(),
            requested_at: approval.requested_at.as_millis(),
            deadline: approval.deadline.as_millis(),
            default_allow: approval.default_allow,
            status: approval.status.as_str().to_owned(),
            decided_by: approval.decided_by.clone(),
            reason: approval.reason.clone(),
            owner: Arc::clone(&approval.owner),
        }
    }
}

impl ApprovalDisk {
    pub(super) fn into_approval(self) -> Result<Approval, FormatError> {
        let bad = |what: &str| FormatError::new("approval", format_args!("unknown {what}"));
        let not = |error: &dyn std::fmt::Display| FormatError::new("approval", error);
        let option = |(id, label, effect): (Arc<str>, Arc<str>, String)| {
            AskOption::new(id, label, option_effect_of(&effect))
        };
        Ok(Approval {
            id: self.id.parse().map_err(|error| not(&error))?,
            kind: if self.question { AskKind::Question } else { AskKind::Permission },
            agent: self.agent.parse().map_err(|error| not(&error))?,
            chat: self.chat.parse().map_err(|error| not(&error))?,
            turn: self.turn,
            tool: self.tool,
            effect: tool_effect_of(&self.effect),
            title: self.title,
            arguments: Json::from(&*self.arguments),
            cwd: self.cwd,
            digest: self.digest,
            options: self.options.into_iter().map(option).collect(),
            rule: self.rule,
            requested_at: Timestamp::from_millis(self.requested_at),
            deadline: Timestamp::from_millis(self.deadline),
            default_allow: self.default_allow,
            status: ApprovalStatus::from_text(&self.status).ok_or_else(|| bad("status"))?,
            decided_by: self.decided_by,
            reason: self.reason,
            owner: self.owner,
        })
    }
}

fn tool_effect(effect: ToolEffect) -> &'static str {
    match effect {
        ToolEffect::Read => "read",
        ToolEffect::Edit => "edit",
        ToolEffect::Execute => "execute",
        ToolEffect::Fetch => "fetch",
        ToolEffect::Other => "other",
    }
}

fn tool_effect_of(text: &str) -> ToolEffect {
    match text {
        "read" => ToolEffect::Read,
        "edit" => ToolEffect::Edit,
        "execute" => ToolEffect::Execute,
        "fetch" => ToolEffect::Fetch,
        _ => ToolEffect::Other,
    }
}

fn option_effect(effect: OptionEffect) -> &'static str {
    match effect {
        OptionEffect::AllowOnce => "allow_once",
        OptionEffect::AllowSession => "allow_session",
        OptionEffect::Deny => "deny",
        OptionEffect::Answer => "answer",
    }
}

fn option_effect_of(text: &str) -> OptionEffect {
    match text {
        "allow_once" => OptionEffect::AllowOnce,
        "allow_session" => OptionEffect::AllowSession,
        "answer" => OptionEffect::Answer,
        _ => OptionEffect::Deny,
    }
}

//! What is known of one approval.

use std::path::PathBuf;
use std::sync::Arc;

use super::ApprovalId;
use crate::agent::{AgentId, Reach};
use crate::chat::ChatId;
use crate::dialect::{AskKind, AskOption, AskRequest, OptionEffect, ToolEffect};
use crate::json::Json;
use crate::time::Timestamp;

/// Something that an agent asked, and what became of it: a document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Approval {
    /// Which approval.
    pub id: ApprovalId,
    /// Whether a permission is asked for or something to know.
    pub kind: AskKind,
    /// The agent that asks.
    pub agent: AgentId,
    /// The chat it asks in.
    pub chat: ChatId,
    /// The turn it asks in.
    pub turn: u32,
    /// The tool that it would use.
    pub tool: Arc<str>,
    /// What that does to the world.
    pub effect: ToolEffect,
    /// One line for people.
    pub title: Arc<str>,
    /// The arguments, exactly as they would be used.
    pub arguments: Json,
    /// Where it would be done.
    pub cwd: Option<PathBuf>,
    /// What was asked, as a number that another question has not ([`digest_of`]).
    pub digest: Arc<str>,
    /// What can be answered.
    pub options: Vec<AskOption>,
    /// What an allow for the whole session would cover.
    pub rule: Option<Arc<str>>,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it is decided by default.
    pub deadline: Timestamp,
    /// Whether the default is to allow it.
    pub default_allow: bool,
    /// What became of it.
    pub status: ApprovalStatus,
    /// Who decided.
    pub decided_by: Option<Arc<str>>,
    /// Why, or what was said besides.
    pub reason: Option<Arc<str>>,
    /// Whose agent it is.
    pub owner: Arc<str>,
}

impl Approval {
    /// The approval that `request` asks for in turn `turn` of `chat`, for `owner`.
    #[must_use]
    pub fn new(
        (chat, agent, turn): (ChatId, AgentId, u32),
        request: AskRequest,
        cwd: Option<PathBuf>,
        owner: Arc<str>,
        (now, deadline): (Timestamp, Timestamp),
    ) -> Self {
        let digest = digest_of(&request.tool, &request.arguments, cwd.as_deref());
        Self {
            id: ApprovalId::generate(),
            kind: request.kind,
            agent,
            chat,
            turn,
            tool: request.tool,
            effect: request.effect,
            title: request.title,
            arguments: request.arguments,
            cwd,
            digest,
            options: with_defaults(request.kind, request.options),
            rule: request.rule,
            requested_at: now,
            deadline,
            default_allow: false,
            status: ApprovalStatus::Pending,
            decided_by: None,
            reason: None,
            owner,
        }
    }
}

/// Programs that offer no options of their own can be answered all the same.
fn with_defaults(kind: AskKind, options: Vec<AskOption>) -> Vec<AskOption> {
    if !options.is_empty() || kind == AskKind::Question {
        return options;
    }
    vec![
        AskOption::new("allow_once", "Allow once", OptionEffect::AllowOnce),
        AskOption::new("allow_session", "Allow for this session", OptionEffect::AllowSession),
        AskOption::new("deny", "Deny", OptionEffect::Deny),
    ]
}

/// What an approval is about, as a number that another question has not: the tool, its arguments
/// and the directory.
#[must_use]
pub fn digest_of(tool: &str, arguments: &Json, cwd: Option<&std::path::Path>) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    let cwd = cwd.map(|cwd| cwd.to_string_lossy().into_owned()).unwrap_or_default();
    for part in [tool, arguments.as_str(), &cwd] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().as_str().into()
}

/// What became of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApprovalStatus {
    /// It waits for a decision.
    Pending,
    /// It was allowed.
    Allowed,
    /// It was denied.
    Denied,
    /// Nobody decided in time: the default was taken.
    Expired,
    /// Nobody waits for the decision any more.
    Cancelled,
}

impl ApprovalStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Allowed, Self::Denied, Self::Expired, Self::Cancelled];

    /// The status's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Which approvals a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApprovalFilter {
    /// In this status.
    pub status: Option<ApprovalStatus>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this chat.
    pub chat: Option<ChatId>,
    /// Within this reach.
    pub within: Reach,
}

impl ApprovalFilter {
    /// Whether `approval` is wanted, whatever the reach.
    pub(crate) fn matches(&self, approval: &Approval) -> bool {
        self.status.is_none_or(|status| status == approval.status)
            && self.agent.is_none_or(|agent| agent == approval.agent)
            && self.chat.is_none_or(|chat| chat == approval.chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_digest() {
        let json = |text| Json::from_text(text).expect("JSON");
        let one = digest_of("Bash", &json(r#"{"command":"ls"}"#), None);
        assert_eq!(one, digest_of("Bash", &json(r#"{"command":"ls"}"#), None));
        assert_ne!(one, digest_of("Bash", &json(r#"{"command":"ls -l"}"#), None));
        assert_ne!(one, digest_of("Bas", &json(r#"{"command":"ls"}"#), None));
        let cwd = std::path::Path::new("/tmp");
        assert_ne!(one, digest_of("Bash", &json(r#"{"command":"ls"}"#), Some(cwd)));
    }
}

//! Topics: the names under which events are read.

use std::fmt;
use std::sync::Arc;

use crate::agent::AgentId;
use crate::approval::ApprovalId;
use crate::chat::ChatId;

/// The one topic of its kind.
const AUDIT: &str = "audit";

/// The name of one ordered stream of events, such as `agent/<id>/output`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// A topic of this name. No check is made: topics of applications are theirs to name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// What an agent does: spawned, changed, exited, removed.
    #[must_use]
    pub fn agent_status(agent: AgentId) -> Self {
        Self(format!("agent/{agent}/status").into())
    }

    /// What an agent writes.
    #[must_use]
    pub fn agent_output(agent: AgentId) -> Self {
        Self(format!("agent/{agent}/output").into())
    }

    /// What happens in a chat.
    #[must_use]
    pub fn chat(chat: ChatId) -> Self {
        Self(format!("chat/{chat}").into())
    }

    /// What becomes of an approval.
    #[must_use]
    pub fn approval(approval: ApprovalId) -> Self {
        Self(format!("approval/{approval}").into())
    }

    /// What the host does.
    #[must_use]
    pub fn system() -> Self {
        Self("system".into())
    }

    /// Who did what: calls that were refused, and those that matter.
    #[must_use]
    pub fn audit() -> Self {
        Self(AUDIT.into())
    }

    /// Whether this is the topic of [`audit`](Self::audit), which has a retention of its own.
    #[must_use]
    pub fn is_audit(&self) -> bool {
        &*self.0 == AUDIT
    }

    /// Whether this is a topic of agents' output, which has a retention of its own.
    #[must_use]
    pub fn is_output(&self) -> bool {
        self.0.starts_with("agent/") && self.0.ends_with("/output")
    }

    /// Whether this is the topic of a chat.
    #[must_use]
    pub fn is_chat(&self) -> bool {
        self.0.starts_with("chat/")
    }

    /// The topic's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which topics a reader wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicFilter {
    /// This one.
    Exact(Topic),
    /// All that begin with this text.
    Prefix(Arc<str>),
    /// All.
    All,
}

impl TopicFilter {
    /// Reads the text of the wire: a name, a prefix that ends in `/`, or any beginning of a name
    /// with `*` behind it, which is no part of it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some("") => Self::All,
            Some(beginning) => Self::Prefix(beginning.into()),
            None if text.ends_with('/') => Self::Prefix(text.into()),
            None => Self::Exact(Topic::new(text)),
        }
    }

    /// Whether `topic` is wanted.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::Exact(wanted) => Arc::ptr_eq(&wanted.0, &topic.0) || wanted == topic,
            Self::Prefix(prefix) => topic.0.starts_with(&**prefix),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_one_topic_or_all_that_begin_with_it() {
        let topics = ["agent/01/output", "agent/01/status", "agent/02/status", "agents", "system"];
        for (text, wanted) in [
            ("agent/01/output", &topics[..1]),
            ("agent/01", &[]),
            ("agent/01/", &topics[..2]),
            ("agent/01/*", &topics[..2]),
            ("agent/0*", &topics[..3]),
            ("agent*", &topics[..4]),
            ("system*", &topics[4..]),
            ("*", &topics[..]),
        ] {
            let filter = TopicFilter::from_text(text);
            let found = topics.iter().filter(|topic| filter.matches(&Topic::new(**topic)));
            assert!(found.eq(wanted), "{text}");
        }
    }
}

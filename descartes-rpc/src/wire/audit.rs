//! What is written down of who did what.

use descartes_core::event::News;

use super::shape;
use crate::method::Audited;

shape! {
    /// An entry of the audit: the data of the events `audit.*`.
    pub struct AuditEntry {
        /// Who called; `nobody` where nobody knows.
        principal: String,
        /// What was called; empty where it did not come to a call.
        method: String,
        /// What the call was about, as its caller named it: an agent, a chat, an approval, a key, a
        /// token, a topic, a key of the state; 128 characters at most.
        resource?: String,
        /// `ok`, the kind of the error, or `failed` where the answer says that nothing came of it.
        outcome: String,
        /// Why it was refused, where that has a name.
        reason?: String,
        /// By which transport the call came, and from where or whom.
        peer: String,
        /// How many of this kind followed the first one, where they are counted together.
        count?: u64,
    }
}

impl AuditEntry {
    /// What is written where the configuration was read anew and no call asked for that: by whom, how
    /// it ended (`ok`, `failed`), and what asked for it.
    #[must_use]
    pub fn of_reload(by: &str, outcome: &str, asked: &str) -> News {
        let entry = Self {
            principal: by.to_owned(),
            method: "system.reload".to_owned(),
            resource: None,
            outcome: outcome.to_owned(),
            reason: None,
            peer: asked.to_owned(),
            count: None,
        };
        entry.news(Audited::Configuration.as_str())
    }

    pub(crate) fn news(&self, kind: &str) -> News {
        // Writing plain structs to memory has no way to fail.
        let json = serde_json::to_vec(self).unwrap_or_default().into();
        News { kind: kind.into(), by: self.principal.as_str().into(), json }
    }
}

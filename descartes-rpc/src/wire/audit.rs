//! What is written down of who did what.

use super::shape;

shape! {
    /// An entry of the audit: the data of the events `audit.*`.
    pub struct AuditEntry {
        /// Who called; `nobody` where nobody knows.
        principal: String,
        /// What was called; empty where it did not come to a call.
        method: String,
        /// What the call was about: an agent, a chat, an approval, a key, a topic.
        resource?: String,
        /// `ok`, or the kind of the error.
        outcome: String,
        /// Why it was refused, where that has a name.
        reason?: String,
        /// By which transport the call came, and from where or whom.
        peer: String,
        /// How many of this kind followed the first one, where they are counted together.
        count?: u64,
    }
}

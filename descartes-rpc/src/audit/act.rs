//! A call that is written down, from its beginning to its outcome.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::peer_text;
use crate::auth;
use crate::decode::member_of;
use crate::message::Params;
use crate::method::{Audited, Method, MethodParams};
use crate::router::Call;
use crate::wire::audit::AuditEntry;

/// The members that name what a call is about.
const NAMES: [&str; 4] = ["agent_id", "session_id", "approval_id", "key_id"];

/// A call that is written down.
pub(crate) struct Act {
    what: Audited,
    principal: Arc<str>,
    method: &'static str,
    resource: Option<String>,
    peer: String,
    /// Its result says that nothing came of it.
    in_vain: bool,
}

/// What is written of a call that was answered with why nothing came of it.
const IN_VAIN: &str = "failed";

/// What a result says of the thing that was made.
#[derive(Default, Deserialize)]
struct Made {
    agent_id: Option<String>,
    session_id: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    errors: Vec<IgnoredAny>,
}

impl Act {
    /// The act that a call of `M` is, if that is written down.
    pub(crate) fn of<M: Method>(call: &Call, params: &Params) -> Option<Self> {
        let what = M::DECLARATION.audit()?;
        Some(Self::new(what, call, named(M::Params::MEMBERS, params)))
    }

    pub(crate) fn new(what: Audited, call: &Call, resource: Option<String>) -> Self {
        let peer = peer_text(&call.cx.peer);
        Self { what, principal: call.by(), method: call.method, resource, peer, in_vain: false }
    }

    /// The same, about what it made, where it named nothing; or in vain, where the result has errors.
    pub(crate) fn made(mut self, result: &impl Serialize) -> Self {
        if self.resource.is_some() {
            return self;
        }
        let json = serde_json::to_vec(result).unwrap_or_default();
        let made: Made = serde_json::from_slice(&json).unwrap_or_default();
        self.resource = made.agent_id.or(made.session_id).or(made.key_id);
        self.in_vain = !made.errors.is_empty();
        self
    }

    /// Its type and what is written.
    pub(super) fn entry(self, outcome: &str) -> (&'static str, AuditEntry) {
        let entry = AuditEntry {
            principal: self.principal.as_ref().to_owned(),
            method: self.method.to_owned(),
            resource: self.resource,
            outcome: if self.in_vain { IN_VAIN } else { outcome }.to_owned(),
            reason: None,
            peer: self.peer,
            count: None,
        };
        (self.what.as_str(), entry)
    }
}

/// What a call is about, as its parameters name it.
pub(crate) fn named(members: &[&str], params: &Params) -> Option<String> {
    NAMES.iter().find_map(|name| member_of(name, members, params)).map(without_secret)
}

/// Who gives a whole key where its identifier is asked for has told a secret.
fn without_secret(named: String) -> String {
    match auth::key_id_of(&named) {
        Some(id) => id.to_owned(),
        None => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_given_for_its_identifier_is_not_written_down() {
        let (id, secret) = ("0011223344556677", "ab".repeat(32));
        assert_eq!(without_secret(format!("dsk_{id}_{secret}")), id);
        assert_eq!(without_secret(id.to_owned()), id);
        assert_eq!(without_secret("dsk_notes".to_owned()), "dsk_notes");
    }
}

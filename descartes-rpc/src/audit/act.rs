//! A call that is written down, from its beginning to its outcome.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::peer_text;
use crate::auth;
use crate::decode::member_of;
use crate::limits::AUDIT_RESOURCE_CHARS;
use crate::message::Params;
use crate::method::{Audited, Method, MethodParams};
use crate::router::Call;
use crate::wire::audit::AuditEntry;

/// The members that name what a call is about.
const NAMES: [&str; 4] = ["agent_id", "session_id", "approval_id", KEY];
/// The one where somebody may give a key, or anything else that is secret.
const KEY: &str = "key_id";

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
    token_id: Option<String>,
    #[serde(default)]
    errors: Vec<IgnoredAny>,
}

impl Act {
    /// The act that a call of `M` is, if that is written down.
    pub(crate) fn of<M: Method>(call: &Call, params: &Params) -> Option<Self> {
        let what = M::DECLARATION.audit()?;
        Some(Self::new(what, call, named(M::Params::MEMBERS, params).as_deref()))
    }

    pub(crate) fn new(what: Audited, call: &Call, resource: Option<&str>) -> Self {
        let peer = peer_text(&call.cx.peer);
        let resource = resource.map(in_short);
        Self { what, principal: call.by(), method: call.method, resource, peer, in_vain: false }
    }

    /// The same, about what it made, where it named nothing; or in vain, where the result has errors.
    pub(crate) fn made(mut self, result: &impl Serialize) -> Self {
        if self.resource.is_some() {
            return self;
        }
        let json = serde_json::to_vec(result).unwrap_or_default();
        let made: Made = serde_json::from_slice(&json).unwrap_or_default();
        let made_is = made.agent_id.or(made.session_id).or(made.key_id).or(made.token_id);
        self.resource = made_is.as_deref().map(in_short);
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
    NAMES.iter().find_map(|name| {
        let named = member_of(name, members, params)?;
        if *name == KEY { auth::key_id_in(&named).map(str::to_owned) } else { Some(named) }
    })
}

/// As much of a name as is written down.
pub(super) fn in_short(name: &str) -> String {
    name.chars().take(AUDIT_RESOURCE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(member: &str, value: &str) -> Option<String> {
        let params = serde_json::json!({ member: value }).to_string();
        named(&[member], &Params::from_json(params.into()))
    }

    #[test]
    fn what_is_given_for_the_identifier_of_a_key_is_written_down_if_it_is_one() {
        let (id, secret) = ("0011223344556677", "ab".repeat(32));
        assert_eq!(of(KEY, &format!("dsk_{id}_{secret}")).as_deref(), Some(id));
        assert_eq!(of(KEY, id).as_deref(), Some(id));
        for other in ["dsk_notes", "a secret of mine", "0011223344556677 ", &secret, ""] {
            assert_eq!(of(KEY, other), None, "{other}");
        }
    }

    #[test]
    fn a_long_name_is_written_down_in_short() {
        let long = "é".repeat(AUDIT_RESOURCE_CHARS + 1);
        assert_eq!(in_short(&long).chars().count(), AUDIT_RESOURCE_CHARS);
        assert_eq!(in_short("coder"), "coder");
    }
}

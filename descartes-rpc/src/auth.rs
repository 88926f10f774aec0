//! Who may do what, decided in one place.

mod ceiling;
mod validity;

use std::{fmt, sync::Arc};

use descartes_core::{agent::AgentId, runner::Whereabouts};

pub(crate) use ceiling::ceiling;
pub use validity::{Over, Revocation, Validity};

use crate::{
    error::{ErrorKind, RpcError},
    peer::Peer,
};

/// The right to decide what agents ask.
pub(crate) const APPROVE: &str = "approve";

/// Who a call is made for, and what that one may do.
#[derive(Clone, PartialEq)]
pub struct Principal {
    name: Arc<str>,
    scopes: Scopes,
    whereabouts: Whereabouts,
    validity: Validity,
}

#[derive(Clone, PartialEq, Eq)]
enum Scopes {
    All,
    Listed(Arc<[Box<str>]>),
}

impl Principal {
    /// The owner of this instance: may do everything, and is `local` in records.
    #[must_use]
    pub fn owner() -> Self {
        let (name, whereabouts) = (Arc::from("local"), Whereabouts::Outside);
        Self { name, scopes: Scopes::All, whereabouts, validity: Validity::default() }
    }

    /// Somebody who may use what `scopes` name; the scope `*` is everything.
    #[must_use]
    pub fn new<'a>(name: &str, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let listed: Arc<[Box<str>]> = scopes.into_iter().map(Box::from).collect();
        let all = listed.iter().any(|scope| scope.as_ref() == "*");
        let scopes = if all { Scopes::All } else { Scopes::Listed(listed) };
        let (name, whereabouts) = (Arc::from(name), Whereabouts::Outside);
        Self { name, scopes, whereabouts, validity: Validity::default() }
    }

    /// The same one, believed for as long as `validity` says.
    #[must_use]
    pub fn valid_for(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// How long it is believed; streams that it opened end with it.
    #[must_use]
    pub const fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The same one whose process was found to be there. Inside of an agent it is that agent,
    /// whatever else it was; it keeps its rights but for deciding what agents may do.
    #[must_use]
    pub fn found(mut self, whereabouts: Whereabouts) -> Self {
        self.whereabouts = whereabouts;
        if let Whereabouts::Inside(agent) = whereabouts {
            self.name = format!("agent:{agent}").into();
        }
        self
    }

    /// The agent that it is, if it is one.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        match self.whereabouts {
            Whereabouts::Inside(agent) => Some(agent),
            Whereabouts::Outside | Whereabouts::Unknown => None,
        }
    }

    /// The name that records and events carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this one may use what needs `scope`; the empty scope is for everybody who is known,
    /// `approve` is never an agent's.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        if scope == APPROVE && self.whereabouts != Whereabouts::Outside {
            return false;
        }
        match &self.scopes {
            Scopes::All => true,
            Scopes::Listed(listed) => {
                scope.is_empty() || listed.iter().any(|held| held.as_ref() == scope)
            }
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scopes {
            Scopes::All => write!(f, "{} (*)", self.name),
            Scopes::Listed(listed) => write!(f, "{} ({})", self.name, listed.join(" ")),
        }
    }
}

/// Which peers are the owner without credentials of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// The user whose processes are the owner; root always counts beside it. `None`: nobody.
    pub owner_uid: Option<u32>,
}

impl Policy {
    /// Who `peer` is.
    #[must_use]
    pub fn principal(&self, peer: &Peer) -> Option<Principal> {
        let known = peer.principal().or_else(|| {
            let (owner, credentials) = (self.owner_uid?, peer.credentials()?);
            let same = credentials.uid == owner || credentials.uid == 0;
            same.then(Principal::owner)
        });
        // By which door it came, and as whom: inside of an agent it is the agent.
        match peer.whereabouts() {
            Whereabouts::Outside => known,
            found => known.map(|principal| principal.found(found)),
        }
    }
}

/// Decides whether `principal` may use what needs `scope`.
///
/// # Errors
///
/// `unauthenticated` when nobody is known or is believed no longer (`expired`, `revoked`),
/// `forbidden` when the scope is missing.
pub fn authorize(principal: Option<&Principal>, scope: &str) -> Result<(), RpcError> {
    let Some(principal) = principal else {
        return Err(RpcError::new(ErrorKind::Unauthenticated, "credentials are needed")
            .hint("connect as the user that runs the daemon"));
    };
    if let Some(over) = principal.validity.is_over() {
        return Err(over.error());
    }
    if principal.has_scope(scope) {
        return Ok(());
    }
    let forbidden = |message: String| {
        RpcError::new(ErrorKind::Forbidden, message)
            .with("required", scope)
            .with("principal", principal.name())
    };
    Err(match principal.whereabouts {
        Whereabouts::Inside(_) if scope == APPROVE => {
            forbidden("the caller is a process of an agent, and no agent decides this".to_owned())
                .reason("inside_agent")
                .hint("decide from a terminal or client that no agent has started")
        }
        Whereabouts::Unknown if scope == APPROVE => {
            forbidden("the caller's process is gone, so it may have been an agent's".to_owned())
                .reason("caller_unknown")
                .hint("stay connected until the answer has come")
        }
        _ => forbidden(format!("the scope {scope} is needed")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_nobody_vouches_for_may_do_nothing() {
        let policy = Policy { owner_uid: Some(1000) };
        assert_eq!(policy.principal(&Peer::new("test")), None);
        assert_eq!(policy.principal(&Peer::new("test").with_uid(1001)), None);
        let refused = authorize(None, "").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn the_same_user_and_root_are_the_owner() {
        let policy = Policy { owner_uid: Some(1000) };
        for uid in [1000, 0] {
            let principal = policy.principal(&Peer::new("test").with_uid(uid));
            assert_eq!(principal, Some(Principal::owner()), "{uid}");
        }
        assert_eq!(Policy::default().principal(&Peer::new("test").with_uid(0)), None);
    }

    #[test]
    fn inside_of_an_agent_everybody_is_that_agent_and_cannot_approve() {
        let agent = AgentId::generate();
        let named = Principal::new("ann", ["approve", "agent:read"]);
        for principal in [Principal::owner(), named] {
            let found = principal.clone().found(Whereabouts::Inside(agent));
            assert_eq!((found.name(), found.agent()), (&*format!("agent:{agent}"), Some(agent)));
            assert!(authorize(Some(&found), "agent:read").is_ok());
            let refused = authorize(Some(&found), APPROVE).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            assert_eq!(refused.reason_text(), Some("inside_agent"));
            assert_eq!(refused.detail("required").unwrap(), APPROVE);
            let unknown = principal.clone().found(Whereabouts::Unknown);
            let refused = authorize(Some(&unknown), APPROVE).unwrap_err();
            assert_eq!(refused.reason_text(), Some("caller_unknown"));
            assert_eq!((unknown.name(), unknown.agent()), (principal.name(), None));
            assert!(authorize(Some(&principal.found(Whereabouts::Outside)), APPROVE).is_ok());
        }
    }

    #[test]
    fn who_was_not_looked_at_yet_cannot_approve_and_others_are_outside() {
        let policy = Policy { owner_uid: Some(1000) };
        let by_uid = Peer::new("test").with_uid(1000);
        assert!(policy.principal(&by_uid).unwrap().has_scope(APPROVE));
        assert!(!policy.principal(&by_uid.with_pid(1)).unwrap().has_scope(APPROVE));
        let by_socket = Peer::owner("test").with_socket(1, || true);
        assert!(!policy.principal(&by_socket).unwrap().has_scope(APPROVE));
    }

    #[test]
    fn who_is_believed_no_longer_may_do_nothing_whatever_its_scopes() {
        let revocation = Revocation::default();
        let validity = Validity::default().revoked_by(revocation.clone());
        let principal = Principal::new("ann", ["*"]).valid_for(validity);
        assert!(authorize(Some(&principal), "admin").is_ok());
        revocation.make();
        for scope in ["", "admin"] {
            let refused = authorize(Some(&principal), scope).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
            assert_eq!(refused.reason_text(), Some("revoked"));
        }
    }

    #[test]
    fn a_scope_that_is_not_held_is_refused_by_name() {
        let viewer = Principal::new("ann", ["agent:read"]);
        assert!(authorize(Some(&viewer), "agent:read").is_ok());
        assert!(authorize(Some(&viewer), "").is_ok());
        let refused = authorize(Some(&viewer), "agent:write").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        assert_eq!(refused.detail("required").unwrap(), "agent:write");
        assert!(authorize(Some(&Principal::new("root", ["*"])), "admin").is_ok());
    }
}

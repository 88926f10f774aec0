//! Who may do what, decided in one place.

use std::{fmt, sync::Arc};

use crate::{
    error::{ErrorKind, RpcError},
    peer::Peer,
};

/// Who a call is made for, and what that one may do.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    name: Arc<str>,
    scopes: Scopes,
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
        Self { name: Arc::from("local"), scopes: Scopes::All }
    }

    /// Somebody who may use what `scopes` name; the scope `*` is everything.
    #[must_use]
    pub fn new<'a>(name: &str, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let listed: Arc<[Box<str>]> = scopes.into_iter().map(Box::from).collect();
        let all = listed.iter().any(|scope| scope.as_ref() == "*");
        let scopes = if all { Scopes::All } else { Scopes::Listed(listed) };
        Self { name: Arc::from(name), scopes }
    }

    /// The name that records and events carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this one has `scope`; the empty scope is for everybody who is known.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
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
        peer.principal().or_else(|| {
            let (owner, credentials) = (self.owner_uid?, peer.credentials()?);
            let same = credentials.uid == owner || credentials.uid == 0;
            same.then(Principal::owner)
        })
    }
}

/// Decides whether `principal` may use what needs `scope`.
///
/// # Errors
///
/// `unauthenticated` when nobody is known, `forbidden` when the scope is missing.
pub fn authorize(principal: Option<&Principal>, scope: &str) -> Result<(), RpcError> {
    let Some(principal) = principal else {
        return Err(RpcError::new(ErrorKind::Unauthenticated, "credentials are needed")
            .hint("connect as the user that runs the daemon"));
    };
    if principal.has_scope(scope) {
        return Ok(());
    }
    Err(RpcError::new(ErrorKind::Forbidden, format!("the scope {scope} is needed"))
        .with("required", scope)
        .with("principal", principal.name()))
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

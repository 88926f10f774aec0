//! Who may do what, decided in one place: [`authorize`].

mod authenticator;
mod ceiling;
pub(crate) mod grant;
pub(crate) mod key;
mod proven;
mod revoked;
mod scope;
mod secret;
mod sight;
pub(crate) mod subject;
mod throttle;
pub(crate) mod token;
mod validity;

use std::{fmt, sync::Arc};

use descartes_core::{
    agent::{AgentId, Reach},
    runner::Whereabouts,
};

pub use authenticator::{AuthSettings, Authenticator, Renewed};
pub(crate) use ceiling::ceiling;
pub(crate) use key::id_in as key_id_in;
pub use scope::{Extent, Grants, Role, Scope, UnknownScope};
pub use secret::{Secret, is_foreign};
pub(crate) use sight::{Eyes, scope_of};
pub use token::{ShortSecret, TOKEN_SECRET_BYTES, TokenKey};
pub use validity::{Over, Revocation, Validity};

use crate::{
    error::{ErrorKind, RpcError},
    peer::Peer,
};

/// Who a call is made for, and what that one may do.
#[derive(Clone, PartialEq)]
pub struct Principal {
    /// As records and events name it.
    name: Arc<str>,
    /// Whose things are its own.
    subject: Arc<str>,
    grants: Grants,
    whereabouts: Whereabouts,
    bound: Option<AgentId>,
    validity: Validity,
    /// The keys and tokens by which it is known, the first maker first, its own last.
    lineage: Option<Arc<[String]>>,
}

impl Principal {
    /// The owner of this instance: may do everything, and is `local` in records.
    #[must_use]
    pub fn owner() -> Self {
        Self::with_grants("local", Grants::all())
    }

    /// Somebody who may use what `scopes` name, each for everything or, with `:own` behind it, for
    /// what that one has made; the scope `*` is everything. What names no scope gives nothing.
    #[must_use]
    pub fn new<'a>(name: &str, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with_grants(name, Grants::known(scopes))
    }

    /// Somebody who holds `grants`.
    #[must_use]
    pub fn with_grants(name: &str, grants: Grants) -> Self {
        let name: Arc<str> = name.into();
        Self {
            subject: Arc::clone(&name),
            name,
            grants,
            whereabouts: Whereabouts::Outside,
            bound: None,
            validity: Validity::default(),
            lineage: None,
        }
    }

    /// The same one, believed for as long as `validity` says.
    #[must_use]
    pub fn valid_for(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// The same one, known by the last of these, which was made through the others.
    fn known_by(mut self, lineage: Vec<String>) -> Self {
        self.lineage = Some(lineage.into());
        self
    }

    /// The keys and tokens through which is made what it makes: that by which it is known, behind
    /// those that this was made through.
    pub(crate) fn lineage(&self) -> &[String] {
        self.lineage.as_deref().unwrap_or_default()
    }

    /// How long it is believed; streams that it opened end with it.
    #[must_use]
    pub const fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The same one as `agent`, wherever it is: its token was given to that agent. It keeps its
    /// scopes as far as agents have them.
    #[must_use]
    pub fn bound_to(mut self, agent: AgentId) -> Self {
        self.bound = Some(agent);
        if !matches!(self.whereabouts, Whereabouts::Inside(_)) {
            self.name = agent_name(agent);
        }
        self
    }

    /// The same one whose process was found to be there. Inside of an agent it is that agent,
    /// whatever else it was: it keeps its scopes as far as agents have them, and reaches that
    /// agent and what it began.
    #[must_use]
    pub fn found(mut self, whereabouts: Whereabouts) -> Self {
        self.whereabouts = whereabouts;
        if let Whereabouts::Inside(agent) = whereabouts {
            self.name = agent_name(agent);
        }
        self
    }

    /// The agent that it is, if it is one.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        match self.whereabouts {
            Whereabouts::Inside(agent) => Some(agent),
            Whereabouts::Outside | Whereabouts::Unknown => self.bound,
        }
    }

    /// Whether it could not be told where its process is.
    pub(crate) fn is_lost(&self) -> bool {
        self.whereabouts == Whereabouts::Unknown
    }

    /// Somebody who has not said who it is; may do nothing.
    pub(crate) fn nobody() -> Self {
        Self::new("nobody", [])
    }

    /// The name that records and events carry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose things are its own: the one that it is when it is no agent.
    #[must_use]
    pub const fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// What it holds, where it is no agent; an agent has at most what
    /// [agents have](Scope::is_for_agents) of it.
    #[must_use]
    pub const fn grants(&self) -> Grants {
        self.grants
    }

    /// Whether this one may use what needs `scope`, for everything or for its own things.
    #[must_use]
    pub fn has_scope(&self, scope: Scope) -> bool {
        self.reach(scope).is_some()
    }

    /// How far it reaches with `scope`, if it has that.
    fn reach(&self, scope: Scope) -> Option<Reach> {
        // It may have been an agent's, which left before it was looked at.
        if !scope.is_for_lost() && self.whereabouts == Whereabouts::Unknown {
            return None;
        }
        let reach = match self.grants.extent(scope)? {
            Extent::Everything => Reach::all(),
            Extent::Own => Reach::all().owned_by(Arc::clone(&self.subject)),
        };
        match self.agent() {
            Some(agent) => scope.is_for_agents().then(|| reach.of_agent(agent)),
            None => Some(reach),
        }
    }

    /// Whether it may give `grants` to `subject`, and to which agent they are then held: nobody
    /// gives what they do not have, nor their own things' scopes to somebody who has others; and what
    /// an agent gives is [bound](Self::bound_to) to that agent.
    ///
    /// # Errors
    /// `forbidden` when it is more than its own.
    pub fn may_give(&self, grants: &Grants, subject: &str) -> Result<Option<AgentId>, RpcError> {
        let agent = self.agent();
        let has = |scope: &Scope| match (grants.extent(*scope), self.grants.extent(*scope)) {
            (None, _) => true,
            (_, None) | (Some(Extent::Everything), Some(Extent::Own)) => false,
            // What is its own is another's for whoever bears another name.
            (Some(Extent::Own), Some(Extent::Own)) if *self.subject != *subject => false,
            _ => agent.is_none() || scope.is_for_agents(),
        };
        let lacks = Scope::ALL.into_iter().find(|scope| !has(scope));
        if lacks.is_none() && self.grants.cover(grants) {
            return Ok(agent);
        }
        let scope = lacks.unwrap_or_default();
        Err(forbidden(self, scope, format!("nobody gives the scope {scope} who does not have it")))
    }
}

fn agent_name(agent: AgentId) -> Arc<str> {
    format!("agent:{agent}").into()
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.grants)
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

/// Decides whether `principal` may use what needs `scope`, and how far it reaches with it: what is
/// out of reach is not there for it.
///
/// This is the only place that decides. Methods look for agents, chats, approvals and values within
/// the reach that they are given; a subscription shows what is within it.
///
/// # Errors
///
/// `unauthenticated` when nobody is known or is believed no longer (`expired`, `revoked`),
/// `forbidden` when the scope is missing.
pub fn authorize(principal: Option<&Principal>, scope: Scope) -> Result<Reach, RpcError> {
    let Some(principal) = principal else {
        return Err(RpcError::new(ErrorKind::Unauthenticated, "credentials are needed")
            .hint("connect as the user that runs the daemon, or send a key or token"));
    };
    if let Some(over) = principal.validity.is_over() {
        return Err(over.error());
    }
    principal.reach(scope).ok_or_else(|| refused(principal, scope))
}

fn refused(principal: &Principal, scope: Scope) -> RpcError {
    let forbidden = |message: &str| forbidden(principal, scope, message.to_owned());
    match (principal.agent(), scope) {
        (Some(_), Scope::Approve) => {
            forbidden("the caller is a process of an agent, and no agent decides this")
                .reason("inside_agent")
                .hint("decide from a terminal or client that no agent has started")
        }
        (Some(_), _) if !scope.is_for_agents() => {
            forbidden("the caller is a process of an agent, and this is no agent's business")
                .reason("inside_agent")
                .hint("do it from a terminal or client that no agent has started")
        }
        (None, _) if !scope.is_for_lost() && principal.is_lost() => {
            caller_unknown(principal, scope)
        }
        _ => forbidden(&format!("the scope {scope} is needed")),
    }
}

/// What is refused to one that may have been an agent's process, as far as can be told.
pub(crate) fn caller_unknown(principal: &Principal, scope: Scope) -> RpcError {
    let message = "the caller's process is gone, so it may have been an agent's";
    forbidden(principal, scope, message.to_owned())
        .reason("caller_unknown")
        .hint("stay connected until the answer has come")
}

fn forbidden(principal: &Principal, scope: Scope, message: String) -> RpcError {
    RpcError::new(ErrorKind::Forbidden, message)
        .with("required", scope.as_str())
        .with("principal", principal.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_nobody_vouches_for_may_do_nothing() {
        let policy = Policy { owner_uid: Some(1000) };
        assert_eq!(policy.principal(&Peer::new("test")), None);
        assert_eq!(policy.principal(&Peer::new("test").with_uid(1001)), None);
        let refused = authorize(None, Scope::Authenticated).unwrap_err();
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
            assert!(authorize(Some(&found), Scope::AgentRead).is_ok());
            let refused = authorize(Some(&found), Scope::Approve).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            assert_eq!(refused.reason_text(), Some("inside_agent"));
            assert_eq!(refused.detail("required").unwrap(), "approve");
            let unknown = principal.clone().found(Whereabouts::Unknown);
            if principal == Principal::owner() {
                let refused = authorize(Some(&unknown), Scope::Admin).unwrap_err();
                assert_eq!(refused.reason_text(), Some("caller_unknown"));
            }
            let refused = authorize(Some(&unknown), Scope::Approve).unwrap_err();
            assert_eq!(refused.reason_text(), Some("caller_unknown"));
            assert_eq!((unknown.name(), unknown.agent()), (principal.name(), None));
            assert!(
                authorize(Some(&principal.found(Whereabouts::Outside)), Scope::Approve).is_ok()
            );
        }
    }

    #[test]
    fn who_was_not_looked_at_yet_cannot_approve_and_others_are_outside() {
        let policy = Policy { owner_uid: Some(1000) };
        let by_uid = Peer::new("test").with_uid(1000);
        assert!(policy.principal(&by_uid).unwrap().has_scope(Scope::Approve));
        assert!(!policy.principal(&by_uid.with_pid(1)).unwrap().has_scope(Scope::Approve));
        let by_socket = Peer::owner("test").with_socket(1, || true);
        assert!(!policy.principal(&by_socket).unwrap().has_scope(Scope::Approve));
    }

    #[test]
    fn who_is_believed_no_longer_may_do_nothing_whatever_its_scopes() {
        let revocation = Revocation::default();
        let validity = Validity::default().revoked_by(revocation.clone());
        let principal = Principal::new("ann", ["*"]).valid_for(validity);
        assert!(authorize(Some(&principal), Scope::Admin).is_ok());
        revocation.make();
        for scope in [Scope::Authenticated, Scope::Admin] {
            let refused = authorize(Some(&principal), scope).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
            assert_eq!(refused.reason_text(), Some("revoked"));
        }
    }

    #[test]
    fn a_scope_that_is_not_held_is_refused_by_name() {
        let viewer = Principal::new("ann", ["agent:read"]);
        assert!(authorize(Some(&viewer), Scope::AgentRead).is_ok());
        assert!(authorize(Some(&viewer), Scope::Authenticated).is_ok());
        let refused = authorize(Some(&viewer), Scope::AgentWrite).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        assert_eq!(refused.detail("required").unwrap(), "agent:write");
        assert!(authorize(Some(&Principal::new("root", ["*"])), Scope::Admin).is_ok());
    }

    #[test]
    fn a_token_of_an_agent_is_that_agent_and_a_process_of_another_one_is_the_other() {
        let (one, two) = (AgentId::generate(), AgentId::generate());
        let token = Principal::new("ann", ["*"]).bound_to(one);
        assert_eq!((token.name(), token.agent()), (&*format!("agent:{one}"), Some(one)));
        let reach = authorize(Some(&token), Scope::AgentWrite).unwrap();
        assert_eq!(reach, Reach::all().of_agent(one));
        for scope in Scope::ALL.into_iter().filter(|scope| !scope.is_for_agents()) {
            let refused = authorize(Some(&token), scope).unwrap_err();
            assert_eq!(refused.reason_text(), Some("inside_agent"), "{scope}");
        }
        let found = token.found(Whereabouts::Inside(two));
        assert_eq!((found.name(), found.agent()), (&*format!("agent:{two}"), Some(two)));
        let own = Principal::new("ann", ["agent:read:own"]).found(Whereabouts::Inside(two));
        let reach = authorize(Some(&own), Scope::AgentRead).unwrap();
        assert_eq!(reach, Reach::all().owned_by("ann").of_agent(two), "both bounds hold");
    }

    #[test]
    fn nobody_gives_what_they_do_not_have_and_an_agent_gives_itself() {
        let agent = AgentId::generate();
        let inside = Principal::owner().found(Whereabouts::Inside(agent));
        for (giver, line, given) in [
            (Principal::owner(), "* admin", Ok(None)),
            (Principal::new("ann", ["admin", "agent:read"]), "agent:read:own", Ok(None)),
            (Principal::new("ann", ["admin", "agent:read:own"]), "agent:read", Err("agent:read")),
            (Principal::new("ann", ["admin", "agent:read:own"]), "agent:read:own", Ok(None)),
            (
                Principal::new("bob", ["admin", "agent:read:own"]),
                "agent:read:own",
                Err("agent:read"),
            ),
            (Principal::new("ann", ["admin"]), "chat:read", Err("chat:read")),
            (Principal::new("ann", Scope::ALL.map(Scope::as_str)), "*", Err("admin")),
            (inside.clone(), "agent:read chat:write:own", Ok(Some(agent))),
            (inside.clone(), "approve", Err("approve")),
            (inside, "*", Err("approve")),
        ] {
            let grants = Grants::from_line(line).unwrap();
            let may = giver.may_give(&grants, "ann").map_err(|error| {
                assert_eq!(error.kind(), ErrorKind::Forbidden);
                error.detail("required").unwrap().as_str().unwrap().to_owned()
            });
            assert_eq!(may, given.map_err(str::to_owned), "{giver:?} gives {line}");
        }
    }
}

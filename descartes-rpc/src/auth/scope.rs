//! Scopes: the closed set of rights, and the roles that bundle them.

use std::fmt;

/// A right. Every method and every topic needs one; what needs none that is named here needs
/// [`Scope::Admin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Every authenticated caller has it; it has no name.
    Authenticated,
    /// `agent:read`
    AgentRead,
    /// `agent:write`
    AgentWrite,
    /// `chat:read`
    ChatRead,
    /// `chat:write`
    ChatWrite,
    /// `approve`
    Approve,
    /// `task:read`
    TaskRead,
    /// `task:write`
    TaskWrite,
    /// `workflow:read`
    WorkflowRead,
    /// `workflow:write`
    WorkflowWrite,
    /// `state:read`
    StateRead,
    /// `state:write`
    StateWrite,
    /// `lease`
    Lease,
    /// `tool`
    Tool,
    /// `metrics`
    Metrics,
    /// `audit`
    Audit,
    /// `admin`: whatever nothing else is said of.
    #[default]
    Admin,
}

impl Scope {
    /// Every scope that has a name.
    pub const ALL: [Self; 16] = [
        Self::AgentRead,
        Self::AgentWrite,
        Self::ChatRead,
        Self::ChatWrite,
        Self::Approve,
        Self::TaskRead,
        Self::TaskWrite,
        Self::WorkflowRead,
        Self::WorkflowWrite,
        Self::StateRead,
        Self::StateWrite,
        Self::Lease,
        Self::Tool,
        Self::Metrics,
        Self::Audit,
        Self::Admin,
    ];

    /// The scope's name in tokens and documents; empty for [`Self::Authenticated`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "",
            Self::AgentRead => "agent:read",
            Self::AgentWrite => "agent:write",
            Self::ChatRead => "chat:read",
            Self::ChatWrite => "chat:write",
            Self::Approve => "approve",
            Self::TaskRead => "task:read",
            Self::TaskWrite => "task:write",
            Self::WorkflowRead => "workflow:read",
            Self::WorkflowWrite => "workflow:write",
            Self::StateRead => "state:read",
            Self::StateWrite => "state:write",
            Self::Lease => "lease",
            Self::Tool => "tool",
            Self::Metrics => "metrics",
            Self::Audit => "audit",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }

    /// Whether it can be held for one's own things alone: those that are made by somebody.
    #[must_use]
    pub const fn has_own(self) -> bool {
        !matches!(
            self,
            Self::Authenticated | Self::Tool | Self::Metrics | Self::Audit | Self::Admin
        )
    }

    /// Whether a caller that is an agent can have it at all: it sees and acts on itself and what
    /// it began, and nothing else is its business.
    #[must_use]
    pub const fn is_for_agents(self) -> bool {
        matches!(
            self,
            Self::Authenticated
                | Self::AgentRead
                | Self::AgentWrite
                | Self::ChatRead
                | Self::ChatWrite
                | Self::StateRead
                | Self::StateWrite
        )
    }

    /// Whether somebody can have it who may have been a process of an agent and is gone: what no
    /// agent decides is not decided by who cannot be told from one.
    pub(super) const fn is_for_lost(self) -> bool {
        !matches!(self, Self::Approve | Self::Admin)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope")]
pub struct UnknownScope(String);

/// A set of scopes, each for everything or for one's own things.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    all: bool,
    whole: u32,
    own: u32,
}

/// What a scope is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Everything,
    /// What its holder has made.
    Own,
}

impl Grants {
    /// Everything there is, and will be: `*`.
    #[must_use]
    pub const fn all() -> Self {
        Self { all: true, whole: 0, own: 0 }
    }

    /// What `texts` name: scopes, with `:own` behind them for one's own things, and `*`.
    ///
    /// # Errors
    /// When one names no scope, or one that cannot be held for one's own things.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        texts.into_iter().try_fold(Self::default(), |grants, text| {
            grants.with(text).ok_or_else(|| UnknownScope(text.to_owned()))
        })
    }

    /// The same of a claim or a line: scopes with spaces between them.
    ///
    /// # Errors
    /// As [`from_texts`](Self::from_texts).
    pub fn from_line(line: &str) -> Result<Self, UnknownScope> {
        Self::from_texts(line.split_ascii_whitespace())
    }

    /// What those of `texts` name that name anything.
    pub(super) fn known<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let add = |grants: Self, text| grants.with(text).unwrap_or(grants);
        texts.into_iter().fold(Self::default(), add)
    }

    /// What a role is for.
    #[must_use]
    pub fn of_role(role: Role) -> Self {
        let whole = |scopes: &[Scope]| scopes.iter().fold(0, |bits, scope| bits | scope.bit());
        match role {
            Role::Viewer => Self { whole: whole(&VIEW), ..Self::default() },
            Role::Operator => Self { whole: whole(&VIEW) | whole(&OPERATE), ..Self::default() },
            Role::Approver => {
                Self { whole: whole(&VIEW) | Scope::Approve.bit(), ..Self::default() }
            }
            Role::Admin => Self::all(),
        }
    }

    fn with(mut self, text: &str) -> Option<Self> {
        if text == "*" {
            self.all = true;
            return Some(self);
        }
        match text.strip_suffix(":own") {
            Some(name) => {
                self.own |= Scope::from_text(name).filter(|scope| scope.has_own())?.bit();
            }
            None => self.whole |= Scope::from_text(text)?.bit(),
        }
        Some(self)
    }

    /// What `scope` is held for, if it is held.
    #[must_use]
    pub fn extent(&self, scope: Scope) -> Option<Extent> {
        if self.all || scope == Scope::Authenticated || self.whole & scope.bit() != 0 {
            return Some(Extent::Everything);
        }
        (self.own & scope.bit() != 0).then_some(Extent::Own)
    }

    /// Whether whoever holds these holds all of `others` too.
    #[must_use]
    pub const fn cover(&self, others: &Self) -> bool {
        let any = self.whole | self.own;
        self.all || (!others.all && others.whole & !self.whole == 0 && others.own & !any == 0)
    }

    /// The names, in the order of [`Scope::ALL`].
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        if self.all {
            return vec!["*".to_owned()];
        }
        let named = |scope: Scope| match self.extent(scope)? {
            Extent::Everything => Some(scope.as_str().to_owned()),
            Extent::Own => Some(format!("{scope}:own")),
        };
        Scope::ALL.into_iter().filter_map(named).collect()
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(" "))
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants({self})")
    }
}

/// Scopes that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sees everything that is no secret and no audit.
    Viewer,
    /// Sees it, and runs agents, chats, tasks and workflows.
    Operator,
    /// Sees it, and decides what agents ask.
    Approver,
    /// Everything.
    Admin,
}

const VIEW: [Scope; 6] = [
    Scope::AgentRead,
    Scope::ChatRead,
    Scope::TaskRead,
    Scope::WorkflowRead,
    Scope::StateRead,
    Scope::Metrics,
];
const OPERATE: [Scope; 7] = [
    Scope::AgentWrite,
    Scope::ChatWrite,
    Scope::TaskWrite,
    Scope::WorkflowWrite,
    Scope::StateWrite,
    Scope::Lease,
    Scope::Tool,
];

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The role's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_text(scope.as_str()), Some(scope));
            let own = Grants::from_line(&format!("{scope}:own"));
            assert_eq!(own.is_ok(), scope.has_own(), "{scope}");
            let grants = Grants::from_line(scope.as_str()).unwrap();
            assert_eq!(grants.texts(), [scope.as_str()]);
            assert_eq!(grants.extent(scope), Some(Extent::Everything));
        }
        for wrong in ["agent", "agent:*", "agent:read:own:own", ":own", "Agent:Read", "**", "*:own"]
        {
            assert_eq!(Grants::from_line(wrong), Err(UnknownScope(wrong.to_owned())));
            assert_eq!(Grants::known([wrong]), Grants::default());
        }
        for role in Role::ALL {
            assert_eq!(Role::from_text(role.as_str()), Some(role));
        }
    }

    #[test]
    fn nobody_covers_what_they_do_not_have() {
        let grants = |line| Grants::from_line(line).unwrap();
        for (holder, given, covers) in [
            ("*", "* admin", true),
            ("agent:read", "agent:read", true),
            ("agent:read", "agent:read:own", true),
            ("agent:read:own", "agent:read:own", true),
            ("agent:read:own", "agent:read", false),
            ("agent:read", "agent:write", false),
            ("admin", "*", false),
            ("", "", true),
        ] {
            assert_eq!(grants(holder).cover(&grants(given)), covers, "{holder} {given}");
        }
    }

    #[test]
    fn no_role_but_admin_both_works_and_decides() {
        for role in [Role::Viewer, Role::Operator, Role::Approver] {
            let grants = Grants::of_role(role);
            let holds = |scope| grants.extent(scope).is_some();
            assert!(!(holds(Scope::AgentWrite) && holds(Scope::Approve)), "{role:?}");
            assert!(!holds(Scope::Admin) && !holds(Scope::Audit), "{role:?}");
            assert!(Grants::of_role(Role::Admin).cover(&grants));
        }
    }
}

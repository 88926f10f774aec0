//! The declaration of methods: each is declared once, in the table of `methods.rs`.
//!
//! From a declaration come its dispatch, the decoding of its parameters by name and by position,
//! the typed client's method, its entry in the OpenRPC document and the checks of the tests.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::auth::Scope;
use crate::error::ErrorKind;

/// The parameters of a method, as a strict struct; made by the `params!` macro.
pub trait MethodParams: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The members in the order of their positions.
    const MEMBERS: &'static [&'static str];

    /// The idempotency key, if one was given.
    fn idempotency_key(&self) -> Option<&str> {
        None
    }

    /// Takes the idempotency key out, so that what is left can be compared.
    fn take_idempotency_key(&mut self) -> Option<String> {
        None
    }
}

/// A method, as a type: what it takes, what it gives, and what is declared of it.
pub trait Method: 'static {
    /// What it takes.
    type Params: MethodParams;
    /// What it gives.
    type Result: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// Everything else.
    const DECLARATION: Declaration;
}

/// What a method does that is written down for audit, whatever becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Audited {
    /// It starts a process.
    Spawn,
    /// It ends or signals one.
    Kill,
    /// It decides what an agent asks.
    Decision,
    /// It makes or ends credentials.
    Key,
    /// It changes how the daemon works.
    Configuration,
}

impl Audited {
    /// The type of its events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spawn => "audit.spawn",
            Self::Kill => "audit.kill",
            Self::Decision => "audit.decision",
            Self::Key => "audit.key",
            Self::Configuration => "audit.configuration",
        }
    }
}

/// What is declared of a method beside its types.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Declaration {
    /// Its name, as `agent.spawn`.
    pub name: &'static str,
    /// What it does, as the first line, and what surprises.
    pub doc: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// The right that it needs.
    pub scope: Scope,
    /// Whether it changes something: then it runs on when its caller leaves, and takes
    /// `idempotency_key`.
    pub mutating: bool,
    /// Whether it may wait for something to happen: then it holds no slot while it does.
    pub waits: bool,
    /// Whether it uses the lane that is kept free for control.
    pub control: bool,
    /// Whether calls of one connection with the same `agent_id` take effect in the order sent.
    pub ordered: bool,
    /// Whether core writes its idempotency key down together with the effect.
    pub carries_key: bool,
    /// Whether nobody can tell its outcome if the daemon dies while it is under way.
    pub unknowable: bool,
    /// What is written down of its calls.
    pub audit: Option<Audited>,
    /// Whether its result has a secret in it, which is not kept for a call that is repeated.
    pub secret: bool,
    /// Whether it begins work that may cost: then it is refused while its caller's owner has spent
    /// what may be spent in a day.
    pub costs: bool,
    /// Whether a connection may call it on which nobody has said who it is.
    pub open: bool,
    /// The errors of its own, beside those that every method has.
    pub errors: &'static [ErrorKind],
    /// The notifications that follow its response.
    pub notifications: &'static [&'static str],
}

impl Declaration {
    /// A method that only reads.
    #[must_use]
    pub const fn reading(scope: Scope) -> Self {
        Self {
            name: "",
            doc: "",
            since: "0.1.0",
            scope,
            mutating: false,
            waits: false,
            control: false,
            ordered: false,
            carries_key: false,
            unknowable: false,
            audit: None,
            secret: false,
            costs: false,
            open: false,
            errors: &[],
            notifications: &[],
        }
    }

    /// A method that changes something, and costs unless it is [`free`](Self::free) or control.
    #[must_use]
    pub const fn mutating(scope: Scope) -> Self {
        Self { mutating: true, costs: true, ..Self::reading(scope) }
    }

    /// The same, which begins no work that costs.
    #[must_use]
    pub const fn free(self) -> Self {
        Self { costs: false, ..self }
    }

    /// The same, but it may wait.
    #[must_use]
    pub const fn waits(self) -> Self {
        Self { waits: true, ..self }
    }

    /// The same, in the lane that is kept free for control.
    #[must_use]
    pub const fn control(self) -> Self {
        Self { control: true, costs: false, ..self }
    }

    /// The same, in the order sent.
    #[must_use]
    pub const fn ordered(self) -> Self {
        Self { ordered: true, ..self }
    }

    /// The same, whose key core writes down together with the effect.
    #[must_use]
    pub const fn carries_key(self) -> Self {
        Self { carries_key: true, ..self }
    }

    /// The same, whose outcome nobody can tell if the daemon dies while it is under way.
    #[must_use]
    pub const fn unknowable(self) -> Self {
        Self { unknowable: true, ..self }
    }

    /// The same, whose calls are written down.
    #[must_use]
    pub const fn audited(self, what: Audited) -> Self {
        Self { audit: Some(what), ..self }
    }

    /// What is written down of its calls: whatever changes something and is for `admin`, is.
    #[must_use]
    pub fn audit(&self) -> Option<Audited> {
        let credentials = ["auth.token.", "auth.key."];
        match self.audit {
            None if !self.mutating => None,
            None if credentials.iter().any(|room| self.name.starts_with(room)) => {
                Some(Audited::Key)
            }
            None => (self.scope == Scope::Admin).then_some(Audited::Configuration),
            declared => declared,
        }
    }

    /// The same, whose result has a secret in it.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The same, which a connection may call on which nobody has said who it is.
    #[must_use]
    pub const fn open(self) -> Self {
        Self { open: true, ..self }
    }

    /// The same, with these errors of its own.
    #[must_use]
    pub const fn fails_with(self, errors: &'static [ErrorKind]) -> Self {
        Self { errors, ..self }
    }

    /// The same, followed by these notifications.
    #[must_use]
    pub const fn followed_by(self, notifications: &'static [&'static str]) -> Self {
        Self { notifications, ..self }
    }

    /// The same, named and explained; the table does this.
    #[must_use]
    pub const fn named(self, name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, ..self }
    }

    /// What it does, in one line.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.doc.trim().lines().next().unwrap_or_default().trim()
    }
}

//! On whose behalf something is done.

use std::sync::Arc;

use crate::agent::Reach;
use crate::idempotency::Ticket;
use crate::trace::TraceContext;

/// On whose behalf something is done, and under which key.
#[derive(Debug)]
pub struct Caller {
    /// The principal or agent.
    pub by: Arc<str>,
    /// Whose it will be: the same one's, or, of what an agent makes, its owner's.
    pub owner: Arc<str>,
    /// The key under which this call takes effect once, when it has one.
    pub ticket: Option<Ticket>,
    /// The trace that the call belongs to, which the programs that it starts are told.
    pub trace: Option<TraceContext>,
    /// How far it reaches: what is beyond is not there for it, so a name there is free.
    pub reach: Reach,
}

impl Caller {
    /// The application itself, or a person on their own machine.
    #[must_use]
    pub fn local() -> Self {
        Self::new("local")
    }

    /// This principal.
    #[must_use]
    pub fn new(by: impl Into<Arc<str>>) -> Self {
        let by = by.into();
        Self { owner: Arc::clone(&by), by, ticket: None, trace: None, reach: Reach::all() }
    }

    /// The same, but what it makes belongs to `owner`.
    #[must_use]
    pub fn for_owner(mut self, owner: impl Into<Arc<str>>) -> Self {
        self.owner = owner.into();
        self
    }

    /// The same, which reaches no further than this.
    #[must_use]
    pub fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The same, within this trace.
    #[must_use]
    pub fn within(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace;
        self
    }
}

//! On whose behalf something is done.

use std::sync::Arc;

use crate::idempotency::Ticket;

/// On whose behalf something is done, and under which key.
#[derive(Debug)]
pub struct Caller {
    /// The principal or agent.
    pub by: Arc<str>,
    /// The key under which this call takes effect once, when it has one.
    pub ticket: Option<Ticket>,
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
        Self { by: by.into(), ticket: None }
    }
}

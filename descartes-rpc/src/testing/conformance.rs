//! The suite that every transport passes.
//!
//! A transport's author implements [`Harness`] and calls [`run`]. The cases speak to the daemon as
//! a client does, so the same suite runs in memory, over sockets, and against a daemon that runs
//! elsewhere.

mod cases;
mod expect;
mod report;
mod session;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub use serde_json::Value;
use serde_json::json;

use crate::client::{Connect, Exchange};

use cases::Needs;
pub use report::{Outcome, Report};

/// The way that a transport's client reaches the daemon under test.
#[derive(Clone)]
pub enum Link {
    /// A duplex of messages: many calls under way at once, notifications in between.
    Duplex(Arc<dyn Connect>),
    /// Each message has an answer of its own. An exchange gives the body whatever the transport's
    /// own status was, and no bytes where nothing is answered.
    Exchange(Arc<dyn Exchange>),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Duplex(connect) => write!(f, "Duplex({})", connect.transport_name()),
            Self::Exchange(exchange) => write!(f, "Exchange({})", exchange.transport_name()),
        }
    }
}

/// A transport under test, with a daemon or a service behind it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// How its client reaches the daemon, as its owner.
    fn link(&self) -> Link;

    /// Parameters of `agent.spawn` for an agent that goes on running until it is killed.
    fn agent(&self) -> Value {
        json!({"agent_type": "basic"})
    }

    /// The longest message that is taken, in bytes.
    fn request_limit(&self) -> usize {
        crate::limits::REQUEST_BYTES
    }

    /// Begins an orderly shutdown; called after all else. False when this harness has no way to.
    async fn shut_down(&self) -> bool {
        false
    }
}

/// No case takes longer on a machine that is merely slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every case that the transport can be asked; prints nothing. The report tells which case
/// failed for what reason ([`Report::assert_passed`]).
pub async fn run(harness: &dyn Harness) -> Report {
    let mut report = Report::default();
    let link = harness.link();
    for case in cases::all() {
        let outcome = match (case.needs, &link) {
            (Needs::Duplex, Link::Exchange(_)) => Outcome::Skipped("needs a duplex connection"),
            _ => match tokio::time::timeout(PATIENCE, (case.run)(harness)).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(failure)) => Outcome::Failed(failure.to_string()),
                Err(_) => Outcome::Failed(format!("not done within {} s", PATIENCE.as_secs())),
            },
        };
        report.add(case.name, outcome);
    }
    report
}

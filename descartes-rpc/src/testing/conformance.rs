//! The suite that every transport passes: what it means to be a Descartes transport.
//!
//! A transport moves messages between a client and a service. Whatever it is made of, its clients
//! must find the same methods, results, errors, streams and cursors; the cases here say what that
//! comes to, each in one sentence that is its name. They speak to the daemon as a client does, so
//! the same suite runs in memory, over sockets, and against a daemon that runs elsewhere.
//!
//! # For the author of a transport
//!
//! 1. Write the server's side: call [`serve_connection`](crate::connection::serve_connection) where
//!    both sides may send when they like, or [`answer_until`](crate::connection::answer_until)
//!    where each message has an answer of its own.
//! 2. Write the client's side: [`Connect`] for the former, [`Exchange`] for the latter. The typed
//!    [`Client`](crate::client::Client) comes with it.
//! 3. Start a service in a test ([`fake_service`](super::fake_service) needs no processes and no
//!    files), wrap both in [`Served`](super::Served), or implement [`Harness`], and [`run`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use std::io;
//! use std::sync::Arc;
//!
//! use descartes_rpc::client::{Connect, FrameIo};
//! use descartes_rpc::connection::{ConnectionLimits, serve_connection};
//! use descartes_rpc::memory::{MemoryIo, pair};
//! use descartes_rpc::peer::Peer;
//! use descartes_rpc::testing::conformance::{self, Link};
//! use descartes_rpc::testing::{Served, Stopped, fake_service};
//! use tokio::sync::mpsc;
//! use tokio::task::JoinSet;
//!
//! /// The client's side: here it hands the other end of a pipe over, elsewhere it dials.
//! struct Dial(mpsc::Sender<MemoryIo>);
//!
//! #[async_trait::async_trait]
//! impl Connect for Dial {
//!     async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
//!         let (ours, theirs) = pair();
//!         let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
//!         self.0.send(theirs).await.map_err(refused)?;
//!         Ok(Box::new(ours))
//!     }
//!     fn transport_name(&self) -> &'static str {
//!         "pipes"
//!     }
//! }
//!
//! let rpc = fake_service(1000).await;
//! let (dial, mut door) = mpsc::channel(8);
//! // The server's side: accept until told to stop, and let connections say their last word.
//! let serve = move |stopped: Stopped| async move {
//!     let mut connections = JoinSet::new();
//!     loop {
//!         let io = tokio::select! {
//!             () = stopped.clone() => break,
//!             arrived = door.recv() => arrived.expect("the harness holds the other end"),
//!         };
//!         let (rpc, stopped) = (rpc.clone(), stopped.clone());
//!         let (peer, limits) = (Peer::owner("pipes"), ConnectionLimits::default());
//!         connections.spawn(serve_connection(rpc, peer, io, limits, stopped));
//!     }
//!     drop(door);
//!     while connections.join_next().await.is_some() {}
//! };
//! let served = Served::start(Link::Duplex(Arc::new(Dial(dial))), serve);
//!
//! let report = conformance::run(&served).await;
//! report.assert_passed();
//! served.stop().await;
//! # }
//! ```
//!
//! A case that fails says what it heard instead of what ([`Report`]); [`run_only`] runs it alone.
//! The cases do not depend on each other or on their order, use nothing of the harness but what
//! [`Harness`] promises, and leave the store with some keys under `conformance/` and some ended
//! agents.
//!
//! What is not judged: who may come in (a transport vouches for its peers, see
//! [`Peer`](crate::peer::Peer)), the bytes on the wire, and how much memory or time it takes.

mod cases;
mod expect;
mod report;
mod session;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub use serde_json::Value;
use serde_json::json;

use crate::client::{Connect, Exchange};

use cases::{Case, Needs, shutdown};
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

    /// Parameters of `agent.spawn` for an agent that goes on running until it is killed, and
    /// writes to its standard output, for each line of its input, a line that ends with it (as
    /// the backend `basic` does, and `cat`).
    fn agent(&self) -> Value {
        json!({"agent_type": "basic"})
    }

    /// Parameters of `chat.create` for a chat whose agent answers `hello` with `you said: hello`,
    /// says `waiting` to `wait` and then nothing until it is cancelled, and asks before it answers
    /// `run x` with `ran x` (as the backend `basic` does).
    fn chat(&self) -> Value {
        json!({"backend": "basic"})
    }

    /// The longest message that is taken, in bytes.
    fn request_limit(&self) -> usize {
        crate::limits::REQUEST_BYTES
    }

    /// Whether JSON arrives as it was written. Where it is translated on the way, escapes and numbers
    /// may be spelt otherwise, and mean the same.
    fn keeps_spelling(&self) -> bool {
        true
    }

    /// Begins an orderly shutdown; called after all else. False when this harness has no way to.
    async fn shut_down(&self) -> bool {
        false
    }
}

/// No case takes longer on a machine that is merely slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every case that the transport can be asked, and ends the daemon, if the harness can; prints
/// nothing. The report tells which case failed for what reason ([`Report::assert_passed`]).
pub async fn run(harness: &dyn Harness) -> Report {
    run_only(harness, |_| true).await
}

/// Runs the cases whose name is `wanted`. The daemon is ended if a case of its end is among them.
pub async fn run_only(harness: &dyn Harness, wanted: impl Fn(&str) -> bool) -> Report {
    let cases = cases::all().into_iter().filter(|case| wanted(&case.name)).collect();
    let mut report = run_cases(harness, cases).await;
    if shutdown::CLAIMS.iter().any(|(claim, _)| wanted(claim)) {
        let ended = tokio::time::timeout(PATIENCE, shutdown::outcomes(harness)).await;
        let outcomes = ended.unwrap_or_else(|_| shutdown::all(&late()));
        for (claim, outcome) in outcomes.into_iter().filter(|(claim, _)| wanted(claim)) {
            report.add(claim, outcome);
        }
    }
    report
}

/// The name of every case, in the order in which they run.
#[must_use]
pub fn names() -> Vec<String> {
    let ends = shutdown::CLAIMS.iter().map(|(claim, _)| (*claim).to_owned());
    cases::all().into_iter().map(|case| case.name).chain(ends).collect()
}

/// The cases in the opposite order; their outcomes may not depend on it.
#[cfg(test)]
pub(super) async fn run_backwards(harness: &dyn Harness) -> Report {
    run_cases(harness, cases::all().into_iter().rev().collect()).await
}

async fn run_cases(harness: &dyn Harness, cases: Vec<Case>) -> Report {
    let mut report = Report::default();
    let link = harness.link();
    for case in cases {
        let outcome = match (case.needs, &link) {
            (Needs::Duplex, Link::Exchange(_)) => Outcome::Skipped("needs a duplex connection"),
            (Needs::Exchange, Link::Duplex(_)) => Outcome::Skipped("needs answers of their own"),
            _ => match tokio::time::timeout(PATIENCE, (case.run)(harness)).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(failure)) => Outcome::Failed(failure.to_string()),
                Err(_) => late(),
            },
        };
        report.add(case.name, outcome);
    }
    report
}

fn late() -> Outcome {
    Outcome::Failed(format!("not done within {} s", PATIENCE.as_secs()))
}

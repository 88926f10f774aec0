//! The cases as data: a name, what is needed, and what is done.

mod actions;
mod agents;
mod bounds;
mod calls;
mod chats;
mod concurrency;
mod envelope;
mod errors;
mod history;
mod life;
mod order;
mod output;
pub(super) mod shutdown;
mod subscriptions;
mod waits;

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Harness, Outcome, expect::Failure};

/// How long a connection whose end is due may stay open.
const CLOSING: Duration = Duration::from_secs(10);

/// What a case asks of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A way to ask and be answered.
    Nothing,
    /// A connection on which both sides send when they like.
    Duplex,
    /// Messages that have an answer of their own.
    Exchange,
}

pub(super) type Run<'a> = BoxFuture<'a, Result<Outcome, Failure>>;
type RunFn = Box<dyn for<'a> Fn(&'a dyn Harness) -> Run<'a> + Send + Sync>;

/// One claim about a transport.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) needs: Needs,
    pub(super) run: RunFn,
}

/// Every case but those of the end, which are [`shutdown::CLAIMS`].
pub(super) fn all() -> Vec<Case> {
    let rooms = [
        envelope::cases,
        calls::cases,
        errors::cases,
        concurrency::cases,
        order::cases,
        waits::cases,
        history::cases,
        subscriptions::cases,
        output::cases,
        bounds::cases,
        life::cases,
        actions::cases,
        chats::cases,
    ];
    rooms.iter().flat_map(|cases| cases()).collect()
}

/// A key of the store that no other case uses.
fn fresh_key(of: &str) -> String {
    format!("conformance/{of}/{}", uuid::Uuid::now_v7())
}

/// A name that no other agent has.
fn fresh_name() -> String {
    format!("conformance-{}", uuid::Uuid::now_v7().simple())
}

/// A topic on which nothing ever happens.
fn quiet_topic() -> String {
    format!("agent/{}/output", uuid::Uuid::now_v7())
}

/// A case from an async function over the harness.
macro_rules! case {
    ($name:literal, $needs:ident, $run:path) => {
        $crate::testing::conformance::cases::Case {
            name: $name.to_owned(),
            needs: $crate::testing::conformance::cases::Needs::$needs,
            run: Box::new(|harness| {
                Box::pin(async move {
                    $run(harness).await?;
                    Ok($crate::testing::conformance::Outcome::Passed)
                })
            }),
        }
    };
}
use case;

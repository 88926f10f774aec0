//! The cases as data: a name, what is needed, and what is done.

mod calls;
mod envelope;
mod subscriptions;

use futures_util::future::BoxFuture;

use super::{Harness, Outcome, expect::Failure};

/// What a case asks of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A way to ask and be answered.
    Nothing,
    /// A connection on which both sides send when they like.
    Duplex,
}

pub(super) type Run<'a> = BoxFuture<'a, Result<Outcome, Failure>>;
type RunFn = Box<dyn for<'a> Fn(&'a dyn Harness) -> Run<'a> + Send + Sync>;

/// One claim about a transport.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) needs: Needs,
    pub(super) run: RunFn,
}

/// Every case, the one that ends the daemon last.
pub(super) fn all() -> Vec<Case> {
    let mut cases = envelope::cases();
    cases.extend(calls::cases());
    cases.extend(subscriptions::cases());
    cases
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

//! How long a principal is believed: until its credentials expire or are revoked.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use descartes_core::time::{Clock, Timestamp};
use futures_util::future::select_all;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{ErrorKind, RpcError},
    limits::EXPIRY_LOOK,
};

/// How long a principal is believed. Without a bound it is believed for ever.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validity {
    until: Option<Until>,
    revocations: Vec<Revocation>,
}

#[derive(Clone, Debug)]
struct Until {
    at: Timestamp,
    clock: Clock,
}

impl PartialEq for Until {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

/// Why a principal is no longer believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// The time of its credentials is over.
    Expired,
    /// Its credentials were revoked.
    Revoked,
}

impl Over {
    /// The reason in errors: `expired` or `revoked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// What a call of such a principal is answered with.
    #[must_use]
    pub fn error(self) -> RpcError {
        RpcError::new(ErrorKind::Unauthenticated, "the credentials are no longer valid")
            .reason(self.as_str())
            .hint("log in with others")
    }
}

impl Validity {
    /// Until `at`, as `clock` tells the time.
    #[must_use]
    pub const fn until(at: Timestamp, clock: Clock) -> Self {
        Self { until: Some(Until { at, clock }), revocations: Vec::new() }
    }

    /// The same, but no longer than until `revocation` is made; there may be several.
    #[must_use]
    pub fn revoked_by(mut self, revocation: Revocation) -> Self {
        self.revocations.push(revocation);
        self
    }

    /// When it ends by itself.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.until.as_ref().map(|until| until.at)
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn is_over(&self) -> Option<Over> {
        if self.revocations.iter().any(Revocation::is_made) {
            return Some(Over::Revoked);
        }
        let until = self.until.as_ref()?;
        (until.clock.now() >= until.at).then_some(Over::Expired)
    }

    /// Resolves when it is over; never where it has no bound. Cancel safe.
    pub async fn over(&self) -> Over {
        loop {
            if let Some(over) = self.is_over() {
                return over;
            }
            tokio::select! {
                () = self.revoked() => return Over::Revoked,
                () = self.look_again() => {}
            }
        }
    }

    async fn revoked(&self) {
        if self.revocations.is_empty() {
            return pending().await;
        }
        let made = self.revocations.iter().map(|revocation| Box::pin(revocation.0.cancelled()));
        select_all(made).await;
    }

    /// A wall clock may be set, so a long time is slept in pieces.
    async fn look_again(&self) {
        let Some(until) = &self.until else { return pending().await };
        let left = until.at.since(until.clock.now()).max(Duration::from_millis(1));
        tokio::time::sleep(left.min(EXPIRY_LOOK)).await;
    }
}

/// The means to end what was granted before its time. Clones are one.
#[derive(Clone, Default)]
pub struct Revocation(Arc<CancellationToken>);

impl Revocation {
    /// Revokes; there is no way back.
    pub fn make(&self) {
        self.0.cancel();
    }

    /// Whether somebody else has it.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether it was revoked.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl PartialEq for Revocation {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revocation").field(&self.is_made()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_at_its_time_and_not_before() {
        let clock = Clock::fake(Timestamp::from_millis(0));
        let validity = Validity::until(Timestamp::from_millis(7_200_000), clock.clone());
        assert_eq!(validity.is_over(), None);
        assert_eq!(validity.over().await, Over::Expired);
        assert_eq!(validity.is_over(), Some(Over::Expired));
        assert_eq!(clock.now(), Timestamp::from_millis(7_200_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revocation_ends_it_at_once() {
        let clock = Clock::fake(Timestamp::from_millis(0));
        let revocation = Revocation::default();
        let validity = Validity::until(Timestamp::from_millis(60_000), clock.clone())
            .revoked_by(revocation.clone());
        let waiting = tokio::spawn({
            let validity = validity.clone();
            async move { validity.over().await }
        });
        tokio::task::yield_now().await;
        revocation.make();
        assert_eq!(waiting.await.unwrap(), Over::Revoked);
        assert_eq!(validity.is_over(), Some(Over::Revoked));
        assert_eq!(clock.now(), Timestamp::from_millis(0));
    }

    #[tokio::test(start_paused = true)]
    async fn any_of_several_revocations_ends_it() {
        let several = [Revocation::default(), Revocation::default(), Revocation::default()];
        for last in several.iter().rev() {
            let validity = Validity::default();
            let validity = several.iter().cloned().fold(validity, Validity::revoked_by);
            let before = validity.is_over();
            last.make();
            assert_eq!(
                (validity.is_over(), validity.over().await),
                (Some(Over::Revoked), Over::Revoked)
            );
            assert_eq!(before.is_some(), *last != several[2]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_it_is_never_over() {
        let validity = Validity::default();
        let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
        assert!(tokio::time::timeout(ten_years, validity.over()).await.is_err());
        assert_eq!((validity.is_over(), validity.expires_at()), (None, None));
    }
}

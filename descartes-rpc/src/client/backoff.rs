//! Pauses between attempts to reach a daemon again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How a lost connection is made again: pauses double from `first` to `most`, each between half
/// and the whole of its length at random, so that many clients do not come back at once.
///
/// An attempt has failed when no connection could be made, or when it was lost before it carried
/// an answer or an update to anybody. What carried something, or held for a while, begins the count
/// anew; a connection that breaks again at once is still not made again without a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The pause before the second attempt; the first follows at once when the connection had
    /// held for a while.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// How many attempts in a row may fail before calls and subscriptions give up. It also bounds
    /// how often one call is sent.
    pub attempts: u32,
    /// Whether subscriptions go on after the daemon stopped in order, as they do after it
    /// crashed. If not, the daemon's farewell is their last update
    /// ([`Update::Ended`](super::Update::Ended)).
    pub restarts: bool,
}

impl Default for Reconnect {
    /// From 50 ms to 5 s, about a minute and a half in all, through restarts.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            most: Duration::from_secs(5),
            attempts: 24,
            restarts: true,
        }
    }
}

/// A connection that held for so long was a good one, whatever it carried.
pub(super) const STEADY: Duration = Duration::from_secs(5);

impl Reconnect {
    /// The pause after `failed` attempts in a row; `None` when that is enough.
    pub(super) fn pause(&self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failed.saturating_sub(1).min(16));
        Some(jitter(doubled.min(self.most)))
    }
}

/// Between half of `whole` and all of it.
fn jitter(whole: Duration) -> Duration {
    let random = RandomState::new().hash_one(whole);
    let permille = u32::try_from(random % 501).unwrap_or(0) + 500;
    whole.saturating_mul(permille) / 1000
}

/// The attempts of one client or stream, counted over all its connections.
pub(super) struct Attempts {
    pub(super) reconnect: Reconnect,
    failed: u32,
}

impl Attempts {
    pub(super) fn new(reconnect: Reconnect) -> Self {
        Self { reconnect, failed: 0 }
    }

    /// Something came through: what failed before counts no more.
    pub(super) fn succeed(&mut self) {
        self.failed = 0;
    }

    /// No connection, or one that was good for nothing: the pause before the next attempt, `None`
    /// when that is enough.
    pub(super) fn fail(&mut self) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        self.reconnect.pause(self.failed)
    }

    /// A connection that lasted for `lived` is lost, of which something came or, if `useful` says
    /// so, could have come.
    pub(super) fn lose(&mut self, lived: Duration, useful: bool) -> Option<Duration> {
        match (useful, lived >= STEADY) {
            (true, true) => {
                self.succeed();
                Some(Duration::ZERO)
            }
            (true, false) => {
                self.succeed();
                // Nobody is asked a hundred times a second, however useful each time is.
                Some(jitter(self.reconnect.first))
            }
            (false, _) => self.fail(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_below_their_bound_and_end() {
        let reconnect = Reconnect::default();
        for failed in 1..reconnect.attempts {
            let pause = reconnect.pause(failed).unwrap();
            assert!(pause >= reconnect.first / 2 && pause <= reconnect.most, "{failed}");
        }
        assert!(reconnect.pause(8).unwrap() > reconnect.first * 8);
        assert_eq!(reconnect.pause(reconnect.attempts), None);
    }

    #[test]
    fn only_a_connection_that_was_good_for_something_begins_the_count_anew() {
        let mut attempts = Attempts::new(Reconnect { attempts: 3, ..Reconnect::default() });
        assert!(attempts.fail().is_some());
        assert!(attempts.lose(STEADY * 2, false).is_some());
        assert!(attempts.lose(Duration::ZERO, true).unwrap() > Duration::ZERO);
        assert_eq!(attempts.lose(STEADY, true), Some(Duration::ZERO));
        assert!(attempts.fail().is_some() && attempts.fail().is_some());
        assert_eq!(attempts.fail(), None);
    }
}

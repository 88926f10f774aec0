//! Pauses between attempts to reach a daemon again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How a lost connection is made again: pauses double from `first` to `most`, each between half
/// and the whole of its length at random, so that many clients do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The pause before the second attempt; the first follows at once.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// How many attempts in a row may fail before calls and subscriptions give up.
    pub attempts: u32,
}

impl Default for Reconnect {
    /// From 50 ms to 5 s, about a minute and a half in all.
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(5), attempts: 24 }
    }
}

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
}

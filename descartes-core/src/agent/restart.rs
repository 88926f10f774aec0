//! Whether another run follows the end of one: pure arithmetic of policy and time.

use std::collections::VecDeque;
use std::time::Duration;

use super::{RestartPolicy, RestartWhen};

/// What follows the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    End,
    /// Another run, after this long.
    After(Duration),
    /// Nothing, because it ended too often.
    Limit,
}

/// The restarts of one agent that still count.
#[derive(Debug, Default)]
pub(crate) struct RestartHistory(VecDeque<Duration>);

impl RestartHistory {
    /// Decides what follows a run that ended at `now` (any monotonic clock), and remembers it.
    pub(crate) fn decide(&mut self, policy: &RestartPolicy, failed: bool, now: Duration) -> Next {
        let wanted = match policy.when {
            RestartWhen::Never => false,
            RestartWhen::OnFailure => failed,
            RestartWhen::Always => true,
        };
        if !wanted {
            return Next::End;
        }
        while self.0.front().is_some_and(|at| now.saturating_sub(*at) > policy.window) {
            self.0.pop_front();
        }
        if self.0.len() >= policy.max_restarts as usize {
            return Next::Limit;
        }
        let doublings = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(20);
        let delay = policy.backoff.first.saturating_mul(1 << doublings).min(policy.backoff.most);
        self.0.push_back(now);
        Next::After(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(when: RestartWhen) -> RestartPolicy {
        RestartPolicy {
            when,
            max_restarts: 3,
            window: Duration::from_secs(10),
            ..Default::default()
        }
    }

    #[test]
    fn the_policy_says_which_ends_are_followed_by_a_run() {
        let table = [
            (RestartWhen::Never, true, false),
            (RestartWhen::Never, false, false),
            (RestartWhen::OnFailure, true, true),
            (RestartWhen::OnFailure, false, false),
            (RestartWhen::Always, true, true),
            (RestartWhen::Always, false, true),
        ];
        for (when, failed, restarts) in table {
            let next = RestartHistory::default().decide(&policy(when), failed, Duration::ZERO);
            assert_eq!(matches!(next, Next::After(_)), restarts, "{when:?} failed={failed}");
        }
    }

    #[test]
    fn waits_double_until_the_intensity_is_reached() {
        let (mut history, policy) = (RestartHistory::default(), policy(RestartWhen::Always));
        let steps: Vec<_> =
            (1..=4).map(|s| history.decide(&policy, true, Duration::from_secs(s))).collect();
        let wait = |millis| Next::After(Duration::from_millis(millis));
        assert_eq!(steps, [wait(100), wait(200), wait(400), Next::Limit]);
    }

    #[test]
    fn restarts_of_long_ago_do_not_count() {
        let (mut history, policy) = (RestartHistory::default(), policy(RestartWhen::Always));
        for s in 0..50 {
            let next = history.decide(&policy, true, Duration::from_secs(s * 11));
            assert_eq!(next, Next::After(Duration::from_millis(100)));
        }
    }
}

//! What was spent in the last day, by the hour.

use std::time::Duration;

use crate::time::Timestamp;

/// Hours that count: the one that has begun, and the day behind it.
pub(crate) const HOURS: usize = 25;
const HOUR_MILLIS: i64 = 3_600_000;

/// What was spent in the last day, by the hour: what was spent once counts for 24 hours at least, and
/// for 25 at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Window {
    /// The hour that the first sum is of, since the Unix epoch.
    hour: i64,
    /// The sum of that hour, and of those before it.
    usd: [f64; HOURS],
}

impl Window {
    /// One that was at `hour`, with the sums of that hour and of those before it.
    pub(crate) fn of(hour: i64, sums: &[f64]) -> Self {
        let mut usd = [0.0; HOURS];
        for (place, sum) in usd.iter_mut().zip(sums) {
            *place = *sum;
        }
        Self { hour, usd }
    }

    pub(crate) fn hour(&self) -> i64 {
        self.hour
    }

    /// The sums, without the hours before the first in which something was spent.
    pub(crate) fn sums(&self) -> &[f64] {
        let spent = self.usd.iter().rposition(|usd| *usd > 0.0).map_or(0, |last| last + 1);
        &self.usd[..spent]
    }

    pub(crate) fn add(&mut self, usd: f64, now: Timestamp) {
        self.turn_to(now);
        self.usd[0] += usd;
    }

    /// Adds what another one counts.
    pub(crate) fn add_all(&mut self, other: &Self, now: Timestamp) {
        let mut other = other.clone();
        other.turn_to(now);
        self.turn_to(now);
        // Both may be an hour ahead of a clock that was set back.
        other.shift_to(self.hour);
        self.shift_to(other.hour);
        for (sum, more) in self.usd.iter_mut().zip(other.usd) {
            *sum += more;
        }
    }

    /// What counts now.
    pub(crate) fn spent(&mut self, now: Timestamp) -> f64 {
        self.turn_to(now);
        self.usd.iter().sum()
    }

    /// How long it takes until less than `most` counts, if nothing more is spent.
    pub(crate) fn free_in(&mut self, most: f64, now: Timestamp) -> Duration {
        self.turn_to(now);
        let mut left = 0.0;
        let stays = |usd: &&f64| {
            left += **usd;
            left < most
        };
        // Those that may stay; the next older one has to leave.
        let staying = self.usd.iter().take_while(stays).count().min(HOURS - 1);
        let age = i64::try_from(HOURS - staying).unwrap_or(0);
        let leaves = self.hour.saturating_add(age).saturating_mul(HOUR_MILLIS);
        Timestamp::from_millis(leaves).since(now)
    }

    /// Moves on to the hour that it is. A clock that was set back a little is waited for; one that
    /// was set back far makes what was spent as old as it was.
    fn turn_to(&mut self, now: Timestamp) {
        let hour = now.as_millis().div_euclid(HOUR_MILLIS);
        if hour < self.hour - 1 {
            self.hour = hour;
        }
        self.shift_to(hour);
    }

    /// Moves on to `hour`, if that is later.
    fn shift_to(&mut self, hour: i64) {
        let Some(later) = usize::try_from(hour.saturating_sub(self.hour)).ok() else { return };
        let later = later.min(HOURS);
        self.usd.copy_within(..HOURS - later, later);
        self.usd[..later].fill(0.0);
        self.hour = self.hour.max(hour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 500_000 * HOUR_MILLIS;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(NOON + minutes * 60_000)
    }

    fn spent(window: &Window, minutes: i64) -> f64 {
        window.clone().spent(at(minutes))
    }

    #[test]
    fn what_was_spent_counts_for_a_day_and_the_rest_of_its_hour() {
        let mut window = Window::default();
        window.add(1.0, at(59));
        window.add(2.0, at(60));
        window.add(0.5, at(61));
        for (minutes, expected) in [
            (61, 3.5),
            (23 * 60, 3.5),
            (24 * 60 + 59, 3.5),
            (25 * 60, 2.5),
            (25 * 60 + 59, 2.5),
            (26 * 60, 0.0),
            (1_000 * 60, 0.0),
        ] {
            assert_eq!(spent(&window, minutes), expected, "after {minutes} minutes");
        }
    }

    #[test]
    fn who_waits_as_told_has_something_left_and_a_moment_before_has_not() {
        let mut window = Window::default();
        for (minutes, usd) in [(0, 1.0), (90, 2.0), (600, 4.0)] {
            window.add(usd, at(minutes));
        }
        for most in [0.5, 1.0, 3.9, 4.0, 4.1, 6.0, 6.5, 7.0] {
            let wait = window.clone().free_in(most, at(610));
            let then = at(610).after(wait);
            assert!(window.clone().spent(then) < most, "{most}");
            let before = Timestamp::from_millis(then.as_millis() - 1);
            assert!(window.clone().spent(before) >= most, "{most}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_neither_loses_nor_keeps_for_ever_what_was_spent() {
        let mut window = Window::default();
        window.add(1.0, at(0));
        window.add(2.0, at(24 * 60));
        // By a minute, and forward again: nothing has changed.
        assert_eq!(spent(&window, 24 * 60 - 1), 3.0);
        window.add(4.0, at(24 * 60 - 1));
        assert_eq!((spent(&window, 24 * 60 + 1), spent(&window, 25 * 60)), (7.0, 6.0));
        // By ten years: it leaves as if that were its time.
        let years = -10 * 365 * 24 * 60;
        assert_eq!(window.spent(at(years)), 7.0);
        assert_eq!((window.spent(at(years + 60)), window.spent(at(years + 25 * 60))), (6.0, 0.0));
    }

    #[test]
    fn what_two_count_is_counted_together_by_its_hour() {
        let (mut one, mut two) = (Window::default(), Window::default());
        one.add(1.0, at(0));
        two.add(2.0, at(120));
        let mut both = Window::default();
        both.add_all(&one, at(180));
        both.add_all(&two, at(180));
        assert_eq!(
            (spent(&both, 180), spent(&both, 25 * 60), spent(&both, 27 * 60)),
            (3.0, 2.0, 0.0)
        );
        assert_eq!(Window::of(both.hour(), both.sums()), both);
        assert_eq!(Window::default().sums(), [0.0; 0]);
    }
}

//! How long things took, by fixed upper ends.

use std::time::Duration;

/// The most upper ends that there are.
const ENDS: usize = 14;

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Commits: a tenth of a millisecond, which is a write to memory, to ten seconds, after which a
/// store counts as one that does not work.
pub(crate) const COMMITS: [Duration; ENDS] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    ms(1),
    Duration::from_micros(2_500),
    ms(5),
    ms(10),
    ms(25),
    ms(50),
    ms(100),
    ms(250),
    ms(1_000),
    ms(2_500),
    ms(10_000),
];

/// Turns: what a program answers by itself to an hour of work.
pub(crate) const TURNS: [Duration; ENDS] = [
    ms(100),
    ms(500),
    ms(1_000),
    ms(2_500),
    ms(5_000),
    ms(10_000),
    ms(30_000),
    ms(60_000),
    ms(120_000),
    ms(300_000),
    ms(600_000),
    ms(1_200_000),
    ms(1_800_000),
    ms(3_600_000),
];

/// Approvals: what is decided by itself to the longest deadlines.
pub(crate) const APPROVALS: [Duration; ENDS] = [
    ms(100),
    ms(1_000),
    ms(5_000),
    ms(10_000),
    ms(30_000),
    ms(60_000),
    ms(120_000),
    ms(300_000),
    ms(600_000),
    ms(900_000),
    ms(1_800_000),
    ms(3_600_000),
    ms(14_400_000),
    ms(86_400_000),
];

/// How long something took that happens again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    ends: &'static [Duration],
    counts: [u64; ENDS + 1],
    took: Duration,
}

impl Times {
    pub(crate) const fn of(ends: &'static [Duration; ENDS]) -> Self {
        Self { ends, counts: [0; ENDS + 1], took: Duration::ZERO }
    }

    pub(crate) fn note(&mut self, took: Duration) {
        self.counts[self.ends.partition_point(|end| *end < took)] += 1;
        self.took = self.took.saturating_add(took);
    }

    /// The upper ends, with how many took no longer than each.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut so_far = 0;
        self.ends.iter().zip(self.counts).map(move |(end, count)| {
            so_far += count;
            (*end, so_far)
        })
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What all of them took together.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_it_fits_in_and_in_all_after_it() {
        for ends in [&COMMITS, &TURNS, &APPROVALS] {
            assert!(ends.is_sorted());
            let mut times = Times::of(ends);
            times.note(ends[2]);
            times.note(ends[2] + Duration::from_nanos(1));
            times.note(Duration::MAX);
            let counts: Vec<u64> = times.buckets().map(|(_, count)| count).collect();
            assert_eq!(counts[..4], [0, 0, 1, 2]);
            assert_eq!((counts[ENDS - 1], times.count(), times.took()), (2, 3, Duration::MAX));
        }
    }
}

//! What came of the cases.

use std::fmt;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// The transport cannot be asked this, for this reason.
    Skipped(&'static str),
    /// Otherwise, and how.
    Failed(String),
}

/// The outcome of every case, in order.
#[derive(Clone, Debug, Default)]
pub struct Report {
    outcomes: Vec<(String, Outcome)>,
}

impl Report {
    pub(super) fn add(&mut self, name: String, outcome: Outcome) {
        self.outcomes.push((name, outcome));
    }

    /// Every case with its outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.outcomes.iter().map(|(name, outcome)| (name.as_str(), outcome))
    }

    /// The cases that failed, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outcomes().filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(why) => Some((name, why.as_str())),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.outcomes().filter(|(_, outcome)| **outcome == Outcome::Passed).count()
    }

    /// Says nothing when all went well.
    ///
    /// # Panics
    ///
    /// When a case failed, with the name and reason of each.
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none() && self.passed() > 0, "{self}");
    }
}

/// The failures with their reasons, what was skipped and why, and the count.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in self.outcomes() {
            match outcome {
                Outcome::Passed => {}
                Outcome::Skipped(why) => writeln!(f, "skipped: {name}: {why}")?,
                Outcome::Failed(why) => writeln!(f, "FAILED: {name}: {why}")?,
            }
        }
        let failed = self.failures().count();
        write!(f, "{} of {} passed, {failed} failed", self.passed(), self.outcomes.len())
    }
}

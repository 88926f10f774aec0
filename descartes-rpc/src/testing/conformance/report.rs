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
    pub(super) fn add(&mut self, name: impl Into<String>, outcome: Outcome) {
        self.outcomes.push((name.into(), outcome));
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

    /// The cases that could not be asked, with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outcomes().filter_map(|(name, outcome)| match outcome {
            Outcome::Skipped(why) => Some((name, *why)),
            Outcome::Passed | Outcome::Failed(_) => None,
        })
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.outcomes().filter(|(_, outcome)| **outcome == Outcome::Passed).count()
    }

    /// Says nothing when all went well; what was skipped is well.
    ///
    /// # Panics
    ///
    /// When a case failed, or none passed, with the whole report.
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none() && self.passed() > 0, "{self}");
    }
}

/// A line for each case: its outcome, its name, and the reason where there is one. The failures
/// come last, before the count, so that they end a long log.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in self.outcomes() {
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {name}")?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {name}: {why}")?,
                Outcome::Failed(_) => {}
            }
        }
        for (name, why) in self.failures() {
            writeln!(f, "FAILED   {name}: {why}")?;
        }
        let (failed, skipped) = (self.failures().count(), self.skipped().count());
        write!(f, "{} passed, {skipped} skipped, {failed} failed", self.passed())
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Report};

    #[test]
    fn the_report_names_each_case_and_says_why_it_failed() {
        let mut report = Report::default();
        report.add("a", Outcome::Failed("it came twice".into()));
        report.add("b", Outcome::Passed);
        report.add("c", Outcome::Skipped("no way"));
        let expected = "passed   b\nskipped  c: no way\nFAILED   a: it came twice\n\
                        1 passed, 1 skipped, 1 failed";
        assert_eq!(report.to_string(), expected);
        let panicked = std::panic::catch_unwind(|| report.assert_passed()).unwrap_err();
        assert!(panicked.downcast_ref::<String>().unwrap().contains("it came twice"));
    }
}

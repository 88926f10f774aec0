//! Series in turns, and their medians.

use std::io::Write;

/// Several rounds in each of which every contestant was measured once.
#[derive(Clone, Debug)]
pub struct Series {
    rounds: Vec<Vec<f64>>,
}

impl Series {
    /// Measures `contestants` by turns, `rounds` times, after one round that does not count.
    ///
    /// Every second round goes the other way round, so that none always follows the same one.
    pub fn interleaved(rounds: usize, contestants: &mut [&mut dyn FnMut() -> f64]) -> Self {
        let count = contestants.len();
        let mut round = |backwards: bool| {
            let mut figures = vec![0.0; count];
            for step in 0..count {
                let index = if backwards { count - 1 - step } else { step };
                figures[index] = contestants[index]();
            }
            figures
        };
        if rounds > 1 {
            round(false);
        }
        Self { rounds: (0..rounds).map(|index| round(index % 2 == 1)).collect() }
    }

    /// The median figure of one contestant.
    #[must_use]
    pub fn figure(&self, contestant: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[contestant]).collect())
    }

    /// The median of the ratios of two contestants, round by round.
    #[must_use]
    pub fn ratio(&self, above: usize, below: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[above] / round[below]).collect())
    }
}

/// The figure, or NaN where measuring failed; why is said on standard error.
pub fn figure(measured: anyhow::Result<f64>) -> f64 {
    measured.unwrap_or_else(|error| {
        // Nobody can be told when even standard error is gone.
        drop(writeln!(std::io::stderr(), "{error:#}"));
        f64::NAN
    })
}

/// The middle one; of an even number the mean of both; NaN of none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn contestants_take_turns_and_a_first_round_does_not_count() {
        let log = std::cell::RefCell::new(String::new());
        let mut first = || {
            log.borrow_mut().push('a');
            2.0
        };
        let mut second = || {
            log.borrow_mut().push('b');
            4.0
        };
        let series = Series::interleaved(2, &mut [&mut first, &mut second]);
        assert!((series.ratio(0, 1) - 0.5).abs() < 1e-9);
        assert!((series.figure(1) - 4.0).abs() < 1e-9);
        assert_eq!(log.into_inner(), "ababba");
    }
}

//! How much is measured: everything, or just enough to see that it runs.

/// How much a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Enough for ratios that can be compared.
    Full,
    /// Enough to see that it runs; its ratios say nothing.
    Quick,
}

impl Size {
    /// As `DESCARTES_BENCH_QUICK` and the arguments say: cargo passes `--bench` when somebody
    /// wants to measure, and does not when it only tests that the benches run.
    #[must_use]
    pub fn of_this_run() -> Self {
        let asked = std::env::var_os("DESCARTES_BENCH_QUICK").is_some_and(|value| value != "0");
        let measured = std::env::args().any(|argument| argument == "--bench");
        if asked || !measured { Self::Quick } else { Self::Full }
    }

    /// `full` or `quick`, whichever it is.
    #[must_use]
    pub fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }

    /// How often a series is repeated.
    #[must_use]
    pub fn rounds(self) -> usize {
        self.pick(7, 1)
    }
}

/// A number that the environment may set.
#[must_use]
pub fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

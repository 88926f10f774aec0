//! What is said again and again is said seldom.

use tokio::time::Instant;

use crate::limits::SELDOM;

/// Lets one line through in [`SELDOM`].
#[derive(Debug, Default)]
pub(super) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it is time for another.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now >= last + SELDOM);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_is_let_through_in_a_while() {
        let mut seldom = Seldom::default();
        assert!(seldom.is_due() && !seldom.is_due());
        tokio::time::sleep(SELDOM).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}

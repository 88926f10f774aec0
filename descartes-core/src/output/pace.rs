//! How often somebody who streams is read.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{CONVERSATION_LITTLE_BYTES, CONVERSATION_READ_PACE};

/// When the next read of an agent that somebody converses with is due: its words come one by one,
/// and each read costs as much as writing down what twenty of them say.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    /// Until when what was read last waits for company.
    until: Option<Instant>,
}

impl Pace {
    /// `bytes` bytes were read. What comes after a silence, and what is much, is followed at once.
    pub(super) fn read(&mut self, now: Instant, bytes: usize) {
        let before = self.last.replace(now);
        let since = before.map_or(Duration::MAX, |before| now.saturating_duration_since(before));
        let streams = since < 2 * CONVERSATION_READ_PACE && bytes < CONVERSATION_LITTLE_BYTES;
        self.until = streams.then(|| now + CONVERSATION_READ_PACE);
    }

    /// When to read on, if not at once.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.until.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_streams_is_read_now_and_then_and_all_else_at_once() {
        let (begin, mut pace) = (Instant::now(), Pace::default());
        let mut read = |after: Duration, bytes| {
            pace.read(begin + after, bytes);
            pace.due()
        };
        let close = CONVERSATION_READ_PACE;
        assert_eq!(read(Duration::ZERO, 10), None, "the first");
        assert_eq!(read(close, 10), Some(begin + 2 * close), "another soon after");
        assert_eq!(read(2 * close, CONVERSATION_LITTLE_BYTES), None, "much");
        assert_eq!(read(4 * close, 10), None, "after a silence");
    }
}

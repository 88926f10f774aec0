//! How long a long message may take to come whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{UNFINISHED_GRACE, UNFINISHED_RATE};

/// Watches that what has come of a long message becomes more, and fast enough.
///
/// Every byte buys time, never more than the grace from now on: a peer that is slow is given up when
/// it has used up what it bought, one that was not read for a while loses nothing by it.
#[derive(Debug, Default)]
pub(super) struct Patience(Option<Watch>);

#[derive(Debug)]
struct Watch {
    held: usize,
    until: Pin<Box<Sleep>>,
}

impl Patience {
    /// Ready when a message of which so many bytes are `held` has had its time; called when no more
    /// of it is there.
    pub(super) fn poll(&mut self, held: Option<usize>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(held) = held else {
            self.0 = None;
            return Poll::Pending;
        };
        let now = Instant::now();
        let latest = now + UNFINISHED_GRACE;
        let watch =
            self.0.get_or_insert_with(|| Watch { held, until: Box::pin(sleep_until(latest)) });
        if held < watch.held {
            // Another message.
            watch.until.as_mut().reset(latest);
        } else if held > watch.held {
            let bought = bought(held - watch.held);
            let due = (watch.until.deadline().max(now) + bought).min(latest);
            watch.until.as_mut().reset(due);
        }
        watch.held = held;
        watch.until.as_mut().poll(cx)
    }
}

/// The time that so many bytes may take.
fn bought(bytes: usize) -> Duration {
    let millis = bytes as u64 * 1000 / UNFINISHED_RATE;
    Duration::from_millis(millis).min(UNFINISHED_GRACE)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// How long a peer is heard that sends `bytes` each `pause`, having sent `first`.
    async fn heard(first: usize, bytes: usize, pause: Duration, most: usize) -> Duration {
        let (mut patience, mut held, began) = (Patience::default(), first, Instant::now());
        while held < most {
            let over = poll_fn(|cx| patience.poll(Some(held), cx));
            if timeout(pause, over).await.is_ok() {
                break;
            }
            held += bytes;
        }
        began.elapsed()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_stops_has_the_grace_and_who_is_slow_not_much_more() {
        let never = usize::MAX;
        let stopped = heard(100_000, 0, SECOND, never).await;
        assert!(stopped >= UNFINISHED_GRACE && stopped < UNFINISHED_GRACE + SECOND, "{stopped:?}");
        let slow = heard(100_000, 1, SECOND / 10, never).await;
        assert!(slow < UNFINISHED_GRACE + SECOND, "{slow:?}");
        // At half the rate it lasts twice as long.
        let half = usize::try_from(UNFINISHED_RATE / 2).expect("it is small");
        let halved = heard(100_000, half, SECOND, never).await;
        assert!(halved > UNFINISHED_GRACE && halved < UNFINISHED_GRACE * 3, "{halved:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_up_is_heard_to_the_end() {
        let rate = usize::try_from(UNFINISHED_RATE).expect("it is small");
        let whole = 10 * 1024 * 1024;
        let heard = heard(100_000, rate + 1024, SECOND, whole).await;
        assert!(heard > Duration::from_secs(100), "{heard:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_not_read_for_a_while_loses_nothing_and_the_next_message_has_its_own_time() {
        let mut patience = Patience::default();
        let mut over = async |held| {
            let over = poll_fn(|cx| Poll::Ready(patience.poll(held, cx).is_ready()));
            over.await
        };
        assert!(!over(Some(100_000)).await);
        sleep(UNFINISHED_GRACE * 10).await;
        assert!(!over(Some(200_000)).await);
        sleep(UNFINISHED_GRACE * 10).await;
        assert!(!over(Some(100_000)).await, "another message");
        sleep(UNFINISHED_GRACE * 10).await;
        assert!(!over(None).await);
        assert!(!over(Some(100_000)).await);
        sleep(UNFINISHED_GRACE * 2).await;
        assert!(over(Some(100_000)).await);
    }
}

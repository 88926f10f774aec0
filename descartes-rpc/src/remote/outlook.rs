//! How long a run can do without its remote.

use std::future::pending;
use std::time::Duration;

use descartes_core::agent::Activity;
use descartes_core::runner::AgentEvents;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Shows the run as unreachable while its remote does not answer or its events are not followed,
/// and returns when that has lasted for `lost_after`.
pub(super) async fn patience(
    events: &AgentEvents,
    mut away: watch::Receiver<Option<Instant>>,
    mut follows: watch::Receiver<bool>,
    lost_after: Duration,
) {
    let mut astray: Option<Instant> = None;
    loop {
        let silent = *away.borrow_and_update();
        astray = match *follows.borrow_and_update() {
            true => None,
            false => astray.or_else(|| Some(Instant::now())),
        };
        let since = match (silent, astray) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        events.activity(since.map(|_| Activity::Unreachable));
        let lost = async {
            match since.and_then(|since| since.checked_add(lost_after)) {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Ok(()) = away.changed() => {}
            Ok(()) = follows.changed() => {}
            () = lost => return,
        }
    }
}

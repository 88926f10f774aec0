//! What little is to be looked at while a run is young: only processes that started after it.
//!
//! Process ids are given out in order. So whatever a leader has started has a pid between its own
//! and the last one given out, and for a run of less than a second those few can be looked at one
//! by one, which costs a hundredth of a look at everything.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::os::tag::Bearing;
use super::os::{table, tag};
use super::registry::{Registration, Registry};

/// In less than this the ids cannot have gone round: there are at least 32,768 of them.
const YOUTH: Duration = Duration::from_secs(1);
/// More ids than this are not looked at one by one.
const MOST: u32 = 256;
/// How often strangers are looked for: what starts while one look goes on may bear the mark as well,
/// as its parent did or as it had begun before the host put its own off.
const LOOKS: usize = 3;

/// Takes the mark from what somebody else in this process started between `last`, the last id
/// before the start of `leader`, and now: children of ours that lead no run, and what those have
/// started before they were found.
///
/// The host has put off its mark by then. Not for one that adopts: its children may have been the
/// run's.
pub(super) fn forgive_strangers(bearing: &Bearing, mut last: Option<u32>, leader: u32) {
    let mut parents = vec![std::process::id()];
    for _ in 0..LOOKS {
        let Some(young) = last.and_then(since).filter(|young| !young.is_empty()) else { return };
        last = Some(*young.end());
        // A child has a later id than its parent, and one look finds both.
        for pid in young.filter(|pid| *pid != leader) {
            if let Ok(Some(entry)) = table::entry(pid)
                && parents.contains(&entry.parent)
            {
                bearing.forgive(pid);
                parents.push(pid);
            }
        }
    }
}

/// Whether it is certain that a marked leader, which has ended, has left nothing behind.
pub(super) fn left_nothing(run: &Registration, began: Instant, registry: &Registry) -> bool {
    if began.elapsed() > YOUTH {
        return false;
    }
    let Some(later) = since(run.leader) else { return false };
    let inherited = tag::own();
    // A mark that is neither the host's nor another run's may be that of a Descartes inside.
    registry.strangers(later, began).into_iter().all(|pid| {
        // What cannot be looked at is not certain to be somebody else's.
        table::lock_limit(pid).is_ok_and(|mark| {
            mark.is_none_or(|mark| {
                Some(mark) == inherited && mark != run.tag || registry.is_mark_of_other(mark, run)
            })
        })
    })
}

/// The ids that were given out after `pid`; none when they are too many or cannot be known.
fn since(pid: u32) -> Option<RangeInclusive<u32>> {
    let last = table::last_pid()?;
    let count = last.checked_sub(pid)?;
    (count <= MOST).then_some(pid + 1..=last)
}

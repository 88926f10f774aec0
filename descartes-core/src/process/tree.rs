//! What is done to a whole tree: signal it, stop it, end it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::census::{Census, signal_all};
use super::os::table::{Entry, last_pid};
use super::registry::{Registration, RunNumber};
use crate::agent::PauseMode;

/// How long a tree may take to be gone once it is killed: a process in an uninterruptible wait
/// cannot be ended at all.
const SWEEP_AT_MOST: Duration = Duration::from_secs(10);
/// Between two looks at a tree that was just killed.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
/// Looks in a row that find nothing of a tree that had more than its leader, before it is gone, where
/// processes are born meanwhile: one that begins the next and ends may be missed by a look, because the
/// next was not listed yet and it is gone when it is read. On a machine that is busy that takes as long
/// as a generation lives.
const QUIET_LOOKS: u32 = 8;
/// The same where none is born meanwhile: whoever there is was looked at.
const SURE_LOOKS: u32 = 2;
/// Looks at a tree that was just stopped, before what still runs is given up.
const STOP_PASSES: usize = 20;

/// The tree of one run.
#[derive(Debug)]
pub(super) struct Tree {
    census: Census,
    run: RunNumber,
    leader: u32,
}

/// Processes beside the leader that had to be killed.
pub(super) type Swept = HashSet<(u32, u64)>;

/// A tree that could not be ended.
#[derive(Clone, Debug)]
pub(super) struct Left(pub(super) Arc<str>);

impl Tree {
    pub(super) fn new(census: Census, registration: &Registration) -> Self {
        Self { census, run: registration.run, leader: registration.leader }
    }

    /// Asks everything in the tree to end, and wakes what is stopped so that it can.
    pub(super) async fn ask_to_end(&self) {
        let pass = self.census.pass().await;
        signal_all(pass.living(self.run), Signal::TERM);
        signal_all(pass.living(self.run), Signal::CONT);
    }

    /// Kills everything in the tree; it may not be gone when this returns. What is killed beside
    /// the leader is noted in `swept`.
    pub(super) async fn kill(&self, swept: &mut Swept) {
        let pass = self.census.pass().await;
        let killed = signal_all(pass.living(self.run), Signal::KILL);
        tracing::trace!(leader = self.leader, ?killed, "killed a tree");
        swept.extend(killed.into_iter().filter(|(pid, _)| *pid != self.leader));
    }

    /// Ends what is left when the leader has ended, and notes it in `swept`.
    ///
    /// A process that forks while it is being killed is outrun: the looks go on until one finds
    /// nothing, and when there was anything, some more.
    pub(super) async fn sweep(&self, swept: &mut Swept) -> Result<(), Left> {
        let deadline = Instant::now() + SWEEP_AT_MOST;
        let mut quiet = 0;
        loop {
            let born = last_pid();
            let pass = self.census.pass().await;
            let left: Vec<&Entry> =
                pass.living(self.run).filter(|entry| entry.pid != self.leader).collect();
            tracing::trace!(leader = self.leader, ?left, "looked at a tree");
            if left.is_empty() && pass.is_partial() {
                if Instant::now() >= deadline {
                    return Err(Left("no descriptor is left to look for processes with".into()));
                }
                tokio::time::sleep(SWEEP_PAUSE).await;
                continue;
            }
            if left.is_empty() {
                if swept.is_empty() {
                    return Ok(());
                }
                quiet += 1;
                let is_sure = born.is_some() && born == last_pid();
                let needed = if is_sure { SURE_LOOKS } else { QUIET_LOOKS };
                if quiet >= needed {
                    return Ok(());
                }
                if !is_sure {
                    tokio::time::sleep(SWEEP_PAUSE).await;
                }
                continue;
            }
            quiet = 0;
            swept.extend(signal_all(left.iter().copied(), Signal::KILL));
            if Instant::now() >= deadline {
                return Err(describe(&left));
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    /// Stops everything in the tree.
    pub(super) async fn stop(&self) -> PauseMode {
        for _ in 0..STOP_PASSES {
            let pass = self.census.pass().await;
            let runs: Vec<&Entry> =
                pass.living(self.run).filter(|entry| !entry.is_stopped()).collect();
            if runs.is_empty() && !pass.is_partial() {
                return PauseMode::Forced;
            }
            signal_all(runs.into_iter(), Signal::STOP);
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        PauseMode::Partial
    }

    /// Lets everything in the tree go on.
    pub(super) async fn go_on(&self) {
        let pass = self.census.pass().await;
        signal_all(pass.living(self.run), Signal::CONT);
    }
}

fn describe(left: &[&Entry]) -> Left {
    let each = |entry: &&Entry| format!("{} (state {})", entry.pid, entry.state());
    let list: Vec<String> = left.iter().take(8).map(each).collect();
    Left(format!("{} processes are left: {}", left.len(), list.join(", ")).into())
}

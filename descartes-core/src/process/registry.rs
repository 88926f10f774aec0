//! The runs of one runner, and by what each claims its processes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::marker::{self, Marker};
use crate::agent::AgentId;

/// Runs that have ended that are remembered, so that what was adopted from them and ends late is
/// still collected.
const ENDED_RUNS: usize = 1024;

/// Names a run within its runner; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RunNumber(u64);

/// By what processes are claimed for runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    leaders: HashMap<u32, RunNumber>,
    tags: HashMap<u64, RunNumber>,
    agents: HashMap<(u32, AgentId), RunNumber>,
    ended: VecDeque<Ended>,
    last: u64,
}

/// A run that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    tag: u64,
    leader: u32,
    at: Instant,
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A run's.
    Run(RunNumber),
    /// A run's that has ended.
    Ended,
}

impl Claims {
    /// Whose the process group or session `id`, or the process itself, is.
    pub(super) fn by_leader(&self, id: u32) -> Option<RunNumber> {
        self.leaders.get(&id).copied()
    }

    pub(super) fn by_tag(&self, tag: u64) -> Option<Owner> {
        let run = self.tags.get(&tag).copied().map(Owner::Run);
        run.or_else(|| self.ended.iter().any(|ended| ended.tag == tag).then_some(Owner::Ended))
    }

    /// Whose `run` is, while it goes on.
    pub(super) fn agent_of(&self, run: RunNumber) -> Option<AgentId> {
        let mut all = self.agents.iter();
        all.find_map(|((_, agent), claimed)| (*claimed == run).then_some(*agent))
    }

    fn free_tag(&self, marker: &Marker) -> u64 {
        let mut tag = marker::tag(marker.instance, marker.agent);
        while self.tags.contains_key(&tag) {
            tag = marker::next_tag(tag);
        }
        tag
    }

    pub(super) fn by_marker(&self, value: &str) -> Option<RunNumber> {
        marker::entries(value)
            .find_map(|entry| self.agents.get(&(entry.instance, entry.agent)).copied())
    }
}

/// The runs of one runner.
#[derive(Debug, Default)]
pub(super) struct Registry {
    claims: Mutex<Claims>,
    starting: Mutex<()>,
    /// Beginnings and ends of starts: odd while a child is being started.
    starts: watch::Sender<u64>,
}

/// A child is being started.
#[derive(Debug)]
pub(super) struct Beginning<'a>(&'a watch::Sender<u64>);

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// A run's entry; gone when dropped.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) run: RunNumber,
    pub(super) leader: u32,
    pub(super) tag: u64,
    marker: Marker,
    registry: Arc<Registry>,
}

impl Registry {
    /// What is claimed at this moment.
    pub(super) fn claims(&self) -> Claims {
        self.lock().clone()
    }

    pub(super) fn is_leader(&self, pid: u32) -> bool {
        self.lock().leaders.contains_key(&pid)
    }

    /// While this is held no child is started but by its holder: every child of this process is
    /// registered, or was adopted.
    pub(super) fn start_alone(&self) -> MutexGuard<'_, ()> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a child is being started, until what is given is dropped: by then it is claimed.
    pub(super) fn begin_start(&self) -> Beginning<'_> {
        self.starts.send_modify(|count| *count += 1);
        Beginning(&self.starts)
    }

    /// Waits until every child is claimed that runs by now. A child runs from its `exec` on, and is
    /// claimed only behind that. Cancel safe.
    pub(super) async fn settled(&self) {
        let mut starts = self.starts.subscribe();
        let now = *starts.borrow_and_update();
        if now % 2 == 1 {
            // It cannot fail: the sender is here, in self.
            drop(starts.wait_for(|count| *count > now).await);
        }
    }

    /// The tag that the next run of `marker`'s agent will have.
    pub(super) fn tag_for(&self, marker: &Marker) -> u64 {
        self.lock().free_tag(marker)
    }

    /// Whether `tag` is that of a run of ours which is not this one.
    pub(super) fn is_mark_of_other(&self, tag: u64, registration: &Registration) -> bool {
        tag != registration.tag && self.lock().by_tag(tag).is_some()
    }

    /// Those of `pids` that neither lead a run nor led one that ended after `since`.
    pub(super) fn strangers(&self, pids: RangeInclusive<u32>, since: Instant) -> Vec<u32> {
        let claims = self.lock();
        let late = claims.ended.iter().rev().take_while(|ended| ended.at >= since);
        let late: HashSet<u32> = late.map(|ended| ended.leader).collect();
        pids.filter(|pid| !late.contains(pid) && !claims.leaders.contains_key(pid)).collect()
    }

    /// Registers the run that `leader`, not collected yet, leads.
    pub(super) fn register(self: &Arc<Self>, leader: u32, marker: Marker) -> Registration {
        let mut claims = self.lock();
        claims.last += 1;
        let run = RunNumber(claims.last);
        let tag = claims.free_tag(&marker);
        claims.ended.retain(|ended| ended.tag != tag);
        claims.leaders.insert(leader, run);
        claims.tags.insert(tag, run);
        claims.agents.insert((marker.instance, marker.agent), run);
        Registration { run, leader, tag, marker, registry: Arc::clone(self) }
    }

    /// Whether any run has ended.
    #[cfg(test)]
    pub(super) fn has_ended_one(&self) -> bool {
        !self.lock().ended.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        // Every change is complete before anything can panic.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Collects the leader and gives up its claims, so that nobody sees the one without the
    /// other: its pid may be somebody else's as soon as it is collected.
    pub(super) fn end<T>(self, collect: impl FnOnce() -> T) -> T {
        let registry = Arc::clone(&self.registry);
        let mut claims = registry.lock();
        let collected = collect();
        self.give_up(&mut claims);
        collected
    }

    /// Does nothing the second time.
    fn give_up(&self, claims: &mut Claims) {
        if claims.leaders.get(&self.leader) != Some(&self.run) {
            return;
        }
        claims.leaders.remove(&self.leader);
        claims.tags.remove(&self.tag);
        let agent = (self.marker.instance, self.marker.agent);
        if claims.agents.get(&agent) == Some(&self.run) {
            claims.agents.remove(&agent);
        }
        if claims.ended.len() == ENDED_RUNS {
            claims.ended.pop_front();
        }
        let (tag, leader, at) = (self.tag, self.leader, Instant::now());
        claims.ended.push_back(Ended { tag, leader, at });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let registry = Arc::clone(&self.registry);
        self.give_up(&mut registry.lock());
    }
}

//! What an earlier host of the same store left running: found by its marks and ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::census::signal_all;
use super::marker::{self, is_of_instance};
use super::os::table::{self, Entry};
use crate::agent::AgentId;

/// How long leftovers may take to be gone; what is left then is in the log.
const SWEEP_AT_MOST: Duration = Duration::from_secs(10);
/// Between two looks at what was just killed.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);

/// Whose a leftover is: an agent's, or one's whose record has gone.
type Whose = Option<AgentId>;

/// Ends everything that carries the marks of `instance`, with what descends from it; returns how
/// many processes that were for each agent.
pub(super) async fn sweep(instance: u32, agents: Vec<AgentId>) -> BTreeMap<AgentId, u32> {
    let tags: HashMap<u64, AgentId> =
        agents.into_iter().map(|agent| (marker::tag(instance, agent), agent)).collect();
    let tags = std::sync::Arc::new(tags);
    let deadline = Instant::now() + SWEEP_AT_MOST;
    let mut swept: BTreeMap<AgentId, HashSet<(u32, u64)>> = BTreeMap::new();
    loop {
        let known = std::sync::Arc::clone(&tags);
        let look = tokio::task::spawn_blocking(move || kill_once(instance, &known)).await;
        let killed = look.unwrap_or_default();
        if killed.is_empty() {
            break;
        }
        for (identity, agent) in &killed {
            if let Some(agent) = agent {
                swept.entry(*agent).or_default().insert(*identity);
            }
        }
        if Instant::now() >= deadline {
            tracing::error!(left = killed.len(), "processes of an earlier run cannot be ended");
            break;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
    let count = |set: HashSet<_>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    swept.into_iter().map(|(agent, set)| (agent, count(set))).collect()
}

/// Kills what is there; returns it.
fn kill_once(instance: u32, tags: &HashMap<u64, AgentId>) -> Vec<((u32, u64), Whose)> {
    let entries = table::entries().unwrap_or_else(|error| {
        tracing::error!(%error, "what an earlier run left cannot be looked for");
        Vec::new()
    });
    let found = find(&entries, |entry| whose(entry, instance, tags));
    let mut killed = Vec::new();
    for (entry, agent) in found {
        signal_all(std::iter::once(entry), Signal::KILL);
        killed.push((entry.identity(), agent));
    }
    killed
}

/// What is marked, and what descends from it; never this process, what it descends from or what
/// it has started: an agent may have started its own host anew, and its mark is inherited then.
fn find(entries: &[Entry], whose: impl Fn(&Entry) -> Option<Whose>) -> Vec<(&Entry, Whose)> {
    let parents: HashMap<u32, u32> =
        entries.iter().map(|entry| (entry.pid, entry.parent)).collect();
    let mut spared = HashSet::new();
    let mut above = Some(std::process::id());
    while let Some(pid) = above
        && spared.insert(pid)
    {
        above = parents.get(&pid).copied();
    }
    let host = std::process::id();
    for entry in entries {
        let mut up = std::iter::successors(Some(entry.pid), |pid| parents.get(pid).copied());
        // Bounded by the table's size, should its rows contradict each other.
        if up.by_ref().take(entries.len()).any(|pid| pid == host) {
            spared.insert(entry.pid);
        }
    }
    let mut owned: HashMap<u32, Whose> = HashMap::new();
    for entry in entries {
        if !spared.contains(&entry.pid)
            && let Some(agent) = whose(entry)
        {
            owned.insert(entry.pid, agent);
        }
    }
    // Descendants may come before their ancestors: look until nothing is added.
    loop {
        let before = owned.len();
        for entry in entries {
            let inherited = owned.get(&entry.parent).copied();
            if let Some(agent) = inherited
                && !spared.contains(&entry.pid)
            {
                owned.entry(entry.pid).or_insert(agent);
            }
        }
        if owned.len() == before {
            break;
        }
    }
    let living = entries.iter().filter(|entry| !entry.is_dead());
    living.filter_map(|entry| Some((entry, *owned.get(&entry.pid)?))).collect()
}

fn whose(entry: &Entry, instance: u32, tags: &HashMap<u64, AgentId>) -> Option<Whose> {
    if let Ok(Some(tag)) = table::lock_limit(entry.pid)
        && is_of_instance(tag, instance)
    {
        return Some(tags.get(&tag).copied());
    }
    let value = table::variable(entry.pid, marker::VARIABLE).ok().flatten()?;
    let mut entries = marker::entries(&value);
    entries.find(|entry| entry.instance == instance).map(|entry| Some(entry.agent))
}

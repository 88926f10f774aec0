//! The agents of a host, in memory: records, names, and where the live ones are reached.
//!
//! Every change to a record is made in the moment in which its events become visible
//! ([`Journal::commit_then`](crate::journal::Journal)), so that a list and the cursor beside it
//! are of one moment.

mod list;
mod reach;
mod resolve;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};

pub(crate) use list::Listed;
pub use list::{AgentFilter, AgentPage, AgentView, PageRequest, StatusFilter};
pub use resolve::Want;

use super::supervisor::Command;
use super::{AgentError, AgentId, AgentRecord, Reach};

/// Where a live agent is reached.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) commands: mpsc::Sender<Box<Command>>,
    pub(crate) changes: watch::Sender<Arc<AgentRecord>>,
}

/// All agents that are kept.
#[derive(Default)]
pub(crate) struct Registry(RwLock<Agents>);

#[derive(Default)]
struct Agents {
    all: BTreeMap<AgentId, Arc<AgentRecord>>,
    live: HashMap<AgentId, Live>,
    /// Agents that are being started: they count, but cannot be seen.
    reserved: Vec<Newcomer>,
    names: HashMap<Arc<str>, Vec<AgentId>>,
    children: HashMap<AgentId, usize>,
    forgotten: reach::Forgotten,
}

/// A place for an agent that is being started; given back when dropped.
pub(crate) struct Reservation {
    registry: Arc<Registry>,
    newcomer: Newcomer,
}

/// An agent that is being started.
#[derive(Clone, PartialEq)]
pub(crate) struct Newcomer {
    pub(crate) name: Arc<str>,
    pub(crate) owner: Arc<str>,
    pub(crate) parent: Option<AgentId>,
}

impl Registry {
    /// Reserves a place for an agent, which shall be the only one of its name among those within
    /// `unique`, if that is given.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        newcomer: Newcomer,
        unique: Option<&Reach>,
        max: usize,
    ) -> Result<Reservation, AgentError> {
        let mut agents = self.write();
        let current = agents.live.len() + agents.reserved.len();
        if current >= max {
            let (limit, current, max) = ("agents.max_running", current as u64, max as u64);
            return Err(AgentError::Limit { limit, current, max });
        }
        if unique.is_some_and(|reach| agents.is_taken(&newcomer.name, reach)) {
            return Err(AgentError::NameTaken { name: newcomer.name.to_string() });
        }
        agents.reserved.push(newcomer.clone());
        drop(agents);
        Ok(Reservation { registry: Arc::clone(self), newcomer })
    }

    /// Adds a record that nobody has seen before, with where it is reached while it lives.
    pub(crate) fn add(&self, record: Arc<AgentRecord>, live: Option<Live>) {
        let mut agents = self.write();
        agents.names.entry(Arc::clone(&record.name)).or_default().push(record.id);
        if let Some(parent) = record.spec.parent {
            *agents.children.entry(parent).or_default() += 1;
        }
        if let Some(live) = live {
            agents.live.insert(record.id, live);
        }
        agents.all.insert(record.id, record);
    }

    /// Makes an ended agent reachable again.
    pub(crate) fn revive(&self, id: AgentId, live: Live) {
        self.write().live.insert(id, live);
    }

    /// Replaces a record and tells those who watch it; an ended agent is no longer reached.
    pub(crate) fn update(&self, record: AgentRecord) {
        let record = Arc::new(record);
        let mut agents = self.write();
        agents.all.insert(record.id, Arc::clone(&record));
        let live = if record.is_live() {
            agents.live.get(&record.id).map(|live| live.changes.clone())
        } else {
            agents.live.remove(&record.id).map(|live| live.changes)
        };
        drop(agents);
        if let Some(changes) = live {
            changes.send_replace(record);
        }
    }

    /// Forgets an ended agent.
    pub(crate) fn remove(&self, id: AgentId) {
        let mut agents = self.write();
        let Some(record) = agents.all.remove(&id) else { return };
        agents.live.remove(&id);
        agents.forgotten.note(&record);
        if let Some(ids) = agents.names.get_mut(&record.name) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                agents.names.remove(&record.name);
            }
        }
        if let Some(parent) = record.spec.parent
            && let Some(children) = agents.children.get_mut(&parent)
        {
            *children -= 1;
            if *children == 0 {
                agents.children.remove(&parent);
            }
        }
    }

    pub(crate) fn get(&self, id: AgentId) -> Option<Arc<AgentRecord>> {
        self.read().all.get(&id).cloned()
    }

    pub(crate) fn live(&self, id: AgentId) -> Option<Live> {
        self.read().live.get(&id).cloned()
    }

    /// Whether any agent lives or is being started.
    pub(crate) fn any_lives(&self) -> bool {
        let agents = self.read();
        !agents.live.is_empty() || !agents.reserved.is_empty()
    }

    pub(crate) fn live_ids(&self) -> Vec<AgentId> {
        self.read().live.keys().copied().collect()
    }

    /// Every record; shared, in order of creation.
    pub(crate) fn all(&self) -> Vec<Arc<AgentRecord>> {
        self.read().all.values().cloned().collect()
    }

    /// Every record that `filter` wants, in order of creation.
    pub(crate) fn selected(&self, filter: &AgentFilter) -> Vec<Arc<AgentRecord>> {
        let agents = self.read();
        agents.all.values().filter(|record| agents.wants(filter, record)).cloned().collect()
    }

    /// How many agents `parent` has above it, itself included.
    pub(crate) fn depth(&self, parent: AgentId) -> Result<usize, AgentError> {
        let agents = self.read();
        let mut depth = 0;
        let mut next = Some(parent);
        while let Some(id) = next {
            let record = agents.all.get(&id);
            if record.is_none() && depth == 0 {
                return Err(AgentError::NotFound { asked: id.to_string(), similar: Vec::new() });
            }
            depth += 1;
            next = record.and_then(|record| record.spec.parent);
        }
        Ok(depth)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Agents> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Agents> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agents {
    fn ids_of(&self, name: &str) -> impl Iterator<Item = AgentId> {
        self.names.get(name).into_iter().flatten().copied()
    }

    /// Whether a live agent within `reach`, or one that is being started, has this name.
    fn is_taken(&self, name: &str, reach: &Reach) -> bool {
        let mut ids = self.ids_of(name);
        ids.any(|id| self.live.contains_key(&id) && self.reaches_id(reach, id))
            || self.reserved.iter().any(|one| *one.name == *name && self.reaches_new(reach, one))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut agents = self.registry.write();
        if let Some(index) = agents.reserved.iter().position(|one| *one == self.newcomer) {
            agents.reserved.swap_remove(index);
        }
    }
}

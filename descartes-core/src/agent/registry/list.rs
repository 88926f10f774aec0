//! Lists of agents: filters, pages, counts.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::{Agents, Registry};
use crate::agent::{AgentError, AgentId, AgentRecord, AgentStatus, Reach};
use crate::cursor::Cursor;

/// Which statuses a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusFilter {
    /// Those that have not ended.
    #[default]
    Live,
    /// Those that have.
    Stopped,
    /// All.
    Any,
    /// Only these.
    These(Vec<AgentStatus>),
}

/// Which agents a list shows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AgentFilter {
    /// In these statuses.
    pub status: StatusFilter,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Of this backend.
    pub backend: Option<String>,
    /// Children of this agent.
    pub parent: Option<AgentId>,
    /// Within this reach.
    pub within: Reach,
}

impl AgentFilter {
    /// All agents in `status`.
    #[must_use]
    pub fn status(status: StatusFilter) -> Self {
        Self { status, ..Self::default() }
    }

    /// Whether `record` is wanted, whatever the reach: that is seen beside all other agents.
    pub(super) fn matches(&self, record: &AgentRecord) -> bool {
        let status = match &self.status {
            StatusFilter::Live => record.is_live(),
            StatusFilter::Stopped => !record.is_live(),
            StatusFilter::Any => true,
            StatusFilter::These(these) => these.contains(&record.status),
        };
        let has = |(key, value): (&String, &String)| record.spec.labels.get(key) == Some(value);
        status
            && self.backend.as_deref().is_none_or(|backend| backend == &*record.backend)
            && self.parent.is_none_or(|parent| record.spec.parent == Some(parent))
            && self.labels.iter().all(has)
    }
}

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// At most so many.
    pub limit: usize,
    /// What the page before gave as the next one's token.
    pub token: Option<String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: 100, token: None, oldest_first: false }
    }
}

/// A record as lists show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentView {
    /// The record.
    pub record: Arc<AgentRecord>,
    /// How many agents have it as their parent.
    pub children: usize,
}

/// A page of agents.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentPage {
    /// The agents of this page.
    pub agents: Vec<AgentView>,
    /// How many match in all.
    pub total: usize,
    /// What to ask the next page with; none on the last.
    pub next_token: Option<String>,
    /// The position of the journal that this page reflects.
    pub cursor: Cursor,
}

/// A page before its cursor is known.
pub(crate) struct Listed {
    pub(crate) agents: Vec<AgentView>,
    pub(crate) total: usize,
    pub(crate) next_token: Option<String>,
}

impl Registry {
    pub(crate) fn list(
        &self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Listed, AgentError> {
        let after = page.token.as_deref().map(str::parse::<AgentId>).transpose();
        let after = after.map_err(|error| {
            let path = "page_token";
            AgentError::from(crate::agent::SpecError::new(path, error.to_string()))
        })?;
        let agents = self.read();
        let wanted = |record: &&Arc<AgentRecord>| agents.wants(filter, record);
        let total = agents.candidates(filter).filter(wanted).count();
        let bounds = match (after, page.oldest_first) {
            (None, _) => (Bound::Unbounded, Bound::Unbounded),
            (Some(id), true) => (Bound::Excluded(id), Bound::Unbounded),
            (Some(id), false) => (Bound::Unbounded, Bound::Excluded(id)),
        };
        let range = agents.all.range(bounds).map(|(_, record)| record);
        let children = agents.children_of(&filter.within);
        let view = |record: &Arc<AgentRecord>| {
            let mut view = agents.view(record);
            if let Some(children) = &children {
                view.children = children.get(&record.id).copied().unwrap_or(0);
            }
            view
        };
        let mut views: Vec<AgentView> = if page.oldest_first {
            range.filter(wanted).take(page.limit + 1).map(view).collect()
        } else {
            range.rev().filter(wanted).take(page.limit + 1).map(view).collect()
        };
        let more = views.len() > page.limit;
        views.truncate(page.limit);
        let last = views.last().filter(|_| more).map(|view| view.record.id.to_string());
        Ok(Listed { agents: views, total, next_token: last })
    }

    pub(crate) fn view(&self, id: AgentId, reach: &Reach) -> Option<AgentView> {
        let agents = self.read();
        let record = agents.all.get(&id).filter(|record| agents.reaches(reach, record))?;
        let mut view = agents.view(record);
        if let Some(children) = agents.children_of(reach) {
            view.children = children.get(&id).copied().unwrap_or(0);
        }
        Some(view)
    }

    /// How many agents are in each status.
    pub(crate) fn counts(&self) -> BTreeMap<AgentStatus, usize> {
        let mut counts = BTreeMap::new();
        for record in self.read().all.values() {
            *counts.entry(record.status).or_default() += 1;
        }
        counts
    }
}

impl Agents {
    /// Few when only live ones can match.
    fn candidates(&self, filter: &AgentFilter) -> Box<dyn Iterator<Item = &Arc<AgentRecord>> + '_> {
        match filter.status {
            StatusFilter::Live => Box::new(self.live.keys().filter_map(|id| self.all.get(id))),
            _ => Box::new(self.all.values()),
        }
    }

    /// Whether `filter` wants `record`.
    pub(super) fn wants(&self, filter: &AgentFilter, record: &AgentRecord) -> bool {
        filter.matches(record) && self.reaches(&filter.within, record)
    }

    /// How many children within `reach` each agent has, where that is not all of them: children
    /// may belong to somebody else than their parent does.
    fn children_of(&self, reach: &Reach) -> Option<HashMap<AgentId, usize>> {
        reach.owner()?;
        let mut children = HashMap::new();
        for record in self.all.values().filter(|record| reach.allows_owner(&record.owner)) {
            if let Some(parent) = record.spec.parent {
                *children.entry(parent).or_default() += 1;
            }
        }
        Some(children)
    }

    fn view(&self, record: &Arc<AgentRecord>) -> AgentView {
        let children = self.children.get(&record.id).copied().unwrap_or(0);
        AgentView { record: Arc::clone(record), children }
    }
}

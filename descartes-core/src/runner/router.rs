//! Which runner starts the agents of a backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AgentRunner, CallerProcess, Whereabouts};
use crate::agent::AgentId;
use crate::backend::Backend;

/// The runners of a host: one for every backend that names none, and others by their names.
pub(crate) struct Runners {
    default: Arc<dyn AgentRunner>,
    named: BTreeMap<Arc<str>, Arc<dyn AgentRunner>>,
}

impl Runners {
    pub(crate) fn new(
        default: Arc<dyn AgentRunner>,
        named: BTreeMap<Arc<str>, Arc<dyn AgentRunner>>,
    ) -> Self {
        Self { default, named }
    }

    /// Whether the runner that `backend` names is there.
    pub(crate) fn knows(&self, backend: &Backend) -> bool {
        backend.runner().is_none_or(|name| self.named.contains_key(name))
    }

    /// The runner of `backend`.
    pub(crate) fn of<'a>(&'a self, backend: &'a Backend) -> &'a Arc<dyn AgentRunner> {
        let named = backend.runner().and_then(|name| self.named.get(name));
        named.or(backend.own_runner()).unwrap_or(&self.default)
    }

    /// Tells every runner that the host begins.
    pub(crate) fn begin(&self, instance: u32) {
        self.default.begin(instance);
        self.named.values().for_each(|runner| runner.begin(instance));
    }

    /// Where a process that talks to the host is, seen from the agents of every runner.
    pub(crate) async fn whereabouts(&self, instance: u32, caller: CallerProcess) -> Whereabouts {
        for runner in std::iter::once(&self.default).chain(self.named.values()) {
            let found = runner.whereabouts(instance, caller).await;
            if found != Whereabouts::Outside {
                return found;
            }
        }
        Whereabouts::Outside
    }

    /// Has the default runner end what an earlier host left behind on this machine; the others have
    /// been offered what was theirs.
    pub(crate) async fn sweep_leftovers(
        &self,
        instance: u32,
        agents: &[AgentId],
    ) -> BTreeMap<AgentId, u32> {
        self.default.sweep_leftovers(instance, agents).await
    }
}

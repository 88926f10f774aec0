//! Agents as processes of this machine: started, pumped, signalled, and ended with their tree.
//!
//! One task owns a run. Its processes are found by ancestry, group, session and two marks that
//! they inherit (an environment variable, and a number in a resource limit that survives even
//! `env -i` and `setsid`); one pass over the process table serves everybody who waits for one.
//! The host never runs code between fork and exec.

mod attribution;
mod census;
mod environment;
mod leftovers;
mod lookup;
mod marker;
mod os;
mod pump;
mod registry;
mod run;
mod spawn;
mod stdin;
#[cfg(test)]
mod tests;
mod tree;
mod whereabouts;
mod youth;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::AgentId;
use crate::runner::{
    AgentDriver, AgentRunner, CallerProcess, Launch, LookUp, SpawnError, Started, Whereabouts,
};
use census::Census;
use environment::HostEnvironment;
use registry::Registry;

/// Starts agents as child processes of this one.
///
/// Agents end with their host: what a host that was killed left behind is ended by the next host
/// of the same store, before that is ready.
///
/// ```
/// use descartes_core::process::ProcessRunner;
///
/// // A daemon adopts what leaves its agents' trees, and collects it.
/// let runner = ProcessRunner::new().subreaper(true).pass_env(["SSH_AUTH_SOCK"]);
/// # drop(runner);
/// ```
#[derive(Debug)]
pub struct ProcessRunner {
    shared: Arc<Shared>,
}

/// What the runs of one runner share.
#[derive(Debug)]
struct Shared {
    host: HostEnvironment,
    pass_env: Vec<String>,
    registry: Arc<Registry>,
    census: Census,
    starts: spawn::Starts,
    subreaper: bool,
}

impl ProcessRunner {
    /// A runner whose agents may inherit what is usual from this process's environment.
    #[must_use]
    pub fn new() -> Self {
        os::spare::keep();
        let registry = Arc::new(Registry::default());
        let census = Census::new(Arc::clone(&registry), false);
        let host = HostEnvironment::of(std::env::vars_os());
        let (pass_env, starts, subreaper) = (Vec::new(), spawn::Starts::default(), false);
        let shared = Shared { host, pass_env, registry, census, starts, subreaper };
        Self { shared: Arc::new(shared) }
    }

    /// Makes this whole process the one that orphans of its agents become children of.
    ///
    /// Off by default: it is for a process that starts nothing but agents and calls
    /// [`reap`](Self::reap) when a child has ended, because every other child that has ended would
    /// be collected too. Without it, what leaves an agent's tree becomes a child of another
    /// process; it is still found by its marks when the agent ends.
    #[must_use]
    pub fn subreaper(self, on: bool) -> Self {
        let subreaper = on
            && match os::leader::become_subreaper() {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%error, "orphans of agents cannot be adopted");
                    false
                }
            };
        self.with(|shared| {
            shared.subreaper = subreaper;
            shared.census = Census::new(Arc::clone(&shared.registry), subreaper);
        })
    }

    /// Lets every agent inherit these variables too; a trailing `*` stands for any ending.
    #[must_use]
    pub fn pass_env<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.with(|shared| shared.pass_env.extend(names.into_iter().map(Into::into)))
    }

    /// Collects what was adopted and has ended. Worth calling when a child of the process ended;
    /// it looks at the process table only when somebody waits to be collected.
    pub async fn reap(&self) {
        self.shared.census.reap().await;
    }

    /// The runner is not shared before it is in use.
    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            change(shared);
        }
        self
    }
}

impl Default for ProcessRunner {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl AgentRunner for ProcessRunner {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        let pid = spawn::start(Arc::clone(&self.shared), launch, driver).await?;
        Ok(Started::process(pid))
    }

    fn look_up(&self, launch: &Launch) -> Option<LookUp> {
        Some(spawn::look_up(&self.shared, launch))
    }

    async fn sweep_leftovers(&self, instance: u32, agents: &[AgentId]) -> BTreeMap<AgentId, u32> {
        leftovers::sweep(instance, agents.to_vec()).await
    }

    async fn whereabouts(&self, instance: u32, caller: CallerProcess) -> Whereabouts {
        match caller {
            CallerProcess::Socket { number } => self.shared.census.holder(number).await,
            CallerProcess::Process { pid, seen } => {
                self.shared.registry.settled().await;
                let claims = self.shared.registry.claims();
                let known = whereabouts::Known { instance, host: std::process::id(), claims };
                let look = tokio::task::spawn_blocking(move || known.find_process(pid, seen));
                look.await.unwrap_or(Whereabouts::Unknown)
            }
        }
    }

    fn containment(&self) -> Arc<str> {
        let taggable = os::tag::is_possible();
        match (self.shared.subreaper, taggable) {
            (true, true) => "subreaper+marker",
            (true, false) => "subreaper+marker (environment only)",
            (false, true) => "group+marker",
            (false, false) => "group+marker (environment only)",
        }
        .into()
    }
}

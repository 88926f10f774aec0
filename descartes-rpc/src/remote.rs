//! Agents of another daemon, used like one's own: an [`AgentRunner`] over the typed client.
//!
//! A [`Descartes`](descartes_core::Descartes) that has a [`RemoteRunner`] starts the agents of a
//! backend on another machine. Their handles, events, output and statuses are those of local ones:
//! everything that the other daemon journals of them is journalled here too, byte for byte.
//!
//! What a wire adds, and what becomes of it:
//!
//! - *The remote does not answer.* The agent's activity is `unreachable`, its status stays, and what
//!   is done to it fails with [`ControlError::ConnectionLost`] within a deadline. When the remote is
//!   back, output goes on where it was: nothing is missing, nothing comes twice.
//! - *It is away when an agent is to start.* With a [`StartQueue`] the start waits until the remote is
//!   back, or fails as that queue says; without one it fails at once.
//! - *It stays away.* After [`Builder::lost_after`] the agent is `lost`, for good. Nobody owns what
//!   may still run there: when the remote is back, it is stopped, found by its labels.
//! - *The remote died and was started again.* Its agents died with it, and end here as there: `lost`,
//!   with the reason `host_died`.
//! - *This host died.* The next one takes its agents over and reads what it missed.
//! - *A start whose answer was lost* is repeated with the same idempotency key. If it cannot be told
//!   what became of it, the start has failed, and what it may have started is stopped.
//!
//! Restart policies are this host's; the remote never starts anything again by itself.
//!
//! [`ControlError::ConnectionLost`]: descartes_core::runner::ControlError::ConnectionLost

mod control;
mod exit;
mod follow;
mod label;
mod outlook;
mod queue;
mod reach;
mod run;
mod start;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use descartes_core::agent::{AgentRecord, AgentStatus};
use descartes_core::runner::{Adoption, AgentDriver, AgentRunner, Launch, SpawnError, Started};

use crate::client::Client;
use crate::limits::{REMOTE_DEADLINE, REMOTE_LOST_AFTER, REMOTE_PROBE};

pub use queue::{StartOutcome, StartQueue};
use reach::Remote;
use run::{Place, Run};

/// Starts agents on another machine's daemon. Cheap to clone; clones are one runner.
///
/// Give it to a host as its runner, or beside another one under a name. It carries of a launch:
/// the command line, variables, the directory (the remote's default one when absent), first input,
/// the mode of standard input, limits. Programs and paths are those of the other machine.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use descartes_core::agent::AgentSpec;
/// use descartes_core::backend::Backend;
/// use descartes_core::testing::FakeRunner;
/// use descartes_core::{Descartes, WaitFor};
/// use descartes_rpc::client::Client;
/// use descartes_rpc::remote::RemoteRunner;
/// use descartes_rpc::service::Rpc;
///
/// // The other machine; here it is in the same process.
/// let echo = Arc::new(FakeRunner::echo());
/// let there = Descartes::builder().runner(echo).build().await?;
/// let client = Client::in_memory(Rpc::builder(there).build());
///
/// let far = RemoteRunner::new("far", client);
/// let here = Descartes::builder()
///     .runner(Arc::new(FakeRunner::echo()))
///     .runner_named("far", Arc::new(far))
///     .backend(Backend::process().renamed("far").on("far"))
///     .build()
///     .await?;
/// let mut spec = AgentSpec::backend("far");
/// spec.command = vec!["cat".into()];
/// let id = here.spawn(spec, "me").await?.record.id;
/// here.write_stdin(id, "hello\n".into(), true).await?;
/// let ended = here.wait(id, WaitFor::Exit).await?;
/// assert_eq!(ended.exit.as_ref().and_then(|exit| exit.code), Some(0));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RemoteRunner {
    remote: Arc<Remote>,
}

impl RemoteRunner {
    /// The runner of the remote that this host calls `name`, reached by `client`, with the defaults
    /// of [`Builder`].
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, client: Client) -> Self {
        Self::builder(name, client).build()
    }

    /// Begins a runner of the remote that this host calls `name`, reached by `client`.
    ///
    /// Remotes of one host have different names: agents are marked with it at the remote, are found
    /// again by it, and what bears it and is nobody's is stopped. A name that changes between two
    /// lives of the host loses its agents.
    pub fn builder(name: impl Into<Arc<str>>, client: Client) -> Builder {
        let settings = Settings {
            lost_after: REMOTE_LOST_AFTER,
            deadline: REMOTE_DEADLINE,
            probe: Some(REMOTE_PROBE),
        };
        Builder { name: name.into(), client, settings, starts: None }
    }

    /// What this host calls the remote.
    #[must_use]
    pub fn name(&self) -> &str {
        self.remote.name()
    }

    /// The client that it is reached by.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.remote.client()
    }

    /// Whether the remote answered when it was last asked; true before that.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !self.remote.is_away()
    }
}

/// What may be set about a remote.
#[derive(Clone, Copy, Debug)]
struct Settings {
    lost_after: Duration,
    deadline: Duration,
    /// How often the remote is asked whether it is there; never without.
    probe: Option<Duration>,
}

/// Puts a [`RemoteRunner`] together.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    name: Arc<str>,
    client: Client,
    settings: Settings,
    starts: Option<Arc<dyn StartQueue>>,
}

impl Builder {
    /// How long the remote may not answer before its agents are lost; ten minutes unless this is
    /// called. [`Duration::MAX`] is for ever.
    pub fn lost_after(mut self, lost_after: Duration) -> Self {
        self.settings.lost_after = lost_after;
        self
    }

    /// How long a start or a control may take, beside the grace of a kill; twenty seconds unless
    /// this is called, so that a caller with a daemon's thirty is told why.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// How often the remote is asked whether it is there while it has agents of ours; every five
    /// seconds unless this is called.
    pub fn probe_every(mut self, pause: Duration) -> Self {
        self.settings.probe = Some(pause);
        self
    }

    /// Does not ask the remote whether it is there: that it is away is noticed when a connection to
    /// it ends, or a call to it has no answer.
    pub fn without_probes(mut self) -> Self {
        self.settings.probe = None;
        self
    }

    /// Gives the start of every agent to `queue`, which holds it while the remote is away. Without
    /// one, and for later runs of an agent, a start fails when there is no connection.
    pub fn starts_through(mut self, queue: Arc<dyn StartQueue>) -> Self {
        self.starts = Some(queue);
        self
    }

    /// The runner.
    #[must_use]
    pub fn build(self) -> RemoteRunner {
        let Self { name, client, settings, starts } = self;
        RemoteRunner { remote: Arc::new(Remote::new(name, (client, starts), settings)) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl AgentRunner for RemoteRunner {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        let owned = self.remote.own(launch.agent, launch.run);
        let begun = start::start(&self.remote, &launch).await;
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => {
                if error.is_settled() {
                    owned.release();
                }
                return Err(error.into());
            }
        };
        let reference = label::reference(self.remote.name(), &begun.id);
        let place = Place::begun(launch.agent, launch.run, begun);
        tokio::spawn(Run::new(Arc::clone(&self.remote), owned, place).work(driver));
        Ok(Started::elsewhere(reference))
    }

    async fn adopt(&self, agent: &AgentRecord, driver: AgentDriver) -> Adoption {
        let lost = |reason: &str| Adoption::Lost { reason: reason.into(), swept: 0 };
        if agent.status == AgentStatus::Restarting {
            // What the next run may have begun already is nobody's, and is stopped.
            return lost("its host died between two runs");
        }
        // What an earlier life of the queue has yet to send, or sends again.
        let starting = self.remote.left_behind((agent.id, agent.run));
        let known = agent.reference.as_deref();
        let id = known.and_then(|text| label::id_of(self.remote.name(), text));
        if known.is_some() && id.is_none() {
            return lost("it is an agent of another remote");
        }
        let started = match known {
            Some(reference) => Started::elsewhere(reference),
            None => Started::default(),
        };
        let mut place = Place::unsure(agent.id, agent.run, id);
        place.stopping = agent.status == AgentStatus::Stopping;
        place.starting = starting.filter(|_| known.is_none());
        let owned = self.remote.own(agent.id, agent.run);
        tokio::spawn(Run::new(Arc::clone(&self.remote), owned, place).work(driver));
        Adoption::Adopted(started)
    }

    fn begin(&self, instance: u32) {
        self.remote.begin(instance);
        self.remote.forget_left_behind();
    }

    fn containment(&self) -> Arc<str> {
        "remote".into()
    }
}

impl fmt::Debug for RemoteRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRunner").field("name", &self.name()).finish_non_exhaustive()
    }
}

//! What of a host can be changed while it lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Descartes, StartError};
use crate::backend::{Backend, BasicProgram};
use crate::chat::ChatTimes;
use crate::cost::CostReached;
use crate::dialect::ApprovalMode;
use crate::event::{EventBody, NewEvent, Reloaded, Topic};
use crate::limits::Limits;
use crate::runner::Runners;
use crate::store::Batch;

/// What is kept, and for how long. [`Default`] gives the documented bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// Bytes of output of one agent.
    pub output_bytes_per_agent: u64,
    /// Bytes of output in all.
    pub output_bytes_total: u64,
    /// Ended agents.
    pub ended_agents: usize,
    /// How long ended agents are kept.
    pub ended_age: Duration,
    /// How long chats are kept in which nothing happens and of which nothing runs.
    pub chats_age: Duration,
    /// Bytes of events of one chat: the newest.
    pub chat_bytes: u64,
    /// How long events other than output and audit are kept.
    pub events_age: Duration,
    /// How long events of audit are kept.
    pub audit_age: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self {
            output_bytes_per_agent: 256 << 20,
            output_bytes_total: 10 << 30,
            ended_agents: 10_000,
            ended_age: days(30),
            chats_age: days(90),
            chat_bytes: 64 << 20,
            events_age: days(90),
            audit_age: days(365),
        }
    }
}

/// What of a host can be changed while it lives. [`Default`] gives the documented values.
///
/// Each call works with one state of them from its beginning to its end, and what has begun goes on
/// as it was begun: a run with its backend, a wait with its deadline.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The bounds. That of the hot ring is for the next host: this one keeps what it began with.
    pub limits: Limits,
    /// What is kept, and for how long.
    pub retention: RetentionPolicy,
    /// What the agents of one owner may cost in a day, in USD; as much as they do when absent. What
    /// runs goes on to the end of its turn; prompts are refused until enough of it is a day old.
    pub cost_usd_per_day: Option<f64>,
    /// How patient chats are.
    pub chat_times: ChatTimes,
    /// What happens when agents ask, in chats that do not say.
    pub approval_mode: ApprovalMode,
    /// Whether what nobody has decided in time is allowed.
    pub allow_undecided: bool,
    /// Whether what nobody can be expected to decide ([`Descartes::attendance`]) is denied at once.
    pub deny_when_unattended: bool,
    /// The backend of agents that name none.
    pub default_backend: Option<Arc<str>>,
    /// The backend of chats that name none; that of agents when absent.
    pub chat_backend: Option<Arc<str>>,
    /// The working directory of agents that name none.
    pub default_dir: Option<PathBuf>,
    /// The program of the backend `basic`.
    pub basic: Option<BasicProgram>,
    /// Backends beside those that are known; of several with one name the last counts.
    pub backends: Vec<Backend>,
}

impl Settings {
    /// With the backends that are known, each name once.
    pub(super) fn completed(mut self) -> Self {
        let mut backends =
            vec![Backend::process(), Backend::basic(self.basic.clone()), Backend::replay_file()];
        backends.extend(Backend::known());
        for backend in self.backends {
            backends.retain(|known| known.name() != backend.name());
            backends.push(backend);
        }
        self.backends = backends;
        self
    }

    /// Refuses a backend whose runner is not one of `runners`.
    pub(super) fn check(&self, runners: &Runners) -> Result<(), StartError> {
        match self.backends.iter().find(|backend| !runners.knows(backend)) {
            None => Ok(()),
            Some(backend) => Err(StartError::UnknownRunner {
                backend: Arc::clone(backend.name()),
                runner: backend.runner().unwrap_or_default().into(),
            }),
        }
    }
}

impl Core {
    /// What is in force now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load()
    }

    /// Whether the agents of `owner` may cost more.
    pub(crate) fn afford(&self, owner: &str) -> Result<(), CostReached> {
        let Some(most) = self.settings().cost_usd_per_day else { return Ok(()) };
        self.costs.check(owner, most, self.clock.now())
    }
}

impl Descartes {
    /// What is in force now, with the backends that are known among `backends`.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.core.settings()
    }

    /// Puts other settings in force, all at once; agents and connections stay.
    ///
    /// # Errors
    /// When a backend names a runner that there is not: then nothing is changed.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), StartError> {
        let settings = settings.completed();
        settings.check(&self.core.runners)?;
        self.core.settings.store(settings);
        Ok(())
    }

    /// Whether the agents of `owner` have cost less than they may in a day
    /// ([`Settings::cost_usd_per_day`]), as far as programs tell. Prompts are checked without it.
    ///
    /// # Errors
    /// When they have not.
    pub fn afford(&self, owner: &str) -> Result<(), CostReached> {
        self.core.afford(owner)
    }

    /// Says in the journal that the application has put another configuration in force.
    ///
    /// A store that cannot write does not undo that: it is logged.
    pub async fn note_reload(&self, by: impl Into<Arc<str>>, reloaded: Reloaded) {
        let (now, body) = (self.core.clock.now(), EventBody::SystemReloaded(reloaded));
        let event = NewEvent::new(Topic::system(), by.into(), now, &body);
        if let Err(error) = self.core.journal.commit(Batch::control().event(event)).await {
            tracing::warn!(%error, "that the configuration was reloaded could not be written");
        }
    }
}

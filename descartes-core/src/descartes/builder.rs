//! Putting a [`Descartes`] together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::{Core, Descartes, RetentionPolicy, Settings, maintain, recover};
use crate::action::{ActionContext, ActionError, Actions};
use crate::agent::registry::Registry;
use crate::approval::Attendance;
use crate::backend::{Backend, BasicProgram, Probes};
use crate::chat::{ChatManager, ChatTimes, Chats, DefaultChatManager};
use crate::cost::Costs;
use crate::dialect::ApprovalMode;
use crate::idempotency::Idempotency;
use crate::journal::Journal;
use crate::limits::Limits;
use crate::runner::{AgentRunner, Runners};
use crate::secrets::Secrets;
use crate::store::format::FormatError;
use crate::store::{MemoryStore, StateStore, StoreError};
use crate::swap::Swap;
use crate::tally::Tally;
use crate::time::Clock;
use crate::trace::Tracer;

/// Puts a [`Descartes`] together.
#[derive(Default)]
pub struct Builder {
    store: Option<Arc<dyn StateStore>>,
    runner: Option<Arc<dyn AgentRunner>>,
    actions: Actions,
    named: BTreeMap<Arc<str>, Arc<dyn AgentRunner>>,
    settings: Settings,
    secrets: Option<PathBuf>,
    chat_manager: Option<Arc<dyn ChatManager>>,
    tracer: Option<Arc<dyn Tracer>>,
    clock: Clock,
    version: Option<Arc<str>>,
}

/// Why a host could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store failed.
    #[error("could not read what the store holds")]
    Store(#[from] StoreError),
    /// A document of the store is not of a shape that this version reads.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No runner was given, and this build has none of its own.
    #[error("no runner was given")]
    NoRunner,
    /// A backend names a runner that was not given.
    #[error("the backend `{backend}` names the runner `{runner}`, which there is not")]
    UnknownRunner {
        /// Which backend.
        backend: Arc<str>,
        /// Which runner.
        runner: Arc<str>,
    },
}

impl Builder {
    /// Keeps everything in `store`; in memory when not said.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn StateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Starts agents with `runner`; as local processes when not said.
    #[must_use]
    pub fn runner(mut self, runner: Arc<dyn AgentRunner>) -> Self {
        self.runner = Some(runner);
        self
    }

    /// Adds a runner beside the default one, for the backends that name it
    /// ([`Backend::on`]).
    ///
    /// The host's default directory is not for its agents: it may be one of another machine.
    #[must_use]
    pub fn runner_named(mut self, name: impl Into<Arc<str>>, runner: Arc<dyn AgentRunner>) -> Self {
        self.named.insert(name.into(), runner);
        self
    }

    /// Adds a backend; one of the same name is replaced.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.settings.backends.push(backend);
        self
    }

    /// Registers an action, which clients run on an agent with `agent.action`; one of the same name
    /// is replaced. `about` is one sentence for people.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use descartes_core::Descartes;
    /// use descartes_core::action::{ActionContext, ActionError};
    /// use descartes_core::agent::AgentSpec;
    ///
    /// async fn label(context: ActionContext) -> Result<String, ActionError> {
    ///     let [name]: [String; 1] = context.params()?;
    ///     let label = context.agent.spec.labels.get(&name);
    ///     label.cloned().ok_or_else(|| ActionError::Failed(format!("no label {name}")))
    /// }
    ///
    /// let descartes = Descartes::builder().action("label", "Reads a label.", label).build().await?;
    /// let mut spec = AgentSpec::command(["/bin/sleep", "60"]);
    /// spec.labels.insert("team".into(), "blue".into());
    /// let agent = descartes.spawn(spec, "me").await?.record.id;
    /// // Over a transport: agent.action {"agent_id": …, "action": "label", "params": ["team"]}
    /// let params = serde_json::value::to_raw_value(&["team"])?;
    /// let limit = Duration::from_secs(5);
    /// let data = descartes.run_action(agent, ("label", Some(params)), limit, "me").await?;
    /// assert_eq!(data.get(), "\"blue\"");
    /// # descartes.shutdown().await; Ok(()) }
    /// ```
    #[must_use]
    pub fn action<F, R>(
        mut self,
        name: impl Into<Arc<str>>,
        about: impl Into<Arc<str>>,
        run: impl Fn(ActionContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, ActionError>> + Send + 'static,
        R: serde::Serialize,
    {
        self.actions.add(name.into(), about.into(), run);
        self
    }

    /// Provides the program of the backend `basic`.
    #[must_use]
    pub fn basic(mut self, program: BasicProgram) -> Self {
        self.settings.basic = Some(program);
        self
    }

    /// The backend of agents that name none.
    #[must_use]
    pub fn default_backend(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.default_backend = Some(name.into());
        self
    }

    /// The working directory of agents that name none.
    #[must_use]
    pub fn default_dir(mut self, directory: PathBuf) -> Self {
        self.settings.default_dir = Some(directory);
        self
    }

    /// Keeps values of `env` in files of this directory, so that agents can be started again
    /// after a restart of the host; in memory when not said.
    #[must_use]
    pub fn secrets_dir(mut self, directory: PathBuf) -> Self {
        self.secrets = Some(directory);
        self
    }

    /// All that can be changed while the host lives ([`Descartes::reconfigure`]), in place of what
    /// was said of it before.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Another retention than the default one.
    #[must_use]
    pub fn retention(mut self, retention: RetentionPolicy) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Has `manager` decide what becomes of what is asked of chats; every prompt goes to the chat's
    /// agent when not said.
    #[must_use]
    pub fn chat_manager(mut self, manager: Arc<dyn ChatManager>) -> Self {
        self.chat_manager = Some(manager);
        self
    }

    /// Tells `tracer` of agents, turns and uses of tools as spans; nobody when not said.
    #[must_use]
    pub fn tracer(mut self, tracer: Arc<dyn Tracer>) -> Self {
        self.tracer = Some(tracer);
        self
    }

    /// Other waits of chats than the default ones.
    #[must_use]
    pub fn chat_times(mut self, times: ChatTimes) -> Self {
        self.settings.chat_times = times;
        self
    }

    /// What happens when agents ask, in chats that do not say; somebody is asked when not said.
    #[must_use]
    pub fn approval_mode(mut self, mode: ApprovalMode) -> Self {
        self.settings.approval_mode = mode;
        self
    }

    /// Allows what nobody has decided in time; it is denied when not said.
    #[must_use]
    pub fn allow_undecided(mut self, allow: bool) -> Self {
        self.settings.allow_undecided = allow;
        self
    }

    /// The backend of chats that name none; that of agents when not said.
    #[must_use]
    pub fn chat_backend(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.chat_backend = Some(name.into());
        self
    }

    /// Denies at once what nobody can be expected to decide
    /// ([`Descartes::attendance`]).
    #[must_use]
    pub fn deny_when_unattended(mut self, deny: bool) -> Self {
        self.settings.deny_when_unattended = deny;
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The version of the application, for `system.started`.
    #[must_use]
    pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Reads what the store holds, ends what an earlier host left behind, and begins.
    ///
    /// Must be called within a tokio runtime, whose tasks the agents then are.
    ///
    /// # Errors
    /// When the store cannot be read, or a backend names a runner that there is not.
    pub async fn build(self) -> Result<Descartes, StartError> {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let runner = self.runner.or_else(default_runner).ok_or(StartError::NoRunner)?;
        let (runners, settings) = (Runners::new(runner, self.named), self.settings.completed());
        settings.check(&runners)?;
        let journal = Journal::start(store, settings.limits.hot_ring_bytes, self.clock.clone());
        let settings = Swap::new(settings);
        let idempotency = Idempotency::new(journal.clone(), self.clock.clone(), settings.clone());
        let core = Arc::new(Core {
            journal,
            runners,
            registry: Arc::new(Registry::default()),
            clock: self.clock,
            actions: self.actions,
            chats: Chats::default(),
            chat_manager: self.chat_manager.unwrap_or_else(|| Arc::new(DefaultChatManager)),
            attendance: Attendance::default(),
            probes: Probes::default(),
            secrets: self
                .secrets
                .map_or_else(Secrets::memory, |folder| Secrets::Folder(Arc::new(folder))),
            idempotency,
            settings,
            tally: Tally::default(),
            costs: Costs::default(),
            tracer: self.tracer,
            version: self.version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
            started: Instant::now(),
            draining: false.into(),
            maintenance: Mutex::new(None),
        });
        recover::recover(&core).await?;
        maintain::start(&core);
        Ok(Descartes { core })
    }
}

#[cfg(feature = "process")]
#[expect(clippy::unnecessary_wraps, reason = "there is none without the feature")]
fn default_runner() -> Option<Arc<dyn AgentRunner>> {
    Some(Arc::new(crate::process::ProcessRunner::new()))
}

#[cfg(not(feature = "process"))]
fn default_runner() -> Option<Arc<dyn AgentRunner>> {
    None
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

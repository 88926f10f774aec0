//! Runners: what starts agents somewhere and moves their bytes.
//!
//! A runner moves bytes and controls and knows no dialect, no journal and no policy. It is given
//! an [`AgentDriver`] for each run and keeps it until the run has ended.

mod control;
mod driver;
mod router;
mod whereabouts;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

pub use control::{
    Control, ControlError, ControlOutcome, ControlRequest, Controls, Signal, StdinError,
};
pub use driver::{AgentDriver, AgentEvents, OutputHandle, RunExit};
pub(crate) use router::Runners;
pub use whereabouts::{CallerProcess, Whereabouts};

use crate::agent::{AgentId, AgentLimits, AgentRecord, StdinMode};

/// Starts agents. Held as `Arc<dyn AgentRunner>`, called once for each run.
///
/// ```
/// use descartes_core::runner::{AgentDriver, AgentRunner, Launch, RunExit, SpawnError, Started};
/// use descartes_core::event::StreamName;
///
/// /// An agent that says hello and ends.
/// struct Hello;
///
/// #[async_trait::async_trait]
/// impl AgentRunner for Hello {
///     async fn spawn(&self, _: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
///         tokio::spawn(async move {
///             let (_controls, events) = driver.split();
///             events.output(StreamName::Stdout, 0, b"hello\n").await;
///             events.exited(RunExit::code(0)).await;
///         });
///         Ok(Started::default())
///     }
/// }
/// ```
#[async_trait]
pub trait AgentRunner: Send + Sync + 'static {
    /// Starts `launch` and moves `driver` into the task that owns the run.
    ///
    /// Returns once the agent can take input. Called from the agent's own task, never twice at
    /// once for one agent; other agents' calls run concurrently, so it must not block the thread
    /// for longer than a program takes to start. A dropped future must leave nothing running.
    ///
    /// # Errors
    /// Why nothing was started. Nothing may be left behind then.
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError>;

    /// Takes over an agent that outlived its host (held, remote).
    ///
    /// Called once for each record that was live, before the host is ready. The default cannot.
    async fn adopt(&self, agent: &AgentRecord, driver: AgentDriver) -> Adoption {
        let _ = (agent, driver);
        Adoption::Lost { reason: "this runner cannot adopt".into(), swept: 0 }
    }

    /// Ends whatever an earlier host of this `instance` left running, before the host is ready.
    ///
    /// `agents` are those whose records were live. Returns how many processes were killed for
    /// each. The default knows of none.
    async fn sweep_leftovers(&self, instance: u32, agents: &[AgentId]) -> BTreeMap<AgentId, u32> {
        let _ = (instance, agents);
        BTreeMap::new()
    }

    /// The host, whose store has the number `instance`, begins: every record that was live has been
    /// offered for adoption, and no agent was started yet. Called once; must not wait for anybody.
    ///
    /// The default does nothing.
    fn begin(&self, instance: u32) {
        let _ = instance;
    }

    /// What it can tell of `launch` without starting it. May block as long as files take.
    ///
    /// The default can tell nothing, as one whose programs are elsewhere.
    fn look_up(&self, launch: &Launch) -> Option<LookUp> {
        let _ = launch;
        None
    }

    /// Whether a process that talks to the host is one of an agent's of `instance`.
    ///
    /// Asked once for each connection from this machine while agents live; it may look at the
    /// processes of the machine, but must not wait for any. What is said here decides what the
    /// process may do. The default is for a runner whose agents run elsewhere: none is.
    async fn whereabouts(&self, instance: u32, caller: CallerProcess) -> Whereabouts {
        let _ = (instance, caller);
        Whereabouts::Outside
    }

    /// By what means this runner finds an agent's tree, as `agent.get` shows it.
    fn containment(&self) -> Arc<str> {
        "none".into()
    }
}

/// What to start: everything that a runner needs, with nothing left to look up but the program.
#[derive(Clone)]
#[non_exhaustive]
pub struct Launch {
    /// The host's store, which marks every process it starts.
    pub instance: u32,
    /// Which agent.
    pub agent: AgentId,
    /// Which run of it, from 1.
    pub run: u32,
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// The name the program is given as its zeroth argument, when not `argv[0]`.
    pub arg0: Option<String>,
    /// Variables set for it. Values are secrets.
    pub env: BTreeMap<String, String>,
    /// Names, or prefixes ending in `*`, of variables it inherits from the host.
    pub pass_env: Vec<String>,
    /// The working directory, absolute; the host's own when absent.
    pub cwd: Option<PathBuf>,
    /// Bytes that standard input begins with.
    pub first_input: Vec<u8>,
    /// Whether standard input stays open behind them.
    pub stdin: StdinMode,
    /// Bounds of the run that a runner may enforce better than core.
    pub limits: AgentLimits,
}

impl Launch {
    /// A launch of `argv` with nothing else set.
    #[must_use]
    pub fn new(instance: u32, (agent, run): (AgentId, u32), argv: Vec<String>) -> Self {
        Self {
            instance,
            agent,
            run,
            argv,
            arg0: None,
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            cwd: None,
            first_input: Vec::new(),
            stdin: StdinMode::Open,
            limits: AgentLimits::default(),
        }
    }
}

/// Shows names of variables, never their values.
impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("agent", &self.agent)
            .field("run", &self.run)
            .field("argv", &self.argv)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// What a runner can tell of a launch without starting it.
#[non_exhaustive]
pub struct LookUp {
    /// The program that would be started.
    pub program: Result<PathBuf, SpawnError>,
    /// Changes whenever another file is there, or other contents.
    pub stamp: [u64; 4],
    /// The variables that it would have. Values are secrets.
    pub env: BTreeMap<OsString, OsString>,
}

impl LookUp {
    /// `program` would be started, whose file has `stamp`, with `env`.
    #[must_use]
    pub fn new(
        program: Result<PathBuf, SpawnError>,
        stamp: [u64; 4],
        env: BTreeMap<OsString, OsString>,
    ) -> Self {
        Self { program, stamp, env }
    }
}

/// Shows names of variables, never their values.
impl std::fmt::Debug for LookUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookUp")
            .field("program", &self.program)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// Its process, where it is one of this machine.
    pub pid: Option<u32>,
    /// What the runner calls it (a pod, a holder); stored and shown.
    pub reference: Option<Arc<str>>,
}

impl Started {
    /// The process `pid` of this machine.
    #[must_use]
    pub fn process(pid: u32) -> Self {
        Self { pid: Some(pid), reference: None }
    }

    /// Something that is no process of this machine, and what the runner calls it.
    #[must_use]
    pub fn elsewhere(reference: impl Into<Arc<str>>) -> Self {
        Self { pid: None, reference: Some(reference.into()) }
    }
}

/// What became of an agent that was live when the host died.
#[derive(Debug)]
#[non_exhaustive]
pub enum Adoption {
    /// It runs, and the driver is in use.
    Adopted(Started),
    /// It is gone.
    Lost {
        /// Why, for people.
        reason: Arc<str>,
        /// Processes of it that had to be killed.
        swept: u32,
    },
}

/// Where a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpawnStage {
    /// The program was not found.
    Lookup,
    /// The working directory cannot be used.
    Directory,
    /// The system would not execute it.
    Exec,
    /// The machine that was to run it did not answer, or refused.
    Remote,
}

impl SpawnStage {
    /// The stage's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Directory => "directory",
            Self::Exec => "exec",
            Self::Remote => "remote",
        }
    }
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not start `{program}`")]
#[non_exhaustive]
pub struct SpawnError {
    /// The program as it was asked for.
    pub program: String,
    /// Where it failed.
    pub stage: SpawnStage,
    /// Where it was looked for.
    pub searched: Vec<PathBuf>,
    /// The working directory it was to have.
    pub cwd: Option<PathBuf>,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

impl SpawnError {
    /// `program` failed in `stage`.
    #[must_use]
    pub fn new(program: impl Into<String>, stage: SpawnStage, source: std::io::Error) -> Self {
        Self { program: program.into(), stage, searched: Vec::new(), cwd: None, source }
    }
}

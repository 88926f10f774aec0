//! Backends: named recipes for starting agent programs.

mod login;
mod probe;
mod recipes;
mod replay;
mod settings;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::agent::{AgentError, AgentId, AgentSpec, SpecError, StdinMode};
use crate::dialect::{ApprovalMode, Basic, Dialect, Lines, PauseWords};
use crate::runner::{AgentRunner, Launch};

use login::Signs;
pub(crate) use probe::Probes;
pub use settings::{BackendSettings, CapabilitySettings, SettingsError};
pub use status::{BackendStatus, BackendTrouble, Capabilities, Login};

/// A named recipe: which program, how it is started, how it is talked to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    name: Arc<str>,
    recipe: Recipe,
    program: Arc<Program>,
    runner: Option<Arc<str>>,
    /// What somebody who knows it better says of it.
    said: Arc<CapabilitySettings>,
}

/// The parameter that says what happens when the agent of a chat asks.
pub(crate) const CHAT_APPROVALS: &str = "approvals";
/// The same of an agent that is begun by itself.
pub(crate) const AGENT_APPROVALS: &str = "config.approvals";

/// What is started.
#[derive(Clone, Default)]
struct Program {
    /// It and its first arguments; the specification's when empty.
    command: Vec<String>,
    /// Variables that it needs, beside those that are passed on.
    env: BTreeMap<String, String>,
    /// Variables of the host that it needs, beside those that every agent inherits.
    pass: Vec<String>,
    /// With these arguments it says its version and ends; none where that is not known.
    version: &'static [&'static str],
    /// By what its login is told; none where nobody knows.
    signs: Option<&'static Signs>,
    /// How to install it; empty where nobody knows.
    install: &'static str,
}

/// Shows names of variables, never their values.
impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("command", &self.command)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("pass", &self.pass)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Recipe {
    /// A command line that nobody converses with.
    Process,
    /// The bundled agent.
    Basic(Option<BasicProgram>),
    /// A program that one can converse with.
    Conversing(Arc<Conversing>),
    /// A recording of one.
    Replay(replay::Replay),
}

/// How to converse with a program.
struct Conversing {
    dialect: &'static str,
    make: Box<dyn Fn() -> Box<dyn Dialect> + Send + Sync>,
}

impl std::fmt::Debug for Conversing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Conversing").field(&self.dialect).finish()
    }
}

/// The bundled agent's program, which the host provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicProgram {
    /// The file to execute.
    pub program: PathBuf,
    /// The name to execute it under, by which it knows what it is.
    pub arg0: String,
}

impl Backend {
    /// Any command line.
    #[must_use]
    pub fn process() -> Self {
        Self::of("process", Recipe::Process, Program::default())
    }

    /// The bundled agent; unavailable where the host provides no program.
    #[must_use]
    pub fn basic(program: Option<BasicProgram>) -> Self {
        Self::of("basic", Recipe::Basic(program), Program::default())
    }

    /// A program that one can converse with in the dialect that `make` makes, called `dialect`.
    /// `command` is the program and its first arguments; empty where each agent brings its own.
    #[must_use]
    pub fn conversing(
        name: impl Into<Arc<str>>,
        command: Vec<String>,
        dialect: &'static str,
        make: impl Fn() -> Box<dyn Dialect> + Send + Sync + 'static,
    ) -> Self {
        let recipe = Recipe::Conversing(Arc::new(Conversing { dialect, make: Box::new(make) }));
        Self::of(name, recipe, Program { command, ..Program::default() })
    }

    fn of(name: impl Into<Arc<str>>, recipe: Recipe, program: Program) -> Self {
        let (program, said) = (Arc::new(program), Arc::default());
        Self { name: name.into(), recipe, program, runner: None, said }
    }

    /// Whether one can converse with its agents.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        self.capabilities().turns
    }

    /// Whether its agents always have a chat. The bundled agent has one only if it is asked in one.
    pub(crate) fn always_converses(&self) -> bool {
        matches!(self.recipe, Recipe::Conversing(_) | Recipe::Replay(_)) && self.has_turns()
    }

    /// What can be done with its agents.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.said.over(match &self.recipe {
            Recipe::Conversing(conversing) => (conversing.make)().capabilities(),
            Recipe::Basic(_) => Capabilities { pause: true, ..Basic::new().capabilities() },
            Recipe::Replay(_) => replay::CAPABILITIES,
            Recipe::Process => Capabilities::default(),
        })
    }

    /// The same recipe under another name.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The same recipe, whose agents are started by the runner that the host knows by this name
    /// ([`Builder::runner_named`](crate::Builder::runner_named)).
    #[must_use]
    pub fn on(mut self, runner: impl Into<Arc<str>>) -> Self {
        self.runner = Some(runner.into());
        self
    }

    /// The name of its runner, unless that is the host's default one.
    #[must_use]
    pub fn runner(&self) -> Option<&str> {
        self.runner.as_deref()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the host provides what it needs.
    pub(crate) fn is_provided(&self) -> bool {
        match &self.recipe {
            Recipe::Basic(None) => false,
            // Without a program of its own each agent brings one.
            Recipe::Process
            | Recipe::Basic(Some(_))
            | Recipe::Conversing(_)
            | Recipe::Replay(_) => true,
        }
    }

    /// Whether it may be meant by those who name no backend: an agent whose program is there, as
    /// far as `runner`, which starts it, can tell.
    pub(crate) fn is_choice(&self, runner: &dyn AgentRunner) -> bool {
        match &self.recipe {
            // `process` is no agent by itself; those of another name are somebody's.
            Recipe::Process => &*self.name != "process",
            // What was recorded is not what anybody means by saying nothing.
            Recipe::Replay(_) => false,
            Recipe::Basic(program) => program.is_some(),
            Recipe::Conversing(_) => {
                let found = self.asks_version(0).and_then(|launch| runner.look_up(&launch));
                found.is_some_and(|found| found.program.is_ok())
            }
        }
    }

    /// Checks what the recipe needs of a specification.
    pub(crate) fn check(&self, spec: &AgentSpec) -> Result<(), SpecError> {
        let brings = !self.program.command.is_empty();
        match &self.recipe {
            Recipe::Process if !brings && spec.command.first().is_none_or(String::is_empty) => {
                Err(SpecError::new("config.command", "a program and its arguments"))
            }
            Recipe::Basic(_) if !spec.command.is_empty() => {
                Err(SpecError::new("config.command", "nothing: `basic` brings its own program"))
            }
            Recipe::Conversing(_) if !brings && spec.command.is_empty() => {
                Err(SpecError::new("config.command", "the agent's program and its arguments"))
            }
            Recipe::Replay(replay) => replay.check(spec),
            _ => Ok(()),
        }
    }

    /// Checks that `mode` means with its program what it says; `path` is the parameter that says so.
    pub(crate) fn check_approvals(
        &self,
        mode: ApprovalMode,
        path: &'static str,
    ) -> Result<(), AgentError> {
        let offered = match &self.recipe {
            // One of which it is said that it cannot be asked is hindered by nothing.
            _ if self.said.approvals == Some(false) => Lines::new().approval_modes(),
            Recipe::Conversing(conversing) => (conversing.make)().approval_modes(),
            // It asks in chats alone.
            Recipe::Basic(_) if path == CHAT_APPROVALS => Basic::new().approval_modes(),
            Recipe::Basic(_) | Recipe::Process => Lines::new().approval_modes(),
            // Another mode than was recorded shows in what the agent is told.
            Recipe::Replay(_) => &ApprovalMode::ALL,
        };
        if offered.contains(&mode) {
            return Ok(());
        }
        let backend = Arc::clone(&self.name);
        Err(AgentError::ApprovalMode { backend, mode, offered, path })
    }

    /// What to start for run `run` of an agent that was asked to be `spec`.
    pub(crate) fn launch(&self, instance: u32, run: (AgentId, u32), spec: &AgentSpec) -> Launch {
        let mut argv = match &self.recipe {
            Recipe::Replay(_) if spec.command.is_empty() => vec![self.name.to_string()],
            Recipe::Basic(Some(basic)) => vec![basic.program.to_string_lossy().into_owned()],
            _ => self.program.command.iter().chain(&spec.command).cloned().collect(),
        };
        argv.extend(spec.args.iter().cloned());
        let mut launch = self.with_environment(Launch::new(instance, run, argv));
        if let Recipe::Basic(Some(basic)) = &self.recipe {
            launch.arg0 = Some(basic.arg0.clone());
        }
        launch.cwd.clone_from(&spec.cwd);
        launch.stdin = spec.stdin;
        launch.limits = spec.limits;
        if let Some(task) = spec.task.as_ref().filter(|_| !self.always_converses()) {
            launch.first_input = format!("{task}\n").into_bytes();
        }
        launch
    }

    /// What to start to be told the version of its program; without a program of its own none.
    fn asks_version(&self, instance: u32) -> Option<Launch> {
        let mut argv = vec![self.program.command.first()?.clone()];
        argv.extend(self.program.version.iter().map(|word| (*word).to_owned()));
        let run = (AgentId::generate(), 1);
        let mut launch = self.with_environment(Launch::new(instance, run, argv));
        launch.stdin = StdinMode::Closed;
        Some(launch)
    }

    fn with_environment(&self, mut launch: Launch) -> Launch {
        launch.env.clone_from(&self.program.env);
        // On another machine there is nothing of this one to inherit.
        if self.runner.is_none() {
            launch.pass_env.clone_from(&self.program.pass);
        }
        launch
    }

    /// The dialect of its program, where that says anything that core must understand.
    pub(crate) fn dialect(&self) -> Option<Box<dyn Dialect>> {
        let pauses = self.capabilities().pause;
        match self.recipe {
            Recipe::Process | Recipe::Basic(_) if pauses => {
                Some(Box::new(Lines::with_pause(PauseWords::basic())))
            }
            _ => None,
        }
    }
}

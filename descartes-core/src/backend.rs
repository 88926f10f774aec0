//! Backends: named recipes for starting agent programs.

mod recipes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::agent::{AgentError, AgentId, AgentSpec, SpecError};
use crate::chat::SessionMaker;
use crate::dialect::{ApprovalMode, Basic, Dialect, Lines, PauseWords};
use crate::runner::Launch;

/// A named recipe: which program, how it is started, how it is talked to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    name: Arc<str>,
    recipe: Recipe,
    runner: Option<Arc<str>>,
}

impl Conversing {
    /// Where its program is, if it is there.
    fn program(&self) -> Option<PathBuf> {
        let program = self.command.first()?;
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|path| path.is_file());
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
    }
}

/// The parameter that says what happens when the agent of a chat asks.
pub(crate) const CHAT_APPROVALS: &str = "approvals";
/// The same of an agent that is begun by itself.
pub(crate) const AGENT_APPROVALS: &str = "config.approvals";

/// What [`BackendStatus::runner`] says of backends that name no runner.
const DEFAULT_RUNNER: &str = "process";

#[derive(Clone, Debug)]
enum Recipe {
    /// The command line is the specification's.
    Process,
    /// The bundled agent.
    Basic(Option<BasicProgram>),
    /// A program that one can converse with.
    Conversing(Arc<Conversing>),
}

/// A program that one can converse with.
struct Conversing {
    /// It and its first arguments; the specification's when empty.
    command: Vec<String>,
    /// Variables that it needs, beside those that are passed on.
    env: BTreeMap<String, String>,
    /// Variables of the host that it needs, beside those that every agent inherits.
    pass: Vec<String>,
    dialect: &'static str,
    /// How to install it; empty where nobody knows.
    install: &'static str,
    make: Box<dyn Fn() -> Box<dyn Dialect> + Send + Sync>,
}

impl std::fmt::Debug for Conversing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, dialect, .. } = self;
        f.debug_struct("Conversing")
            .field("command", command)
            .field("dialect", dialect)
            .finish_non_exhaustive()
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

/// What a backend can do, and whether it can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its name.
    pub name: Arc<str>,
    /// How its program is talked to.
    pub dialect: &'static str,
    /// What starts it.
    pub runner: Arc<str>,
    /// Whether it can be used here.
    pub available: bool,
    /// Why not.
    pub reason: Option<&'static str>,
    /// The program it starts, where that is fixed.
    pub program: Option<PathBuf>,
    /// How to install it, where that is known.
    pub install_hint: Option<&'static str>,
    /// What can be done with it.
    pub capabilities: Capabilities,
}

/// What can be done with the agents of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It takes one prompt after another and says when it is done with each.
    pub turns: bool,
    /// A conversation can go on in another process.
    pub resume: bool,
    /// It asks before it does what may not be wanted.
    pub approvals: bool,
    /// A turn can be cancelled without ending the process.
    pub cancel: bool,
    /// The model can be chosen.
    pub models: bool,
    /// It understands being asked to pause.
    pub pause: bool,
}

impl Backend {
    /// Any command line.
    #[must_use]
    pub fn process() -> Self {
        Self { name: "process".into(), recipe: Recipe::Process, runner: None }
    }

    /// The bundled agent; unavailable where the host provides no program.
    #[must_use]
    pub fn basic(program: Option<BasicProgram>) -> Self {
        Self { name: "basic".into(), recipe: Recipe::Basic(program), runner: None }
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
        let make = Box::new(make);
        let (env, pass) = (BTreeMap::new(), Vec::new());
        Self::of(name, Conversing { command, env, pass, dialect, install: "", make })
    }

    fn of(name: impl Into<Arc<str>>, conversing: Conversing) -> Self {
        let recipe = Recipe::Conversing(Arc::new(conversing));
        Self { name: name.into(), recipe, runner: None }
    }

    /// Whether one can converse with its agents.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        matches!(self.recipe, Recipe::Conversing(_) | Recipe::Basic(_))
    }

    /// Whether its agents always have a chat. The bundled agent has one only if it is asked in one.
    pub(crate) fn always_converses(&self) -> bool {
        matches!(self.recipe, Recipe::Conversing(_))
    }

    /// Makes the dialects of a chat's processes; those of a backend that is no longer there
    /// understand nothing.
    pub(crate) fn session_maker(backend: Option<Self>) -> SessionMaker {
        Box::new(move || match backend.as_ref().map(|backend| &backend.recipe) {
            Some(Recipe::Conversing(conversing)) => (conversing.make)(),
            Some(Recipe::Basic(_)) => Box::new(Basic::new()),
            _ => Box::new(Lines::new()),
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

    /// What it can do, and whether it can be used here.
    #[must_use]
    pub fn status(&self) -> BackendStatus {
        let (program, reason) = match &self.recipe {
            Recipe::Process => (None, None),
            Recipe::Conversing(conversing) if conversing.command.is_empty() => (None, None),
            Recipe::Conversing(conversing) => {
                let found = conversing.program();
                let reason = found.is_none().then_some("not_found");
                (found.or_else(|| conversing.command.first().map(PathBuf::from)), reason)
            }
            Recipe::Basic(None) => (None, Some("not_found")),
            Recipe::Basic(Some(basic)) if basic.program.exists() => {
                (Some(basic.program.clone()), None)
            }
            Recipe::Basic(Some(basic)) => (Some(basic.program.clone()), Some("not_found")),
        };
        BackendStatus {
            name: Arc::clone(&self.name),
            dialect: match &self.recipe {
                Recipe::Conversing(conversing) => conversing.dialect,
                _ => "lines",
            },
            runner: self.runner.clone().unwrap_or_else(|| DEFAULT_RUNNER.into()),
            available: reason.is_none(),
            reason,
            program,
            install_hint: match &self.recipe {
                Recipe::Conversing(conversing) if !conversing.install.is_empty() => {
                    Some(conversing.install)
                }
                _ => None,
            },
            capabilities: match &self.recipe {
                Recipe::Conversing(conversing) => (conversing.make)().capabilities(),
                Recipe::Basic(_) => Capabilities { pause: true, ..Basic::new().capabilities() },
                Recipe::Process => Capabilities::default(),
            },
        }
    }

    /// Whether the host provides what it needs.
    pub(crate) fn is_provided(&self) -> bool {
        match &self.recipe {
            Recipe::Basic(None) => false,
            // Without a program of its own each agent brings one.
            Recipe::Process | Recipe::Basic(Some(_)) | Recipe::Conversing(_) => true,
        }
    }

    /// Whether it may be meant by those who name no backend: an agent whose program is there.
    pub(crate) fn is_choice(&self) -> bool {
        match &self.recipe {
            // `process` is no agent by itself; those of another name are somebody's.
            Recipe::Process => &*self.name != "process",
            Recipe::Basic(program) => program.is_some(),
            Recipe::Conversing(conversing) => conversing.program().is_some(),
        }
    }

    /// Checks what the recipe needs of a specification.
    pub(crate) fn check(&self, spec: &AgentSpec) -> Result<(), SpecError> {
        match &self.recipe {
            Recipe::Process if spec.command.first().is_none_or(String::is_empty) => {
                Err(SpecError::new("config.command", "a program and its arguments"))
            }
            Recipe::Basic(_) if !spec.command.is_empty() => {
                Err(SpecError::new("config.command", "nothing: `basic` brings its own program"))
            }
            Recipe::Conversing(conversing)
                if conversing.command.is_empty() && spec.command.is_empty() =>
            {
                Err(SpecError::new("config.command", "the agent's program and its arguments"))
            }
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
            Recipe::Conversing(conversing) => (conversing.make)().approval_modes(),
            // It asks in chats alone.
            Recipe::Basic(_) if path == CHAT_APPROVALS => Basic::new().approval_modes(),
            Recipe::Basic(_) | Recipe::Process => Lines::new().approval_modes(),
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
            Recipe::Process | Recipe::Basic(None) => spec.command.clone(),
            Recipe::Conversing(_) => Vec::new(),
            Recipe::Basic(Some(basic)) => vec![basic.program.to_string_lossy().into_owned()],
        };
        if let Recipe::Conversing(conversing) = &self.recipe {
            argv.clone_from(&conversing.command);
            argv.extend(spec.command.iter().cloned());
        }
        argv.extend(spec.args.iter().cloned());
        let mut launch = Launch::new(instance, run, argv);
        if let Recipe::Basic(Some(basic)) = &self.recipe {
            launch.arg0 = Some(basic.arg0.clone());
        }
        if let Recipe::Conversing(conversing) = &self.recipe {
            launch.env.extend(conversing.env.clone());
            launch.pass_env.clone_from(&conversing.pass);
        }
        launch.cwd.clone_from(&spec.cwd);
        launch.stdin = spec.stdin;
        launch.limits = spec.limits;
        if let Some(task) = spec.task.as_ref().filter(|_| !self.always_converses()) {
            launch.first_input = format!("{task}\n").into_bytes();
        }
        launch
    }

    /// The dialect of its program, where that says anything that core must understand.
    pub(crate) fn dialect(&self) -> Option<Box<dyn Dialect>> {
        match self.recipe {
            Recipe::Process | Recipe::Conversing(_) => None,
            Recipe::Basic(_) => Some(Box::new(Lines::with_pause(PauseWords::basic()))),
        }
    }
}

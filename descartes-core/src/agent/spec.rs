//! What an agent is asked to be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::AgentId;
use crate::chat::ChatOptions;
use crate::limits;

/// What an agent is asked to be. [`AgentSpec::default`] leaves everything to the host.
///
/// Values of `env` are secrets: they are kept apart from the record and never shown.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct AgentSpec {
    /// A label for people; made up when absent.
    pub name: Option<String>,
    /// Which backend; the host's default when absent.
    pub backend: Option<String>,
    /// The program and its first arguments, for backends that take them.
    pub command: Vec<String>,
    /// Arguments after those of `command` or of the backend's recipe.
    pub args: Vec<String>,
    /// Environment variables beside those that the host passes on.
    pub env: BTreeMap<String, String>,
    /// The working directory, absolute; the host's default when absent.
    pub cwd: Option<PathBuf>,
    /// The first prompt: a line for `basic`, written to standard input for `process`.
    pub task: Option<String>,
    /// Whether standard input stays open.
    pub stdin: StdinMode,
    /// Whether another run follows the end of one.
    pub restart: RestartPolicy,
    /// Bounds of a run.
    pub limits: AgentLimits,
    /// Labels for people and filters.
    pub labels: BTreeMap<String, String>,
    /// The agent that this one belongs to.
    pub parent: Option<AgentId>,
    /// How it converses, for backends that have turns.
    pub chat: ChatOptions,
    /// Refuse to spawn when a live agent that the caller reaches has this name already.
    pub unique_name: bool,
}

impl AgentSpec {
    /// A plain program: the `process` backend with this command line.
    #[must_use]
    pub fn command<I, S>(command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let command = command.into_iter().map(Into::into).collect();
        Self { backend: Some("process".into()), command, ..Self::default() }
    }

    /// An agent of `backend`.
    #[must_use]
    pub fn backend(backend: impl Into<String>) -> Self {
        Self { backend: Some(backend.into()), ..Self::default() }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Checks what can be checked without a backend.
    ///
    /// # Errors
    /// The first thing that is wrong, with the path of the parameter.
    pub fn check(&self) -> Result<(), SpecError> {
        if let Some(name) = &self.name {
            check_label("name", name)?;
        }
        if let Some(cwd) = &self.cwd
            && !cwd.is_absolute()
        {
            return Err(SpecError::new("config.cwd", "an absolute path"));
        }
        if self.chat.record.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(SpecError::new("config.record", "an absolute path"));
        }
        for (key, value) in &self.env {
            let bad = key.is_empty() || key.contains(['=', '\0']) || value.contains('\0');
            if bad {
                return Err(SpecError::new(
                    format!("config.env.{key}"),
                    "a name without `=`, and no NUL in name or value",
                ));
            }
        }
        for (key, value) in &self.labels {
            check_label(&format!("config.labels.{key}"), key)?;
            check_label(&format!("config.labels.{key}"), value)?;
        }
        let words = self.command.iter().map(|word| ("config.command", word));
        let words = words.chain(self.args.iter().map(|word| ("config.args", word)));
        for (path, word) in words {
            if word.contains('\0') {
                return Err(SpecError::new(path, "text without NUL"));
            }
        }
        Ok(())
    }
}

fn check_label(path: &str, text: &str) -> Result<(), SpecError> {
    let length = text.chars().count();
    let fits = (1..=limits::NAME_CHARS).contains(&length) && !text.contains(char::is_control);
    if fits {
        return Ok(());
    }
    Err(SpecError::new(path, "1 to 128 characters without control characters"))
}

/// Shows names of variables, never their values.
impl std::fmt::Debug for AgentSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentSpec")
            .field("name", &self.name)
            .field("backend", &self.backend)
            .field("command", &self.command)
            .field("args", &self.args)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// A specification that no agent can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: expected {expected}")]
#[non_exhaustive]
pub struct SpecError {
    /// Which parameter, as a path.
    pub path: String,
    /// What it should have been.
    pub expected: Arc<str>,
}

impl SpecError {
    /// `path` should have been `expected`.
    #[must_use]
    pub fn new(path: impl Into<String>, expected: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), expected: expected.into() }
    }
}

/// Whether an agent can be written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdinMode {
    /// A pipe that stays open until somebody closes it.
    #[default]
    Open,
    /// At end of file from the start (after the first prompt, when there is one).
    Closed,
}

/// When another run follows the end of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// Never.
    #[default]
    Never,
    /// When a run ended with anything but exit code 0.
    OnFailure,
    /// Whatever a run ended with.
    Always,
}

/// Whether, how often and how fast an agent is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// When.
    pub when: RestartWhen,
    /// More restarts than this within `window` end the agent as failed.
    pub max_restarts: u32,
    /// The time that `max_restarts` is about.
    pub window: Duration,
    /// How long to wait before each.
    pub backoff: Backoff,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::Never,
            max_restarts: 5,
            window: Duration::from_secs(60),
            backoff: Backoff::default(),
        }
    }
}

/// Waits between runs: doubling from `first` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(30) }
    }
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentLimits {
    /// How long it may run.
    pub wall: Option<Duration>,
    /// How many bytes it may write.
    pub output_bytes: Option<u64>,
}

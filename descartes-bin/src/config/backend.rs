//! `[backends.NAME]`: what agents are started with; those that are known are changed key by key.

use std::collections::BTreeMap;

use descartes_core::backend::{
    Backend, BackendSettings, BasicProgram, CapabilitySettings, SettingsError,
};

use super::family::{Family, is_name, member_keys};
use super::setting::{CommandLine, Expected, Patterns, Variables};

/// The section that all backends are in.
pub(super) const SECTION: &str = "backends";
/// The runner that starts processes of this machine.
const HERE: &str = "process";
/// How a backend may be called.
const NAME_EXPECTED: Expected = "called by letters, digits, `-`, `_` and `.`, at most 64, and one \
                                 that is known by its first name (`claude-code`)";

/// What agents are started with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendConfig {
    /// The program and its first arguments; without it each agent brings its own, or that of the
    /// backend that is known by the name stays.
    pub command: Option<CommandLine>,
    /// How the program is talked to.
    pub dialect: Option<String>,
    /// Who starts it: `process`, or a remote.
    pub runner: Option<String>,
    /// Variables that it is given.
    pub env: Variables,
    /// Variables that it inherits from the daemon.
    pub pass_env: Patterns,
    /// What can be done with it.
    pub capabilities: CapabilitiesConfig,
}

/// What can be done with a backend, where that is known better than by its dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapabilitiesConfig {
    /// Whether one can converse with it.
    pub turns: Option<bool>,
    /// Whether a conversation can go on in another process.
    pub resume: Option<bool>,
    /// Whether it asks.
    pub approvals: Option<bool>,
    /// Whether a turn can be cancelled without ending the process.
    pub cancel: Option<bool>,
    /// Whether it understands being asked to pause.
    pub pause: Option<bool>,
    /// The models that it offers.
    pub models: Vec<String>,
}

pub(super) const FAMILY: Family = Family {
    section: SECTION,
    begin: |config, name| {
        let known = Backend::known_as(name);
        if !is_name(name) || known.is_some_and(|known| &**known.name() != name) {
            return Err(NAME_EXPECTED);
        }
        config.backends.entry(name.to_owned()).or_default();
        Ok(())
    },
    keys: member_keys![
        backends: command,
        dialect,
        runner,
        env,
        pass_env,
        capabilities.turns,
        capabilities.resume,
        capabilities.approvals,
        capabilities.cancel,
        capabilities.pause,
        capabilities.models,
    ],
    names: |config| config.backends.keys().map(String::as_str).collect(),
};

/// What is wrong with a backend as a whole.
pub(super) struct Fault {
    /// Of which key.
    pub(super) key: String,
    /// What would do.
    pub(super) expected: String,
}

impl BackendConfig {
    /// The remote that starts it, if one does.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.runner.as_deref().filter(|runner| *runner != HERE)
    }

    /// The backend that is meant, called `name`; `basic` is the program of the bundled agent.
    ///
    /// # Errors
    /// What cannot be, which [`Config::load`](super::Config::load) refuses.
    pub fn backend(
        &self,
        name: &str,
        basic: Option<BasicProgram>,
    ) -> Result<Backend, SettingsError> {
        let known = match Backend::known_as(name) {
            Some(bundled) if &**bundled.name() == "basic" => Some(Backend::basic(basic)),
            known => known,
        };
        let capabilities = &self.capabilities;
        let backend =
            known.unwrap_or_else(|| Backend::process().renamed(name)).with(BackendSettings {
                command: self.command.as_ref().map(|command| command.0.clone()),
                dialect: self.dialect.clone(),
                env: self.env.0.clone(),
                pass_env: self.pass_env.0.clone(),
                capabilities: CapabilitySettings {
                    turns: capabilities.turns,
                    resume: capabilities.resume,
                    approvals: capabilities.approvals,
                    cancel: capabilities.cancel,
                    pause: capabilities.pause,
                    models: capabilities.models.clone(),
                },
            })?;
        Ok(match self.remote() {
            Some(remote) => backend.on(remote),
            None => backend,
        })
    }

    /// What is wrong with it, beside `remotes`.
    pub(super) fn fault(
        &self,
        name: &str,
        remotes: &BTreeMap<String, super::Remote>,
    ) -> Option<Fault> {
        let fault = |key: &str, expected: String| Some(Fault { key: key.to_owned(), expected });
        if let Some(remote) = self.remote() {
            if !remotes.contains_key(remote) {
                let there = [HERE].into_iter().chain(remotes.keys().map(String::as_str));
                let there = there.collect::<Vec<_>>().join(", ");
                return fault("runner", format!("one that there is ({there})"));
            }
            if !self.pass_env.0.is_empty() {
                let expected = format!("absent: nothing is inherited from here at `{remote}`");
                return fault("pass_env", expected);
            }
        }
        match self.backend(name, None) {
            Ok(_) => None,
            Err(SettingsError::UnknownDialect { known, .. }) => {
                fault("dialect", format!("one that there is ({})", known.join(", ")))
            }
            Err(SettingsError::Fixed { key, .. }) => {
                fault(key, format!("absent: that of `{name}` cannot be changed"))
            }
            Err(SettingsError::Incapable { dialect, capability }) => {
                let expected = format!("false or absent: the dialect `{dialect}` cannot");
                fault(&format!("capabilities.{capability}"), expected)
            }
            Err(other) => fault("command", other.to_string()),
        }
    }
}

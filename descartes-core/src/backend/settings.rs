//! What an operator says of a backend, key by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Backend, Basic, Capabilities, Conversing, Dialect, Recipe};
use crate::dialect;

/// The dialect of programs that nobody converses with.
const LINES: &str = "lines";

/// What an operator says of a backend; what is not said stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendSettings {
    /// Its program and the first arguments.
    pub command: Option<Vec<String>>,
    /// How its program is talked to ([`dialect::names`], or `lines`).
    pub dialect: Option<String>,
    /// Variables for it, beside the recipe's. Values are secrets.
    pub env: BTreeMap<String, String>,
    /// Names, or beginnings with a `*` behind them, of variables that it inherits as well.
    pub pass_env: Vec<String>,
    /// What can be done with it.
    pub capabilities: CapabilitySettings,
}

/// What an operator knows better of what can be done with a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySettings {
    /// One can converse with it; without that it is a program that writes lines.
    pub turns: Option<bool>,
    /// A conversation can go on in another process; without that another process begins anew.
    pub resume: Option<bool>,
    /// It asks; without that it has no approval mode but `allow_all`.
    pub approvals: Option<bool>,
    /// A turn can be cancelled; without that its process is ended.
    pub cancel: Option<bool>,
    /// It understands being asked to pause, in the words of the bundled agent; without that it is
    /// stopped by a signal.
    pub pause: Option<bool>,
    /// The models that it offers.
    pub models: Vec<String>,
}

/// Why a backend cannot be as it was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no such dialect.
    #[error("there is no dialect `{dialect}`; there are {}", known.join(", "))]
    UnknownDialect {
        /// What was asked for.
        dialect: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// This is fixed.
    #[error("`{key}` of `{backend}` cannot be changed")]
    Fixed {
        /// Of which backend.
        backend: Arc<str>,
        /// Which key.
        key: &'static str,
    },
    /// Its dialect cannot do this.
    #[error("its dialect `{dialect}` has no `{capability}`")]
    Incapable {
        /// Which dialect.
        dialect: &'static str,
        /// What it was said to do.
        capability: &'static str,
    },
}

impl Backend {
    /// The backend that is known by this name, or by another one for the same.
    #[must_use]
    pub fn known_as(name: &str) -> Option<Self> {
        let meant = Self::named(name);
        let mut all = Self::known().into_iter().chain([
            Self::process(),
            Self::basic(None),
            Self::replay_file(),
        ]);
        all.find(|backend| &**backend.name() == meant)
    }

    /// The same backend with what `settings` say of it.
    ///
    /// ```
    /// use descartes_core::backend::{Backend, BackendSettings};
    ///
    /// let settings = BackendSettings {
    ///     command: Some(vec!["my-agent".into(), "--stdio".into()]),
    ///     dialect: Some("acp".into()),
    ///     ..BackendSettings::default()
    /// };
    /// let backend = Backend::process().renamed("mine").with(settings)?;
    /// assert!(backend.has_turns());
    /// # Ok::<(), descartes_core::backend::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// What they say that cannot be.
    pub fn with(mut self, settings: BackendSettings) -> Result<Self, SettingsError> {
        let BackendSettings { command, dialect, env, pass_env, capabilities } = settings;
        let is_fixed = matches!(&*self.name, "basic" | "process" | "replay");
        let given = [("command", command.is_some()), ("dialect", dialect.is_some())];
        if let Some((key, _)) = given.into_iter().find(|(_, given)| is_fixed && *given) {
            return Err(SettingsError::Fixed { backend: self.name, key });
        }
        if let Some(dialect) = dialect.filter(|dialect| dialect != self.dialect_name()) {
            self.recipe = recipe(dialect)?;
        }
        let program = Arc::make_mut(&mut self.program);
        program.command = command.unwrap_or_else(|| std::mem::take(&mut program.command));
        program.env.extend(env);
        program.pass.extend(pass_env);
        self.check_capabilities(&capabilities)?;
        self.said = Arc::new(capabilities.beside(&self.said));
        Ok(self)
    }

    /// Whether nobody says that a conversation cannot go on in another process.
    pub(crate) fn may_resume(&self) -> bool {
        self.said.resume != Some(false)
    }

    /// Whether nobody says that a turn cannot be cancelled.
    pub(crate) fn may_cancel(&self) -> bool {
        self.said.cancel != Some(false)
    }

    /// How its program is talked to.
    pub(super) fn dialect_name(&self) -> &'static str {
        match &self.recipe {
            Recipe::Conversing(conversing) => conversing.dialect,
            Recipe::Replay(_) => "replay",
            Recipe::Basic(_) | Recipe::Process => LINES,
        }
    }

    fn check_capabilities(&self, said: &CapabilitySettings) -> Result<(), SettingsError> {
        let speaks = !matches!(self.recipe, Recipe::Process);
        let can = match &self.recipe {
            Recipe::Conversing(conversing) => (conversing.make)().capabilities(),
            Recipe::Basic(_) => Basic::new().capabilities(),
            Recipe::Replay(_) => super::replay::CAPABILITIES,
            Recipe::Process => Capabilities::default(),
        };
        let claims = [
            ("turns", said.turns, can.turns),
            // What an agent can resume it may only say when it is asked.
            ("resume", said.resume, speaks),
            ("approvals", said.approvals, can.approvals),
            ("cancel", said.cancel, can.cancel),
            // Conversations have no words for it.
            ("pause", said.pause, !matches!(self.recipe, Recipe::Conversing(_))),
        ];
        match claims.into_iter().find(|(_, said, can)| *said == Some(true) && !can) {
            None => Ok(()),
            Some((capability, _, _)) => {
                Err(SettingsError::Incapable { dialect: self.dialect_name(), capability })
            }
        }
    }
}

fn recipe(dialect: String) -> Result<Recipe, SettingsError> {
    if dialect == LINES {
        return Ok(Recipe::Process);
    }
    match dialect::named(&dialect) {
        Some((dialect, make)) => {
            Ok(Recipe::Conversing(Arc::new(Conversing { dialect, make: Box::new(make) })))
        }
        None => {
            let known = dialect::names().chain([LINES]).collect();
            Err(SettingsError::UnknownDialect { dialect, known })
        }
    }
}

impl CapabilitySettings {
    /// What is said here, and there where nothing is said here.
    fn beside(self, there: &Self) -> Self {
        Self {
            turns: self.turns.or(there.turns),
            resume: self.resume.or(there.resume),
            approvals: self.approvals.or(there.approvals),
            cancel: self.cancel.or(there.cancel),
            pause: self.pause.or(there.pause),
            models: if self.models.is_empty() { there.models.clone() } else { self.models },
        }
    }

    /// What can be done, when the dialect says `can`.
    pub(super) fn over(&self, can: Capabilities) -> Capabilities {
        let turns = self.turns.unwrap_or(can.turns);
        Capabilities {
            turns,
            resume: turns && self.resume.unwrap_or(can.resume),
            approvals: turns && self.approvals.unwrap_or(can.approvals),
            cancel: turns && self.cancel.unwrap_or(can.cancel),
            pause: self.pause.unwrap_or(can.pause),
            ..can
        }
    }
}

#[cfg(test)]
mod tests;

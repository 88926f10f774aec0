//! The settings of a conversation: the mode in which the agent asks, the model, the thinking.
//!
//! Agents offer them in two ways, `configOptions` or `modes` and `models`; the first is the newer.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;

use super::peer::Purpose;
use super::wire::{ConfigOption, ConfigValue, Failure, Session};
use super::{Acp, Action, errors};
use crate::dialect::Thinking;
use crate::event::{ChunkError, ChunkErrorKind};

/// The mode that asks, in all agents that have been seen.
const ASKING: &str = "default";
/// Modes that act, or refuse, without asking.
const SILENT: [&str; 7] =
    ["yolo", "bypassPermissions", "acceptEdits", "autoEdit", "auto_edit", "auto", "dontAsk"];

/// One thing to be set.
#[derive(Debug)]
pub(super) struct Setting {
    method: &'static str,
    words: Words,
    /// What the conversation cannot do without, as people call it.
    essential: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Words {
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<String>,
}

impl Words {
    fn of(session: &str) -> Self {
        let session_id = session.to_owned();
        Self { session_id, config_id: None, value: None, mode_id: None, model_id: None }
    }

    fn option(session: &str, option: &ConfigOption, value: &str) -> Self {
        let (config_id, value) = (Some(option.id.clone()), Some(value.to_owned()));
        Self { config_id, value, ..Self::of(session) }
    }
}

impl Acp {
    /// What is to be set in conversation `id`.
    pub(super) fn settings(&mut self, offered: &Session, id: &str) -> VecDeque<Setting> {
        self.agent.models = option(offered, "model").is_some() || offered.models.is_some();
        let settings = [
            self.mode_setting(offered, id),
            self.model_setting(offered, id),
            self.effort(offered, id),
        ];
        settings.into_iter().flatten().collect()
    }

    /// Fails when a model is wanted and none can be chosen.
    pub(super) fn check_model(&self, offered: &Session) -> Result<(), ChunkError> {
        let wanted = self.session.as_ref().and_then(|session| session.model.as_ref());
        match wanted.filter(|_| self.words.model_argument.is_none()) {
            Some(model) if option(offered, "model").is_none() && offered.models.is_none() => {
                let text = format!("the agent does not let its model be chosen: {model}");
                Err(ChunkError::new(ChunkErrorKind::ModelError, text))
            }
            _ => Ok(()),
        }
    }

    fn mode_setting(&self, offered: &Session, id: &str) -> Option<Setting> {
        let asking = self.words.mode.as_deref();
        let essential = Some("the mode in which it asks");
        if let Some(option) = option(offered, "mode") {
            let current = option.current_value.as_deref().unwrap_or_default();
            let mode = wanted_mode(asking, current, |mode| has_value(&option.options, mode))?;
            let words = Words::option(id, option, mode);
            return Some(Setting { method: "session/set_config_option", words, essential });
        }
        let modes = offered.modes.as_ref()?;
        let current = modes.current_mode_id.as_deref().unwrap_or_default();
        let has = |mode: &str| modes.available_modes.iter().any(|offer| offer.id == mode);
        let mode_id = Some(wanted_mode(asking, current, has)?.to_owned());
        let words = Words { mode_id, ..Words::of(id) };
        Some(Setting { method: "session/set_mode", words, essential })
    }

    fn model_setting(&self, offered: &Session, id: &str) -> Option<Setting> {
        let model = self.session.as_ref()?.model.as_deref()?;
        if self.words.model_argument.is_some() {
            return None;
        }
        let essential = Some("the model");
        if let Some(option) = option(offered, "model") {
            let words = Words::option(id, option, model);
            return (option.current_value.as_deref() != Some(model)).then_some(Setting {
                method: "session/set_config_option",
                words,
                essential,
            });
        }
        let current = offered.models.as_ref()?.current_model_id.as_deref();
        let words = Words { model_id: Some(model.to_owned()), ..Words::of(id) };
        (current != Some(model)).then_some(Setting {
            method: "session/set_model",
            words,
            essential,
        })
    }

    /// How hard the model thinks, where the agent has a word for what is wanted.
    fn effort(&self, offered: &Session, id: &str) -> Option<Setting> {
        let words: &[&str] = match self.session.as_ref()?.thinking {
            Thinking::Normal => return None,
            Thinking::Off => &["none", "off", "minimal", "low"],
            Thinking::Hard => &["high"],
            Thinking::Harder => &["xhigh", "high"],
            Thinking::Ultra => &["max", "xhigh", "high"],
        };
        let option = option(offered, "thought_level")?;
        let value = words.iter().find(|word| has_value(&option.options, word))?;
        let words = Words::option(id, option, value);
        (option.current_value.as_deref() != Some(value)).then_some(Setting {
            method: "session/set_config_option",
            words,
            essential: None,
        })
    }

    /// Asks for the first setting, or is ready.
    pub(super) fn set_up_first(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.opening.settings.front() {
            None => self.ready(out),
            Some(setting) => {
                // Written here and not by `ask`, which would borrow the whole.
                let method = setting.method;
                let words = serde_json::value::to_raw_value(&setting.words)
                    .expect("a setting is texts under texts");
                self.ask((now, Purpose::Configure), method, &words, out);
            }
        }
    }

    /// The first setting was made.
    pub(super) fn set_up(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.opening.settings.pop_front();
        self.set_up_first(now, out);
    }

    /// The first setting was refused.
    pub(super) fn refused_setting(
        &mut self,
        now: Instant,
        failure: &Failure,
        out: &mut Vec<Action>,
    ) {
        let essential = self.opening.settings.front().and_then(|setting| setting.essential);
        let Some(what) = essential else { return self.set_up(now, out) };
        let mut error = errors::error(failure);
        error.message = format!("the agent does not take {what}: {}", error.message).into();
        self.break_off(now, error, out);
    }
}

/// The option of this category, or of this name where the agent tells no categories.
fn option<'a>(offered: &'a Session, category: &str) -> Option<&'a ConfigOption> {
    let mut options = offered.config_options.iter();
    options.find(|option| option.category.as_deref().unwrap_or(&option.id) == category)
}

fn has_value(values: &[ConfigValue], value: &str) -> bool {
    let is = |offer: &ConfigValue| {
        offer.value.as_deref() == Some(value)
            || offer.options.iter().any(|inner| inner.value.as_deref() == Some(value))
    };
    values.iter().any(is)
}

/// The mode to be set: the configured one, or the asking one where the agent would not ask.
fn wanted_mode<'a>(
    asking: Option<&'a str>,
    current: &str,
    has: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let mode = match asking {
        Some(mode) => mode,
        None if SILENT.contains(&current) => ASKING,
        None => return None,
    };
    (mode != current && has(mode)).then_some(mode)
}

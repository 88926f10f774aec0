//! The layers and their order: defaults < file < environment < flags.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{ConfigError, Place};
use super::keys::{self, Key};
use super::setting::Value;
use super::{Config, FEATURES, Flags, Port, Surroundings, file};

const PREFIX: &str = "DESCARTES_";

/// A configuration in the making, which remembers where each key was last said.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) config: Config,
    said: BTreeMap<(&'static str, &'static str), Place>,
}

pub(super) fn load(flags: &Flags, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let mut layers = Layers::default();
    if let Some(path) = find_file(flags, surroundings) {
        file::read(&mut layers, path)?;
    }
    for (name, value) in &surroundings.env {
        layers.variable(name, value)?;
    }
    for (flag, (section, name), text) in flags.settings() {
        let key = keys::find(section, name).expect("every flag names a key of the table");
        layers.set(key, &Value::Word(text), Place::Flag(flag))?;
    }
    layers.check()?;
    layers.config.ws_port_chosen = layers.said.contains_key(&("server", "ws_port"));
    Ok(layers.config)
}

/// A file that was named must exist; the usual places may be empty.
fn find_file(flags: &Flags, surroundings: &Surroundings) -> Option<PathBuf> {
    let named = || surroundings.var("DESCARTES_CONFIG").map(PathBuf::from);
    if let Some(path) = flags.config.clone().or_else(named) {
        return Some(path);
    }
    let home = surroundings.var("HOME").map(|home| PathBuf::from(home).join(".config"));
    let user = surroundings.var("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let user = user.map(|dir| dir.join("descartes/daemon.toml"));
    let usual = [user, Some(PathBuf::from("/etc/descartes/daemon.toml"))];
    usual.into_iter().flatten().find(|path| path.exists())
}

impl Layers {
    /// Sets `key`, remembering who said so.
    pub(super) fn set(
        &mut self,
        key: &'static Key,
        value: &Value,
        place: Place,
    ) -> Result<(), ConfigError> {
        let name = || format!("{}.{}", key.section, key.name);
        if let Err(expected) = (key.set)(&mut self.config, value) {
            let (expected, found) = (expected.to_owned(), value.shown());
            return Err(ConfigError::Value { place, key: name(), expected, found });
        }
        self.said.insert((key.section, key.name), place);
        Ok(())
    }

    /// `DESCARTES_<SECTION>__<KEY>`; other variables are none of ours.
    fn variable(&mut self, variable: &str, value: &str) -> Result<(), ConfigError> {
        let path = variable.strip_prefix(PREFIX).and_then(|path| path.split_once("__"));
        let Some((section, name)) = path else { return Ok(()) };
        let (section, name) = (section.to_ascii_lowercase(), name.to_ascii_lowercase());
        let place = || Place::Variable(variable.to_owned());
        if !keys::sections().contains(&section.as_str()) {
            let nearest = keys::nearest(&section, keys::sections());
            return Err(ConfigError::Unknown {
                place: place(),
                what: "section",
                name: section,
                nearest,
            });
        }
        match keys::find(&section, &name) {
            Some(key) => self.set(key, &Value::Word(value.to_owned()), place()),
            None => {
                let nearest = keys::nearest(&name, keys::names(&section));
                Err(ConfigError::Unknown { place: place(), what: "key", name, nearest })
            }
        }
    }

    /// What no single key can know.
    fn check(&self) -> Result<(), ConfigError> {
        self.check_features()?;
        let server = &self.config.server;
        let mut listens = false;
        let doors = [
            ("http_addr", server.http_addr, server.http_port),
            ("ws_addr", server.ws_addr, server.ws_port),
        ];
        for (key, address, port) in doors {
            if port == Port::Off || !FEATURES.contains(&"http") {
                continue;
            }
            listens = true;
            if !address.is_loopback() {
                let place = self.said[&("server", key)].clone();
                return Err(ConfigError::BeyondLoopback { place, address });
            }
        }
        if !listens && !FEATURES.contains(&"unix") {
            return Err(ConfigError::Unreachable);
        }
        self.at_least_one("agents", "max_running", self.config.agents.max_running)?;
        self.at_least_one("pool", "max_size", self.config.pool.max_size)?;
        self.at_least_one("server", "max_connections", server.max_connections)?;
        self.at_least_one("server", "request_timeout_secs", server.request_timeout_secs)
    }

    fn check_features(&self) -> Result<(), ConfigError> {
        for (&(section, name), place) in &self.said {
            let key = keys::find(section, name).expect("only keys of the table are remembered");
            let Some(feature) = key.missing() else { continue };
            // Turning off what is not there is no mistake.
            let server = &self.config.server;
            let off = match name {
                "http_port" => server.http_port == Port::Off,
                "ws_port" => server.ws_port == Port::Off,
                _ => false,
            };
            if off {
                continue;
            }
            let key = format!("{section}.{name}");
            return Err(ConfigError::LeftOut { place: place.clone(), key, feature });
        }
        Ok(())
    }

    fn at_least_one(
        &self,
        section: &'static str,
        name: &'static str,
        value: u64,
    ) -> Result<(), ConfigError> {
        match self.said.get(&(section, name)) {
            Some(place) if value == 0 => Err(ConfigError::Value {
                place: place.clone(),
                key: format!("{section}.{name}"),
                expected: "1 or more".to_owned(),
                found: "0".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

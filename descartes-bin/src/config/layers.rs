//! The layers and their order: defaults < file < environment < flags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use descartes_core::backend::Backend;

use super::error::{ConfigError, Place, Places};
use super::family::{self, Family};
use super::keys::{self, Key};
use super::setting::Value;
use super::{Config, FEATURES, Flags, Port, Surroundings, TcpDoor, backend, file, remote};

const PREFIX: &str = "DESCARTES_";

/// A configuration in the making, which remembers where each key was last said.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) config: Config,
    said: BTreeMap<(&'static str, &'static str), Place>,
    /// Where each member of a family was first said.
    members: BTreeMap<(&'static str, String), Place>,
    /// Where each key of a member was last said, and what.
    said_in: BTreeMap<String, (Place, String)>,
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
    let ports = layers.config.server.ports().map(|door| door.port_key);
    let chosen = ports.into_iter().filter(|port| layers.said.contains_key(&("server", *port)));
    layers.config.chosen_ports = chosen.collect();
    let of_sections = layers.said.into_iter();
    let of_sections = of_sections.map(|((section, name), at)| (format!("{section}.{name}"), at));
    let of_members = layers.said_in.into_iter().map(|(path, (at, _))| (path, at));
    layers.config.places = Places(of_sections.chain(of_members).collect());
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
            let found = if key.is_secret() { "what it is".to_owned() } else { value.shown() };
            let expected = expected.to_owned();
            return Err(ConfigError::Value { place, key: name(), expected, found });
        }
        self.said.insert((key.section, key.name), place);
        Ok(())
    }

    /// Begins the member `name` of `family`, if it has not begun.
    pub(super) fn begin(
        &mut self,
        family: &Family,
        name: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        if let Err(expected) = (family.begin)(&mut self.config, name) {
            let (key, found) = (family.section.to_owned(), format!("{name:?}"));
            return Err(ConfigError::Value { place, key, expected: expected.to_owned(), found });
        }
        self.members.entry((family.section, name.to_owned())).or_insert(place);
        Ok(())
    }

    /// Sets `key` of the member `name`, which has begun.
    pub(super) fn set_in(
        &mut self,
        (family, name): (&Family, &str),
        key: &family::Key,
        value: &Value,
        place: Place,
    ) -> Result<(), ConfigError> {
        let path = format!("{}.{name}.{}", family.section, key.name);
        if let Err(expected) = (key.set)(&mut self.config, name, value) {
            let found = if key.is_secret() { "what it is".to_owned() } else { value.shown() };
            let expected = expected.to_owned();
            return Err(ConfigError::Value { place, key: path, expected, found });
        }
        self.said_in.insert(path, (place, value.shown()));
        Ok(())
    }

    /// `DESCARTES_<SECTION>__<NAME>__<KEY>`, whose name and key are `path`; of the table `a` the key
    /// `b` is `a__b`.
    fn member_variable(
        &mut self,
        family: &Family,
        (path, value): (&str, &str),
        place: &Place,
    ) -> Result<(), ConfigError> {
        let (name, key) = path.split_once("__").unwrap_or((path, ""));
        let key = key.replace("__", ".");
        let Some(found) = family.key(&key) else {
            let nearest = keys::nearest(&key, family.names_in(""));
            let what = "key";
            return Err(ConfigError::Unknown { place: place.clone(), what, name: key, nearest });
        };
        self.begin(family, name, place.clone())?;
        self.set_in((family, name), found, &Value::Word(value.to_owned()), place.clone())
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
        if let Some(family) = family::find(&section) {
            return self.member_variable(family, (&name, value), &place());
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
        self.check_tls()?;
        self.check_remotes()?;
        self.check_backends()?;
        self.check_defaults()?;
        let server = &self.config.server;
        // These listen in the runtime directory in any case.
        let mut listens = FEATURES.contains(&"unix") || FEATURES.contains(&"zmq");
        for door in server.ports() {
            if door.port == Port::Off || !FEATURES.contains(&door.feature) {
                continue;
            }
            let is_metrics = door.feature == super::METRICS;
            listens |= !is_metrics;
            // Who makes it public has said so.
            let is_meant = is_metrics && (server.metrics_public || !server.enable_metrics);
            if !self.config.auth.guards(door.address) && !is_meant {
                let place = self.said[&("server", door.addr_key)].clone();
                return Err(ConfigError::BeyondLoopback { place, address: door.address });
            }
        }
        if !listens {
            return Err(ConfigError::Unreachable);
        }
        self.at_least_one("agents", "max_running", self.config.agents.max_running)?;
        self.at_least_one("pool", "max_size", self.config.pool.max_size)?;
        self.at_least_one("server", "max_connections", server.max_connections)?;
        self.at_least_one("server", "request_timeout_secs", server.request_timeout_secs)?;
        let (limits, per_address) = (&self.config.limits, server.max_connections_per_address);
        self.at_least_one("server", "max_connections_per_address", per_address)?;
        self.at_least_one("limits", "calls_per_connection", limits.calls_per_connection)?;
        self.at_least_one("limits", "newcomers", limits.newcomers)?;
        let connections = limits.connections_per_principal.unwrap_or(1);
        self.at_least_one("limits", "connections_per_principal", connections)?;
        self.at_least_one("limits", "rate_per_second", limits.rate_per_second.unwrap_or(1))?;
        self.at_least_one("limits", "burst", limits.burst.unwrap_or(1))
    }

    fn check_features(&self) -> Result<(), ConfigError> {
        for (&(section, name), place) in &self.said {
            let key = keys::find(section, name).expect("only keys of the table are remembered");
            let Some(feature) = key.missing() else { continue };
            // Turning off what is not there is no mistake.
            let is_it = |door: &TcpDoor| section == "server" && door.port_key == name;
            let door = self.config.server.ports().into_iter().find(is_it);
            if door.is_some_and(|door| door.port == Port::Off) {
                continue;
            }
            let key = format!("{section}.{name}");
            return Err(ConfigError::LeftOut { place: place.clone(), key, feature });
        }
        Ok(())
    }

    /// A certificate without its key is of no use, nor is a key alone.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let server = &self.config.server;
        let (said, name) = match (&server.tls_cert, &server.tls_key) {
            (Some(_), None) => ("tls_cert", "tls_key"),
            (None, Some(_)) => ("tls_key", "tls_cert"),
            _ => return Ok(()),
        };
        let (place, section) = (self.said[&("server", said)].clone(), "server".to_owned());
        Err(ConfigError::Missing { place, section, name })
    }

    fn check_remotes(&self) -> Result<(), ConfigError> {
        let remotes = self.members.iter().filter(|((section, _), _)| *section == remote::SECTION);
        for ((_, name), place) in remotes {
            let (place, section) = (place.clone(), format!("{}.{name}", remote::SECTION));
            if !FEATURES.contains(&remote::FEATURE) {
                let feature = remote::FEATURE;
                return Err(ConfigError::LeftOut { place, key: section, feature });
            }
            if self.config.remotes[name].endpoint.is_none() {
                return Err(ConfigError::Missing { place, section, name: "endpoint" });
            }
        }
        Ok(())
    }

    fn check_backends(&self) -> Result<(), ConfigError> {
        for (name, backend) in &self.config.backends {
            let section = format!("{}.{name}", backend::SECTION);
            if self.config.remotes.contains_key(name) {
                let place = self.members[&(backend::SECTION, name.clone())].clone();
                let expected = "called otherwise than a remote".to_owned();
                let found = format!("{name:?}");
                return Err(ConfigError::Value { place, key: section, expected, found });
            }
            if let Some(backend::Fault { key, expected }) =
                backend.fault(name, &self.config.remotes)
            {
                let key = format!("{section}.{key}");
                let (place, found) = self.said_in[&key].clone();
                return Err(ConfigError::Value { place, key, expected, found });
            }
        }
        Ok(())
    }

    /// Who names no backend is given one that there is.
    fn check_defaults(&self) -> Result<(), ConfigError> {
        let Config { agents, chats, backends, remotes, .. } = &self.config;
        let of_agents = agents.default_backend.as_deref().map(|name| ("agents", name));
        for (section, name) in of_agents.into_iter().chain([("chats", &*chats.default_backend)]) {
            let is_own = backends.contains_key(name) || remotes.contains_key(name);
            if is_own || Backend::known_as(name).is_some() {
                continue;
            }
            let place = self.said[&(section, "default_backend")].clone();
            let known = Backend::known();
            let known =
                ["basic", "process"].into_iter().chain(known.iter().map(|one| &**one.name()));
            let own = backends.keys().chain(remotes.keys()).map(String::as_str);
            let there: BTreeSet<_> = known.chain(own).collect();
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::Value {
                place,
                key: format!("{section}.default_backend"),
                expected: format!("one that there is ({there})"),
                found: format!("{name:?}"),
            });
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

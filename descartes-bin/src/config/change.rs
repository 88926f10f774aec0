//! What of a configuration that was read anew can be in force at once.

use std::collections::BTreeSet;

use super::{Config, backend, keys, remote};

/// What becomes of a configuration when another is read in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What is to be in force: the new one, but for what takes a restart.
    pub config: Config,
    /// Keys whose new values are in force, as `section.key`; of backends the whole section.
    pub applied: Vec<String>,
    /// Keys whose new values take a restart; of backends and remotes the whole section.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// What becomes of it when `new` is read in its place.
    #[must_use]
    pub fn changed_to(&self, new: Self) -> Change {
        let mut change = Change { config: new, applied: Vec::new(), needs_restart: Vec::new() };
        let is_turned = self.server.tls().is_some() != change.config.server.tls().is_some();
        for key in keys::KEYS {
            if (key.same)(self, &change.config) {
                continue;
            }
            let is_tls = [("server", "tls_cert"), ("server", "tls_key")];
            if key.restart || is_turned && is_tls.contains(&(key.section, key.name)) {
                (key.keep)(&mut change.config, self);
                change.needs_restart.push(key.path());
            } else {
                change.applied.push(key.path());
            }
        }
        change.config.chosen_ports.clone_from(&self.chosen_ports);
        self.keep_remotes(&mut change);
        self.change_backends(&mut change);
        change
    }

    /// Connections to other daemons, and the runners behind them, are made at the start.
    fn keep_remotes(&self, change: &mut Change) {
        let names = both(self.remotes.keys(), change.config.remotes.keys());
        for name in names {
            if self.remotes.get(&name) != change.config.remotes.get(&name) {
                change.needs_restart.push(format!("{}.{name}", remote::SECTION));
            }
        }
        change.config.remotes.clone_from(&self.remotes);
    }

    fn change_backends(&self, change: &mut Change) {
        let names = both(self.backends.keys(), change.config.backends.keys());
        for name in names {
            let (old, new) = (self.backends.get(&name), change.config.backends.get(&name));
            if old == new {
                continue;
            }
            let path = format!("{}.{name}", backend::SECTION);
            let runs = new.and_then(|backend| backend.remote());
            let is_there = runs.is_none_or(|remote| self.remotes.contains_key(remote));
            if is_there && !self.remotes.contains_key(&name) {
                change.applied.push(path);
                continue;
            }
            match old.cloned() {
                Some(old) => change.config.backends.insert(name, old),
                None => change.config.backends.remove(&name),
            };
            change.needs_restart.push(path);
        }
    }
}

fn both<'a>(
    one: impl Iterator<Item = &'a String>,
    other: impl Iterator<Item = &'a String>,
) -> BTreeSet<String> {
    one.chain(other).cloned().collect()
}

#[cfg(test)]
mod tests;

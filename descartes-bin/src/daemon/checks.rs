//! What is looked at beside the keys themselves before a configuration is used: everything that a
//! start would fail with is refused by `--check-config` and by a reload as well.

use std::path::Path;

use crate::config::{Config, ConfigError, Flags, Surroundings};
use crate::transports;

/// Looks at the files that `config` names; the folders `made` are made by the daemon itself.
pub(crate) fn files(config: &Config, made: &[&Path]) -> Result<(), ConfigError> {
    config.secrets()?;
    transports::check(config)?;
    config.check_tokens()?;
    config.check_paths(made)
}

/// Reads the configuration of a daemon that runs anew, as a start would take it.
pub(super) fn anew(flags: &Flags, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let config = Config::load(flags, surroundings)?;
    files(&config, &[])?;
    doubt(&config);
    Ok(config)
}

/// Says in the log what is in force and probably not meant.
pub(super) fn doubt(config: &Config) {
    for doubt in config.doubts() {
        tracing::warn!("{doubt}");
    }
}

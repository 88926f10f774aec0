//! Ports that somebody else has.

use super::{Door, Ground};
use crate::daemon::Failure;

/// A port that is done without when it is taken, unless somebody has chosen it.
pub(super) struct UsualPort {
    /// The transport's name.
    pub(super) name: &'static str,
    /// The key of `[server]` that sets it.
    pub(super) key: &'static str,
    /// The flag that sets it.
    pub(super) flag: &'static str,
}

impl UsualPort {
    /// What comes of it that somebody else listens at `address`.
    pub(super) fn taken(&self, ground: &Ground<'_>, address: &str) -> Result<Door, Failure> {
        if ground.config.chosen_ports.contains(self.key) {
            return Err(Failure::AddressInUse { address: address.to_owned(), flag: self.flag });
        }
        Ok(Door::Taken { name: self.name, why: format!("{address} is in use") })
    }
}

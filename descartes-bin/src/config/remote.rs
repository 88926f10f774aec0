//! `[remotes.NAME]`: other daemons, and how patient we are with each.

use std::path::PathBuf;

use descartes_core::backend::Backend;
use descartes_rpc::auth::Secret;

use super::family::{Family, is_name, member_keys};
use super::setting::{Endpoint, Expected, Patience, QueueSize};
use super::{ConfigError, private};

/// The section that all remotes are in.
pub(super) const SECTION: &str = "remotes";
/// The cargo feature that remotes are reached with.
pub(super) const FEATURE: &str = "zmq";
/// How a remote may be called: the name of a remote is that of the backend of its agents.
const NAME_EXPECTED: Expected =
    "called by letters, digits, `-`, `_` and `.`, at most 64, and not as a backend";

/// Another daemon. What is said of starts goes for those that wait because it is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it listens; a remote without one is refused.
    pub endpoint: Option<Endpoint>,
    /// A file with the key or token to show it, where it needs one; nobody else may read the file.
    /// It is read with each connection, so that a token can be replaced.
    pub token_file: Option<PathBuf>,
    /// Seconds after which the agents of a remote that does not answer are `lost`.
    pub lost_after_secs: u64,
    /// Seconds a start or a control may take there once it is sent, beside the grace of a kill;
    /// never more than what a call to this daemon may take.
    pub request_timeout_secs: Patience,
    /// Seconds an attempt to connect may take.
    pub connection_timeout_secs: Patience,
    /// Whether a start waits for a remote that is away; if not, it fails at once.
    pub auto_reconnect: bool,
    /// Attempts to connect that follow each other quickly; those after them are half a minute apart.
    pub max_reconnect_attempts: u32,
    /// The pause in seconds between quick attempts, at most.
    pub reconnect_delay_secs: Patience,
    /// Whether a remote that has agents of ours is asked whether it is there.
    pub enable_heartbeat: bool,
    /// Seconds between two such questions.
    pub heartbeat_interval_secs: Patience,
    /// Starts that may wait; one more is refused.
    pub max_queue_size: QueueSize,
    /// Seconds a start may wait.
    pub queue_timeout_secs: Patience,
    /// The file in which starts wait, if they are to survive a restart of this daemon.
    pub queue_path: Option<PathBuf>,
}

impl Remote {
    /// What the remote that is called `name` is to be shown now; nothing where it needs nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or others can.
    pub fn token(&self, name: &str) -> Result<Option<Secret>, ConfigError> {
        let key = || format!("{SECTION}.{name}.token_file");
        self.token_file.as_deref().map(|path| private::read(&key(), path)).transpose()
    }
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            endpoint: None,
            token_file: None,
            lost_after_secs: 600,
            request_timeout_secs: Patience(30),
            connection_timeout_secs: Patience(10),
            auto_reconnect: true,
            max_reconnect_attempts: 5,
            reconnect_delay_secs: Patience(5),
            enable_heartbeat: true,
            heartbeat_interval_secs: Patience(30),
            max_queue_size: QueueSize(1000),
            queue_timeout_secs: Patience(300),
            queue_path: None,
        }
    }
}

pub(super) const FAMILY: Family = Family {
    section: SECTION,
    begin: |config, name| {
        if !is_name(name) || Backend::known_as(name).is_some() {
            return Err(NAME_EXPECTED);
        }
        config.remotes.entry(name.to_owned()).or_default();
        Ok(())
    },
    keys: member_keys![
        remotes: endpoint,
        token_file,
        lost_after_secs,
        request_timeout_secs,
        connection_timeout_secs,
        auto_reconnect,
        max_reconnect_attempts,
        reconnect_delay_secs,
        enable_heartbeat,
        heartbeat_interval_secs,
        max_queue_size,
        queue_timeout_secs,
        queue_path,
    ],
    names: |config| config.remotes.keys().map(String::as_str).collect(),
};

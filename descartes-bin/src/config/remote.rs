//! `[remotes.NAME]`: other daemons, and how patient we are with each.
//!
//! These sections are as many as there are remotes, so they have a table of keys of their own.

use super::setting::{AtLeastOne, Endpoint, Expected, Setting, Value};

/// The section that all remotes are in.
pub(super) const SECTION: &str = "remotes";
/// The cargo feature that remotes are reached with.
pub(super) const FEATURE: &str = "zmq";
/// How a remote may be called.
pub(super) const NAME_EXPECTED: Expected =
    "called by letters, digits, `-`, `_` and `.`, at most 64, and not as a backend";
/// Backends that are there anyway: the name of a remote is that of the backend of its agents.
const BACKENDS: [&str; 2] = ["basic", "process"];
/// Letters of a remote's name.
const NAME_LETTERS: usize = 64;

/// Another daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it listens; a remote without one is refused.
    pub endpoint: Option<Endpoint>,
    /// Seconds after which the agents of a remote that does not answer are `lost`.
    pub lost_after_secs: u64,
    /// Seconds a start or a control may take there, beside the grace of a kill; never more than
    /// what a call to this daemon may take.
    pub request_timeout_secs: AtLeastOne,
    /// Seconds a connection may take to be there.
    pub connection_timeout_secs: AtLeastOne,
    /// The longest pause in seconds between two attempts to connect.
    pub reconnect_delay_secs: AtLeastOne,
    /// Seconds between two questions to a remote that has agents of ours whether it is there.
    pub heartbeat_interval_secs: AtLeastOne,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            endpoint: None,
            lost_after_secs: 600,
            request_timeout_secs: AtLeastOne(30),
            connection_timeout_secs: AtLeastOne(10),
            reconnect_delay_secs: AtLeastOne(5),
            heartbeat_interval_secs: AtLeastOne(30),
        }
    }
}

/// One key of a remote.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) set: fn(&mut Remote, &Value) -> Result<(), Expected>,
    pub(super) show: fn(&Remote) -> Option<String>,
}

macro_rules! keys {
    ($($name:ident),+ $(,)?) => {
        &[$(Key {
            name: stringify!($name),
            set: |remote, value| {
                remote.$name = Setting::read(value)?;
                Ok(())
            },
            show: |remote| Setting::show(&remote.$name),
        }),+]
    };
}

/// Every key, in the order in which they are printed.
pub(super) const KEYS: &[Key] = keys![
    endpoint,
    lost_after_secs,
    request_timeout_secs,
    connection_timeout_secs,
    reconnect_delay_secs,
    heartbeat_interval_secs,
];

/// The key that is called so.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The names of all keys.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// Whether a remote may be called so.
pub(super) fn may_be_called(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_LETTERS).contains(&name.len())
        && name.bytes().all(is_letter)
        && !BACKENDS.contains(&name)
}

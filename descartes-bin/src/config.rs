//! What the daemon is to do, and where that was said: defaults < file < environment < flags.
//!
//! Every key is one row of the table in `keys`; the file, the environment, `--print-config`
//! and the checks all come from it.

mod auth;
mod backend;
mod change;
#[cfg(test)]
mod effects;
mod error;
mod family;
mod file;
mod flags;
mod group;
mod keys;
mod layers;
mod paths;
pub(crate) mod private;
#[cfg(test)]
mod reference;
mod remote;
mod setting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub use auth::{Auth, Secrets, TokenAge};
pub use backend::{BackendConfig, CapabilitiesConfig};
pub use change::Change;
pub use error::{ConfigError, Place, Places};
pub use flags::Flags;
pub use group::Group;
pub use remote::Remote;
pub use setting::{
    ApprovalDefault, ApprovalMode, CommandLine, Durability, Endpoint, Hosts, Kept, LogFormat,
    LogLevel, Origins, Patience, Patterns, Port, QueueSize, Usd, Variables,
};

/// The cargo features of this build that bring a transport.
pub const FEATURES: &[&str] = &[
    #[cfg(feature = "http")]
    "http",
    #[cfg(feature = "unix")]
    "unix",
    #[cfg(feature = "zmq")]
    "zmq",
    #[cfg(feature = "metrics")]
    "metrics",
    #[cfg(feature = "otel")]
    "otel",
];

/// Everything that can be configured and has an effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[auth]`
    pub auth: Auth,
    /// `[pool]`
    pub pool: Pool,
    /// `[logging]`
    pub logging: Logging,
    /// `[store]`
    pub store: Store,
    /// `[limits]`
    pub limits: Limits,
    /// `[retention]`
    pub retention: Retention,
    /// `[agents]`
    pub agents: Agents,
    /// `[chats]`
    pub chats: Chats,
    /// `[approvals]`
    pub approvals: Approvals,
    /// `[backends.NAME]`, by their names
    pub backends: BTreeMap<String, BackendConfig>,
    /// `[remotes.NAME]`, by their names
    pub remotes: BTreeMap<String, Remote>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The keys of ports that somebody has chosen: these must be free.
    pub chosen_ports: BTreeSet<&'static str>,
    /// Where each key was said.
    pub places: Places,
}

/// Where the daemon listens and how long it lets a request take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The address of HTTP; anything beyond loopback needs authentication.
    pub http_addr: IpAddr,
    /// The port of HTTP.
    pub http_port: Port,
    /// The address of WebSockets alone; anything beyond loopback needs authentication.
    pub ws_addr: IpAddr,
    /// The port of WebSockets alone; the port of HTTP serves them too.
    pub ws_port: Port,
    /// The address of ZeroMQ; anything beyond loopback needs authentication.
    pub zmq_addr: IpAddr,
    /// The port of ZeroMQ; `<runtime dir>/zmq.sock` is served in any case.
    pub zmq_port: Port,
    /// The address of the publisher; anything beyond loopback needs authentication.
    pub pub_addr: IpAddr,
    /// The port of the publisher; `<runtime dir>/pub.sock` is served in any case.
    pub pub_port: Port,
    /// The path of the Unix socket; `<runtime dir>/descartes.sock` when absent.
    pub unix_socket: Option<PathBuf>,
    /// The group whose users may connect there as well; the owner alone when absent.
    pub unix_socket_group: Option<Group>,
    /// Seconds until a call that does not wait by nature is answered `timeout`.
    pub request_timeout_secs: u64,
    /// Whether numbers are shown at all.
    pub enable_metrics: bool,
    /// The address of the page of numbers.
    pub metrics_addr: IpAddr,
    /// The port of the page of numbers.
    pub metrics_port: Port,
    /// Whether anyone who reaches it may read it; else who may be let in without credentials, and who
    /// has the scope `metrics`.
    pub metrics_public: bool,
    /// Connections in all. 32 of them are kept for the owner's Unix socket: of 40 all others have 8,
    /// of 33 or fewer 1.
    pub max_connections: u64,
    /// Connections of one address that is not loopback.
    pub max_connections_per_address: u64,
    /// `Host` names that are served beside loopback.
    pub allowed_hosts: Hosts,
    /// Origins whose pages may call and read answers.
    pub allowed_origins: Origins,
    /// The certificate that HTTP and WebSockets show, with the intermediate ones behind it (PEM):
    /// with it, and its key, they are `https` and `wss`. Both files are read anew at each reload;
    /// to turn TLS on or off takes a restart.
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM, without a password); nobody else may read the file.
    pub tls_key: Option<PathBuf>,
}

impl Server {
    /// The address and port that HTTP is to listen on; `None` when it is off.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http_port.at(self.http_addr)
    }

    /// The address and port that WebSockets alone are to listen on; `None` when it is off.
    #[must_use]
    pub fn ws(&self) -> Option<SocketAddr> {
        self.ws_port.at(self.ws_addr)
    }

    /// The address and port that ZeroMQ is to listen on; `None` when it is off.
    #[must_use]
    pub fn zmq(&self) -> Option<SocketAddr> {
        self.zmq_port.at(self.zmq_addr)
    }

    /// The address and port that events are to be published on; `None` when it is off.
    #[must_use]
    pub fn publisher(&self) -> Option<SocketAddr> {
        self.pub_port.at(self.pub_addr)
    }

    /// The address and port where numbers are shown; `None` when they are not.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics_port.at(self.metrics_addr).filter(|_| self.enable_metrics)
    }

    /// The files of the certificate that is shown and of its key; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }

    /// The ports, each with the keys that set it.
    pub(crate) fn ports(&self) -> [TcpDoor; 5] {
        [
            ("http_addr", "http_port", "http", self.http_addr, self.http_port),
            ("ws_addr", "ws_port", "http", self.ws_addr, self.ws_port),
            ("zmq_addr", "zmq_port", "zmq", self.zmq_addr, self.zmq_port),
            ("pub_addr", "pub_port", "zmq", self.pub_addr, self.pub_port),
            ("metrics_addr", "metrics_port", METRICS, self.metrics_addr, self.metrics_port),
        ]
        .map(|(addr_key, port_key, feature, address, port)| TcpDoor {
            addr_key,
            port_key,
            feature,
            address,
            port,
        })
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            http_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: Port::Number(8080),
            ws_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ws_port: Port::Number(8081),
            zmq_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            zmq_port: Port::Number(5555),
            pub_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            pub_port: Port::Number(19480),
            unix_socket: None,
            unix_socket_group: None,
            request_timeout_secs: 30,
            enable_metrics: true,
            metrics_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            metrics_port: Port::Number(9090),
            metrics_public: false,
            max_connections: 4096,
            max_connections_per_address: 64,
            allowed_hosts: Hosts::default(),
            allowed_origins: Origins::default(),
            tls_cert: None,
            tls_key: None,
        }
    }
}

/// The cargo feature of the page of numbers, by which nobody can call anything.
pub(crate) const METRICS: &str = "metrics";

/// A port of `[server]` with the keys that set it.
pub(crate) struct TcpDoor {
    pub(crate) addr_key: &'static str,
    pub(crate) port_key: &'static str,
    /// The cargo feature that serves it.
    pub(crate) feature: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) port: Port,
}

/// How many calls are at work at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Slots that only control calls may take, beside those of `max_size`.
    pub min_size: u64,
    /// Calls at work at once.
    pub max_size: u64,
    /// Seconds a call waits for a slot.
    pub connection_timeout_secs: u64,
    /// Seconds after which a connection of HTTP that asks for nothing is closed.
    pub idle_timeout_secs: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { min_size: 10, max_size: 100, connection_timeout_secs: 30, idle_timeout_secs: 300 }
    }
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The least important level that is logged; `RUST_LOG` says more exactly.
    pub level: LogLevel,
    /// Whether logs go to standard output.
    pub stdout: bool,
    /// A file that logs are appended to.
    pub file: Option<PathBuf>,
    /// For people or for machines.
    pub format: LogFormat,
    /// Bytes beyond which the file is put aside as `.1` and another begun; 0 is never.
    pub rotate_bytes: u64,
    /// Files put aside that are kept: `.1`, the youngest, to `.N`.
    pub keep: Kept,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            stdout: true,
            file: None,
            format: LogFormat::Text,
            rotate_bytes: 64 * 1024 * 1024,
            keep: Kept(5),
        }
    }
}

/// How the store keeps what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What an acknowledged change survives.
    pub durability: Durability,
    /// Bytes of its disk that are left to others: with less free, what can wait is not written.
    pub min_free_bytes: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { durability: Durability::Process, min_free_bytes: 512 * 1024 * 1024 }
    }
}

/// Bounds that an operator may move.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How deep agents may be each other's parents.
    pub hierarchy_depth: u64,
    /// Idempotency records that are kept.
    pub idempotency_records: u64,
    /// Seconds an idempotency record is kept.
    pub idempotency_secs: u64,
    /// Bytes of recent events that are kept in memory.
    pub hot_ring_bytes: u64,
    /// Keys that one agent, or the global state, may have.
    pub state_keys: u64,
    /// Bytes of one state value.
    pub state_value_bytes: u64,
    /// Calls at work on one connection.
    pub calls_per_connection: u64,
    /// Waiting calls on one connection.
    pub waits_per_connection: u64,
    /// Waiting calls in all.
    pub waits: u64,
    /// Subscriptions on one connection.
    pub subscriptions_per_connection: u64,
    /// Connections that have not sent a whole request or ended their handshake; beyond it the
    /// oldest is cut.
    pub newcomers: u64,
    /// Connections that one principal may call on at once; any number when absent. One of HTTP counts
    /// while a request or a stream of it is answered; control calls are not counted.
    pub connections_per_principal: Option<u64>,
    /// Calls a second that one principal may make, in the long run; any number when absent.
    pub rate_per_second: Option<u64>,
    /// Calls that one principal may make at once, where there is a rate; as many as a second when
    /// absent.
    pub burst: Option<u64>,
    /// What the agents of one principal may cost in 24 hours, in USD, as far as their programs tell;
    /// any amount when absent or 0. Beyond it nothing new is begun: turns end, control and reading go
    /// on.
    pub cost_usd_per_day: Option<Usd>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hierarchy_depth: 5,
            idempotency_records: 100_000,
            idempotency_secs: 24 * 3600,
            hot_ring_bytes: descartes_core::limits::HOT_RING_BYTES as u64,
            state_keys: 10_000,
            state_value_bytes: 64 * 1024,
            calls_per_connection: 64,
            waits_per_connection: 512,
            waits: 8192,
            subscriptions_per_connection: 64,
            newcomers: 256,
            connections_per_principal: None,
            rate_per_second: None,
            burst: None,
            cost_usd_per_day: None,
        }
    }
}

/// How much history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Output bytes kept of one agent.
    pub output_bytes_per_agent: u64,
    /// Output bytes kept in all.
    pub output_bytes_total: u64,
    /// Ended agents that are kept.
    pub ended_agents: u64,
    /// Days an ended agent is kept.
    pub ended_agents_days: u64,
    /// Days a chat is kept in which nothing happens and of which nothing runs.
    pub chats_days: u64,
    /// Bytes of one chat that are kept, the newest.
    pub chat_bytes: u64,
    /// Days other events are kept.
    pub events_days: u64,
    /// Days events of audit are kept.
    pub audit_days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            output_bytes_per_agent: 256 * 1024 * 1024,
            output_bytes_total: 10 * 1024 * 1024 * 1024,
            ended_agents: 10_000,
            ended_agents_days: 30,
            chats_days: 90,
            chat_bytes: 64 * 1024 * 1024,
            events_days: 90,
            audit_days: 365,
        }
    }
}

/// What agents get that do not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    /// The backend of an agent that names none.
    pub default_backend: Option<String>,
    /// The working directory of an agent that names none.
    pub default_dir: Option<PathBuf>,
    /// Agents that may be live at once.
    pub max_running: u64,
    /// Seconds a stopped agent may take to end before it is killed.
    pub stop_grace_secs: u64,
}

impl Default for Agents {
    fn default() -> Self {
        Self { default_backend: None, default_dir: None, max_running: 100, stop_grace_secs: 10 }
    }
}

/// How patient chats are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chats {
    /// The backend of a chat that names none.
    pub default_backend: String,
    /// Seconds a turn may take in chats that do not say; 0 is as long as it likes.
    pub turn_timeout_secs: u64,
    /// Seconds after which a turn of which nothing is heard is shown as stalled.
    pub stall_secs: Patience,
    /// Seconds after which the process of a chat that nobody asks anything is ended.
    pub idle_stop_secs: Patience,
}

impl Default for Chats {
    fn default() -> Self {
        Self {
            default_backend: "claude-code".to_owned(),
            turn_timeout_secs: 0,
            stall_secs: Patience(120),
            idle_stop_secs: Patience(900),
        }
    }
}

/// What happens when agents ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// What happens in chats that do not say.
    pub mode: ApprovalMode,
    /// Seconds a question may wait for its decision.
    pub deadline_secs: Patience,
    /// What is decided then.
    pub default: ApprovalDefault,
    /// Whether what nobody can be expected to decide is denied at once.
    pub deny_when_unattended: bool,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            mode: ApprovalMode::Ask,
            deadline_secs: Patience(900),
            default: ApprovalDefault::Deny,
            deny_when_unattended: false,
        }
    }
}

/// Where configuration comes from beside the flags: passed in, so that tests own it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment.
    pub env: BTreeMap<String, String>,
}

impl Surroundings {
    /// Those of this process. Variables that are not UTF-8 are none of ours.
    #[must_use]
    pub fn of_this_process() -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self { env: std::env::vars_os().filter_map(text).collect() }
    }

    /// Those of a test.
    #[cfg(test)]
    pub(crate) fn with(env: &[(&str, &str)]) -> Self {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { env: env.iter().map(text).collect() }
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Config {
    /// Reads every layer in its order and checks the whole.
    ///
    /// # Errors
    /// The first thing that is wrong, with the place where it was said.
    pub fn load(flags: &Flags, surroundings: &Surroundings) -> Result<Self, ConfigError> {
        layers::load(flags, surroundings)
    }

    /// The secrets of `[auth]`, wherever they are.
    ///
    /// # Errors
    /// When a file cannot be read or others can, and when a secret is none.
    pub fn secrets(&self) -> Result<Secrets, ConfigError> {
        self.auth.secrets().map_err(|error| error.at(&self.places))
    }

    /// What became of it that the file of the log was opened.
    pub(crate) fn no_log(&self, source: std::io::Error) -> ConfigError {
        let path = self.logging.file.clone().unwrap_or_default();
        ConfigError::Path { key: "logging.file", path, source }.at(&self.places)
    }

    /// Looks whether paths lead to what is needed there, without making anything; the folders `made`
    /// are made by the daemon itself.
    ///
    /// # Errors
    /// When one does not, with the place where it was said.
    pub fn check_paths(&self, made: &[&Path]) -> Result<(), ConfigError> {
        paths::check(self, made).map_err(|error| error.at(&self.places))
    }

    /// What is in force and probably not meant: to be told, and not to be refused.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        paths::doubts(self)
    }

    /// Reads what each remote is shown.
    ///
    /// # Errors
    /// When a file cannot be read, or others can.
    pub fn check_tokens(&self) -> Result<(), ConfigError> {
        let mut tokens = self.remotes.iter().map(|(name, remote)| remote.token(name).map(drop));
        tokens.try_for_each(|token| token.map_err(|error| error.at(&self.places)))
    }

    /// The whole configuration as a file that would give it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        file::write(self)
    }
}

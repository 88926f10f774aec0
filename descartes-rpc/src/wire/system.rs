//! The daemon about itself, and calls about calls.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Secs;
use super::{params, shape, words};

params! {
    /// No parameters.
    #[derive(Default, Eq)]
    pub struct NoParams {}
}

words! {
    /// How the daemon is.
    pub enum HealthStatus {
        /// Everything works.
        Healthy = "healthy",
        /// Something does not; `reasons` say what.
        Degraded = "degraded",
        /// It is about to stop.
        Draining = "draining",
    }
}

shape! {
    /// How the daemon is.
    pub struct Health {
        /// In one word.
        status: HealthStatus,
        /// Why it is not healthy.
        reasons: Vec<String>,
        /// The daemon's version.
        version: String,
        /// The interface's version.
        api_version: String,
        /// How long it has been running.
        uptime_secs: u64,
        /// Its time.
        timestamp: String,
    }
}

shape! {
    /// Whether the daemon takes work.
    pub struct Ready {
        /// Whether all checks passed.
        ready: bool,
        /// The checks by name: `ok`, or what is wrong.
        checks: BTreeMap<String, String>,
    }
}

shape! {
    /// Numbers about the daemon.
    pub struct Metrics {
        /// How many agents there are; the four parts add up to the total.
        agents: AgentCounts,
        /// The daemon's own use of the machine.
        system: SystemUse,
        /// When.
        timestamp: String,
    }
}

shape! {
    /// How many agents there are.
    #[derive(Default)]
    pub struct AgentCounts {
        /// All that are kept.
        total: u64,
        /// Live and not paused.
        running: u64,
        /// Paused.
        paused: u64,
        /// Completed or killed.
        stopped: u64,
        /// Failed or lost.
        failed: u64,
    }
}

shape! {
    /// The daemon's own use of the machine.
    #[derive(Default)]
    pub struct SystemUse {
        /// How long it has been running.
        uptime_secs: u64,
        /// Resident memory.
        memory_usage_mb?: f64,
        /// Processor time since the start, as a share of one core.
        cpu_usage_percent?: f64,
        /// Connections that are open.
        active_connections: u64,
        /// Calls that were answered since the start, whatever with.
        calls?: u64,
    }
}

shape! {
    /// What the daemon is made of.
    pub struct Info {
        /// The daemon's version.
        version: String,
        /// The interface's version.
        api_version: String,
        /// The instance: the identity of its journal.
        instance: String,
        /// The configuration file in use.
        config_file?: String,
        /// Where its data is.
        data_dir?: String,
        /// Where agents live: `in_process` agents end with the daemon.
        hosting: String,
        /// What keeps agents to themselves. `tree`: a process that descends from an agent or bears
        /// its marks is that agent; it stops accidents, not a program that means to get out.
        agent_boundary: String,
        /// The store.
        store: StoreInfo,
        /// How long what is kept, by configuration key.
        retention: BTreeMap<String, u64>,
        /// Bounds, by configuration key.
        limits: BTreeMap<String, u64>,
        /// What it listens on.
        transports: Vec<TransportInfo>,
        /// Optional parts that were built in.
        features: Vec<String>,
        /// The names of its backends.
        backends: Vec<String>,
    }
}

shape! {
    /// The store.
    pub struct StoreInfo {
        /// Its kind.
        format: String,
        /// What it holds.
        bytes?: u64,
        /// What its disk has left.
        free_bytes?: u64,
        /// When the oldest event was seen that is still kept.
        oldest?: String,
    }
}

shape! {
    /// One way to reach the daemon.
    #[derive(Default)]
    pub struct TransportInfo {
        /// Its name.
        name: String,
        /// Where it listens.
        address?: String,
        /// Why it does not.
        error?: String,
    }
}

impl TransportInfo {
    /// The transport `name` at `address`.
    #[must_use]
    pub fn listening(name: &str, address: impl Into<String>) -> Self {
        Self { name: name.to_owned(), address: Some(address.into()), error: None }
    }

    /// The transport `name`, which could not listen because of `error`.
    #[must_use]
    pub fn failed(name: &str, error: impl Into<String>) -> Self {
        Self { name: name.to_owned(), address: None, error: Some(error.into()) }
    }
}

/// What a shutdown does to agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnShutdown {
    /// They are stopped, with their grace.
    Stop,
}

params! {
    /// Parameters of `system.shutdown`.
    #[derive(Default)]
    mutating pub struct ShutdownParams {
        /// What happens to agents; they are stopped unless given.
        agents?: OnShutdown,
        /// How long calls and agents may take to end; 30 s unless given.
        timeout_secs?: Secs,
    }
}

params! {
    /// Parameters of `system.drain`.
    mutating pub struct DrainParams {
        /// Whether new agents are refused from now on.
        on: bool,
    }
}

shape! {
    /// Whether new agents are refused.
    pub struct DrainAccepted {
        /// Whether it is as asked.
        accepted: bool,
        /// What lives and goes on.
        blockers: Vec<String>,
    }
}

shape! {
    /// Whether the daemon will stop.
    pub struct ShutdownAccepted {
        /// Whether it will.
        accepted: bool,
        /// What it waits for.
        blockers: Vec<String>,
    }
}

params! {
    /// Parameters of `system.reload`.
    #[derive(Default)]
    mutating pub struct ReloadParams {}
}

words! {
    /// What became of a configuration that was read anew.
    pub enum ReloadStatus {
        /// What changed is in force, but for what takes a restart.
        Applied = "applied",
        /// It says what was in force before.
        Unchanged = "unchanged",
        /// It has a mistake: what was in force before still is.
        Refused = "refused",
    }
}

shape! {
    /// What became of a configuration that was read anew.
    pub struct Reloaded {
        /// In one word.
        status: ReloadStatus,
        /// In one sentence.
        message: String,
        /// The keys whose new values are in force.
        applied: Vec<String>,
        /// The keys whose new values take a restart; the old ones are in force until then.
        needs_restart: Vec<String>,
        /// What is wrong with it and where: file, line and column, or variable.
        errors: Vec<String>,
    }
}

impl Reloaded {
    /// Nothing is changed, because of `message`.
    #[must_use]
    pub fn unchanged(message: impl Into<String>) -> Self {
        Self {
            status: ReloadStatus::Unchanged,
            message: message.into(),
            applied: Vec::new(),
            needs_restart: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The configuration has these mistakes.
    #[must_use]
    pub fn refused(errors: Vec<String>) -> Self {
        let message = "the configuration has a mistake; the one before stays in force";
        Self { status: ReloadStatus::Refused, errors, ..Self::unchanged(message) }
    }

    /// These keys have changed: of the first the new values are in force.
    #[must_use]
    pub fn applied(applied: Vec<String>, needs_restart: Vec<String>) -> Self {
        let message = match (applied.len(), needs_restart.len()) {
            (0, 0) => return Self::unchanged("the configuration says what was in force before"),
            (now, 0) => format!("{now} changed and in force"),
            (0, later) => format!("{later} changed, in force after a restart"),
            (now, later) => format!("{now} changed and in force, {later} after a restart"),
        };
        let unchanged = Self::unchanged(message);
        Self { status: ReloadStatus::Applied, applied, needs_restart, ..unchanged }
    }
}

params! {
    /// Parameters of `rpc.cancel`.
    pub struct CancelParams {
        /// The `id` of the call, as it was sent on this connection.
        id: super::state::Json,
    }
}

shape! {
    /// Whether a call was ended.
    pub struct CancelResult {
        /// False when no such call waits.
        cancelled: bool,
    }
}

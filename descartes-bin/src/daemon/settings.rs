//! What the parts of the daemon make of the configuration, at the start and when it is read anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use descartes_core::backend::{Backend, BasicProgram};
use descartes_core::chat::ChatTimes;
use descartes_core::dialect;
use descartes_core::limits::Limits;
use descartes_core::{RetentionPolicy, Settings};
use descartes_rpc::layer::{RateLimit, SlotLimits};

use crate::basic;
use crate::config::{ApprovalDefault, ApprovalMode, Config};
use crate::transports::size;

const DAY_SECS: u64 = 24 * 3600;

/// What the agents are run with.
pub(super) fn of_core(config: &Config) -> Settings {
    let basic = own_program().map(|program| BasicProgram { program, arg0: basic::ARG0.to_owned() });
    let mut settings = Settings::default();
    settings.limits = limits(config);
    settings.retention = retention(config);
    let cost = config.limits.cost_usd_per_day.map(|usd| usd.0);
    settings.cost_usd_per_day = cost.filter(|usd| *usd > 0.0);
    settings.chat_times = chat_times(config);
    settings.approval_mode = approval_mode(config.approvals.mode);
    settings.allow_undecided = config.approvals.default == ApprovalDefault::Allow;
    settings.deny_when_unattended = config.approvals.deny_when_unattended;
    settings.chat_backend = Some(config.chats.default_backend.as_str().into());
    settings.default_backend = config.agents.default_backend.as_deref().map(Into::into);
    let here = || std::env::current_dir().ok();
    settings.default_dir = config.agents.default_dir.clone().or_else(here);
    settings.backends = backends(config, basic.as_ref());
    settings.basic = basic;
    settings
}

/// Those that are configured, and one for each remote.
fn backends(config: &Config, basic: Option<&BasicProgram>) -> Vec<Backend> {
    let own = config.backends.iter().map(|(name, backend)| {
        backend.backend(name, basic.cloned()).expect("a backend that cannot be is refused")
    });
    let remote = |name: &String| Backend::process().renamed(name.as_str()).on(name.as_str());
    own.chain(config.remotes.keys().map(remote)).collect()
}

/// The file that this program was started from. A newer one in its place serves as well.
fn own_program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

fn chat_times(config: &Config) -> ChatTimes {
    let chats = &config.chats;
    let mut times = ChatTimes::default();
    times.stall = Duration::from_secs(chats.stall_secs.0);
    times.idle_stop = Duration::from_secs(chats.idle_stop_secs.0);
    times.turn_timeout =
        (chats.turn_timeout_secs > 0).then(|| Duration::from_secs(chats.turn_timeout_secs));
    times.approval = Duration::from_secs(config.approvals.deadline_secs.0);
    times
}

fn approval_mode(mode: ApprovalMode) -> dialect::ApprovalMode {
    dialect::ApprovalMode::from_text(mode.as_str()).expect("core has the same words")
}

fn limits(config: &Config) -> Limits {
    let given = &config.limits;
    let mut limits = Limits::default();
    limits.agents_running = size(config.agents.max_running);
    limits.stop_grace = Duration::from_secs(config.agents.stop_grace_secs);
    limits.hierarchy_depth = size(given.hierarchy_depth);
    limits.hot_ring_bytes = size(given.hot_ring_bytes);
    limits.idempotency_records = size(given.idempotency_records);
    limits.idempotency_age = Duration::from_secs(given.idempotency_secs);
    limits.state_keys = size(given.state_keys);
    limits.state_value_bytes = size(given.state_value_bytes);
    limits
}

fn retention(config: &Config) -> RetentionPolicy {
    let given = &config.retention;
    let mut retention = RetentionPolicy::default();
    retention.output_bytes_per_agent = given.output_bytes_per_agent;
    retention.output_bytes_total = given.output_bytes_total;
    retention.ended_agents = size(given.ended_agents);
    retention.ended_age = Duration::from_secs(given.ended_agents_days.saturating_mul(DAY_SECS));
    retention.chats_age = Duration::from_secs(given.chats_days.saturating_mul(DAY_SECS));
    retention.chat_bytes = given.chat_bytes;
    retention.events_age = Duration::from_secs(given.events_days.saturating_mul(DAY_SECS));
    retention.audit_age = Duration::from_secs(given.audit_days.saturating_mul(DAY_SECS));
    retention
}

/// How often one principal may call; `None` is as often as it likes.
pub(super) fn rate(config: &Config) -> Option<RateLimit> {
    let per_second = config.limits.rate_per_second?;
    Some(RateLimit { per_second, burst: config.limits.burst.unwrap_or(per_second) })
}

/// On how many connections one principal may be; `None` is any number.
pub(super) const fn connections_per_principal(config: &Config) -> Option<u64> {
    config.limits.connections_per_principal
}

/// How many calls may be at work.
pub(super) fn slots(config: &Config) -> SlotLimits {
    let mut slots = SlotLimits::default();
    slots.calls = size(config.pool.max_size);
    slots.control = size(config.pool.min_size);
    slots.waits = size(config.limits.waits);
    slots.patience = Duration::from_secs(config.pool.connection_timeout_secs);
    slots
}

/// The bounds that `system.info` shows beside those of the libraries, by configuration key; one that
/// is not set is not there.
pub(super) fn shown(config: &Config, connections: u64) -> BTreeMap<String, u64> {
    let limits = &config.limits;
    let all = [
        ("calls_per_connection", limits.calls_per_connection),
        ("waits_per_connection", limits.waits_per_connection),
        ("waits", limits.waits),
        ("subscriptions_per_connection", limits.subscriptions_per_connection),
        ("newcomers", limits.newcomers),
        ("idempotency_records", limits.idempotency_records),
        ("idempotency_secs", limits.idempotency_secs),
        ("agents.max_running", config.agents.max_running),
        ("agents.stop_grace_secs", config.agents.stop_grace_secs),
        ("pool.max_size", config.pool.max_size),
        ("pool.min_size", config.pool.min_size),
        ("server.max_connections", connections),
        ("server.request_timeout_secs", config.server.request_timeout_secs),
    ];
    let of_principals = [
        ("connections_per_principal", limits.connections_per_principal),
        ("rate_per_second", limits.rate_per_second),
        ("burst", limits.burst),
    ];
    let set = of_principals.into_iter().filter_map(|(key, value)| Some((key, value?)));
    all.into_iter().chain(set).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// How long a call may take that does not wait by its nature.
pub(super) fn request_timeout(config: &Config) -> Duration {
    Duration::from_secs(config.server.request_timeout_secs)
}

/// Everything that the parts are given, as text: what changes it has an effect.
#[cfg(test)]
pub(crate) fn wired(config: &Config) -> String {
    let mut core = of_core(config);
    core.basic = None;
    let (slots, rate, timeout) = (slots(config), rate(config), request_timeout(config));
    let (store, crowd) = (super::host::store_options(config), connections_per_principal(config));
    format!("{core:?} {slots:?} {rate:?} {timeout:?} {store:?} {crowd:?}")
}

//! What is behind the transports: the store, the runner, the agents and their API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use descartes_core::backend::BasicProgram;
use descartes_core::chat::ChatTimes;
use descartes_core::dialect;
use descartes_core::limits::Limits;
use descartes_core::process::ProcessRunner;
use descartes_core::store::{self, SqliteOptions, SqliteStore};
use descartes_core::{Builder, Descartes, Kill, RetentionPolicy};
use descartes_rpc::layer::SlotLimits;
use descartes_rpc::router::{About, Router, ShutdownHook, ShutdownRequest, Transports};
use descartes_rpc::service::Rpc;
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::run::Plan;
use super::{remotes, signals, usage};
use crate::basic;
use crate::config::{ApprovalDefault, ApprovalMode, Config, Durability, FEATURES};

/// How long a forced end may take: a kill without grace and the last commit.
const FORCED_END: Duration = Duration::from_secs(5);
const DAY_SECS: u64 = 24 * 3600;

/// What `system.shutdown` does, and where it is heard.
pub(super) fn shutdown_hook() -> (ShutdownHook, mpsc::Receiver<ShutdownRequest>) {
    let (ask, asked) = mpsc::channel(1);
    let hook = move |request| {
        if ask.try_send(request).is_err() {
            tracing::debug!("a stop was asked for already");
        }
    };
    (Arc::new(hook), asked)
}

/// The agents and their API.
pub(super) struct Host {
    descartes: Descartes,
    rpc: Rpc,
    transports: Transports,
    reaper: JoinHandle<()>,
}

impl Host {
    /// Opens the store, ends what an earlier daemon left behind, and begins.
    pub(super) async fn start(
        plan: &Plan<'_>,
        shutdown: ShutdownHook,
        connections: &Arc<Semaphore>,
    ) -> Result<Self, Failure> {
        let (config, data) = (&plan.config, &plan.directories.data);
        let store = SqliteStore::open(data.join("store"), &store_options(config))
            .map_err(Failure::internal("open the store"))?;
        let runner = Arc::new(ProcessRunner::new().subreaper(true));
        let child_ended = signals::child_ended().map_err(Failure::internal("handle signals"))?;
        let reaper = tokio::spawn(reap(Arc::clone(&runner), child_ended));
        let builder = Descartes::builder()
            .store(Arc::new(store))
            .runner(runner)
            .secrets_dir(plan.directories.secrets())
            .version(env!("CARGO_PKG_VERSION"));
        let builder = remotes::added(configured(builder, config), config).await?;
        let descartes = builder.build().await.map_err(Failure::internal("start"))?;
        let load = plan.auth.load(&descartes).await;
        load.map_err(Failure::internal("read the keys"))?;
        let transports = Transports::default();
        let mut about = about(plan);
        about.transports = transports.clone();
        about.usage =
            Some(usage::probe(plan.began, Arc::clone(connections), plan.shared_connections()));
        about.auth = plan.auth.clone();
        about.shutdown = Some(shutdown);
        let rpc = Rpc::over(Arc::new(Router::new(descartes.clone(), about)))
            .owner_uid(rustix::process::geteuid().as_raw())
            .request_timeout(Duration::from_secs(config.server.request_timeout_secs))
            .slots(slots(config))
            .build();
        Ok(Self { descartes, rpc, transports, reaper })
    }

    /// The API, for a transport.
    pub(super) fn rpc(&self) -> Rpc {
        self.rpc.clone()
    }

    /// The list that `system.info` shows.
    pub(super) fn transports(&self) -> &Transports {
        &self.transports
    }

    /// The identity of the store.
    pub(super) fn instance(&self) -> String {
        format!("{:08x}", self.descartes.journal().store().identity().store)
    }

    /// Refuses new agents and ends those that live, with at most `limit` as their grace.
    pub(super) async fn stop_agents(&self, limit: Duration) {
        self.descartes.drain().await;
        let grace = Some(self.descartes.limits().stop_grace.min(limit));
        self.descartes.stop_agents(Kill { grace, force: false }).await;
    }

    /// Commits what waits and closes the store.
    pub(super) async fn close(&self) {
        self.descartes.shutdown().await;
        self.reaper.abort();
    }

    /// Ends what is left without grace.
    pub(super) async fn force(&self) {
        let end = async {
            self.descartes.stop_agents(Kill { grace: None, force: true }).await;
            self.close().await;
        };
        if tokio::time::timeout(FORCED_END, end).await.is_err() {
            tracing::error!("not everything has ended; the next start sweeps what is left");
        }
    }
}

/// Collects the children that nobody waits for, whenever one has ended.
async fn reap(runner: Arc<ProcessRunner>, mut child_ended: Signal) {
    while child_ended.recv().await.is_some() {
        runner.reap().await;
    }
}

fn configured(builder: Builder, config: &Config) -> Builder {
    let mut builder = builder.limits(limits(config)).retention(retention(config));
    let basic = own_program().map(|program| BasicProgram { program, arg0: basic::ARG0.to_owned() });
    for (name, backend) in &config.backends {
        let backend = backend.backend(name, basic.clone());
        builder = builder.backend(backend.expect("a backend that cannot be is refused"));
    }
    if let Some(basic) = basic {
        builder = builder.basic(basic);
    }
    builder = builder
        .chat_times(chat_times(config))
        .chat_backend(config.chats.default_backend.as_str())
        .approval_mode(approval_mode(config.approvals.mode))
        .allow_undecided(config.approvals.default == ApprovalDefault::Allow)
        .deny_when_unattended(config.approvals.deny_when_unattended);
    if let Some(name) = &config.agents.default_backend {
        builder = builder.default_backend(name.as_str());
    }
    match config.agents.default_dir.clone().or_else(|| std::env::current_dir().ok()) {
        Some(dir) => builder.default_dir(dir),
        None => builder,
    }
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

fn store_options(config: &Config) -> SqliteOptions {
    SqliteOptions::default().durability(match config.store.durability {
        Durability::Process => store::Durability::Process,
        Durability::Power => store::Durability::Power,
    })
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
    retention.events_age = Duration::from_secs(given.events_days.saturating_mul(DAY_SECS));
    retention.audit_age = Duration::from_secs(given.audit_days.saturating_mul(DAY_SECS));
    retention
}

fn slots(config: &Config) -> SlotLimits {
    let mut slots = SlotLimits::default();
    slots.calls = size(config.pool.max_size);
    slots.control = size(config.pool.min_size);
    slots.patience = Duration::from_secs(config.pool.connection_timeout_secs);
    slots
}

fn about(plan: &Plan<'_>) -> About {
    let text = |path: &std::path::Path| path.display().to_string();
    let (config, mut about) = (&plan.config, About::default());
    about.version = env!("CARGO_PKG_VERSION").into();
    about.store = "sqlite".into();
    about.config_file = config.file.as_deref().map(text);
    about.data_dir = Some(text(&plan.directories.data));
    about.features = FEATURES.iter().map(|feature| (*feature).to_owned()).collect();
    about.limits = BTreeMap::from(
        [
            ("agents.max_running", config.agents.max_running),
            ("agents.stop_grace_secs", config.agents.stop_grace_secs),
            ("pool.max_size", config.pool.max_size),
            ("pool.min_size", config.pool.min_size),
            ("server.max_connections", plan.connections),
            ("server.request_timeout_secs", config.server.request_timeout_secs),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    about
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

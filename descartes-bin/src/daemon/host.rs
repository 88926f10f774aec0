//! What is behind the transports: the store, the runner, the agents and their API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use descartes_core::event::{News, Reloaded, Topic};
use descartes_core::process::ProcessRunner;
use descartes_core::store::{self, SqliteOptions, SqliteStore};
use descartes_core::{Descartes, Kill, StartError, Swap};
use descartes_rpc::router::{About, ReloadHook, Router, ShutdownHook, ShutdownRequest, Transports};
use descartes_rpc::service::Rpc;
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::run::Plan;
use super::traces::Traces;
use super::{remotes, settings, signals, usage};
use crate::config::{Config, Durability, FEATURES};

/// How long a forced end may take: a kill without grace and the last commit.
const FORCED_END: Duration = Duration::from_secs(2);

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
    shown: Swap<BTreeMap<String, u64>>,
    reaper: JoinHandle<()>,
    #[cfg(feature = "metrics")]
    queues: remotes::Queues,
}

impl Host {
    /// Opens the store, ends what an earlier daemon left behind, and begins.
    pub(super) async fn start(
        plan: &Plan,
        (shutdown, reload): (ShutdownHook, ReloadHook),
        connections: &Arc<Semaphore>,
        traces: &Traces,
    ) -> Result<Self, Failure> {
        let (config, data) = (&plan.config, &plan.directories.data);
        let store = SqliteStore::open(data.join("store"), &store_options(config))
            .map_err(Failure::Store)?;
        let runner = Arc::new(ProcessRunner::new().subreaper(true));
        let child_ended = signals::child_ended().map_err(Failure::internal("handle signals"))?;
        let reaper = tokio::spawn(reap(Arc::clone(&runner), child_ended));
        let builder = Descartes::builder()
            .store(Arc::new(store))
            .runner(runner)
            .secrets_dir(plan.directories.secrets())
            .version(env!("CARGO_PKG_VERSION"))
            .settings(settings::of_core(config));
        let builder = traces.of_agents(builder);
        #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nobody asks"))]
        let (builder, queues) = remotes::added(builder, config).await?;
        let descartes = builder.build().await.map_err(Failure::Start)?;
        if let Err(error) = plan.auth.load(&descartes).await {
            // It may have taken agents over, and has said that it has begun.
            descartes.shutdown().await;
            reaper.abort();
            return Err(Failure::internal("read the keys")(error));
        }
        let transports = Transports::default();
        let mut about = about(plan);
        about.transports = transports.clone();
        let room = (Arc::clone(connections), plan.shared_connections());
        about.usage = Some(usage::probe(plan.began, room, plan.meter.clone()));
        about.auth = plan.auth.clone();
        about.shutdown = Some(shutdown);
        about.reload = Some(reload);
        let shown = about.limits.clone();
        let rpc = Rpc::over(Arc::new(Router::new(descartes.clone(), about)))
            .owner_uid(rustix::process::geteuid().as_raw())
            .request_timeout(settings::request_timeout(config))
            .slots(settings::slots(config))
            .rate(settings::rate(config))
            .meter(plan.meter.clone());
        let rpc = traces.of_calls(rpc).build();
        rpc.crowd().set(settings::connections_per_principal(config));
        Ok(Self {
            descartes,
            rpc,
            transports,
            shown,
            reaper,
            #[cfg(feature = "metrics")]
            queues,
        })
    }

    /// The API, for a transport.
    pub(super) fn rpc(&self) -> Rpc {
        self.rpc.clone()
    }

    /// Puts in force what of `config` concerns the agents and their API; all of it or nothing.
    ///
    /// # Errors
    /// When it names a runner that there is not, which a change of a configuration never does.
    pub(super) fn reconfigure(&self, config: &Config, connections: u64) -> Result<(), StartError> {
        self.descartes.reconfigure(settings::of_core(config))?;
        self.rpc.slots().resize(settings::slots(config));
        self.rpc.rates().set(settings::rate(config));
        self.rpc.crowd().set(settings::connections_per_principal(config));
        self.rpc.deadline().set(settings::request_timeout(config));
        self.shown.store(settings::shown(config, connections));
        Ok(())
    }

    /// Says in the journal what came of a reload that `by` asked for.
    pub(super) async fn note_reload(&self, by: Arc<str>, reloaded: Reloaded) {
        self.descartes.note_reload(by, reloaded).await;
    }

    /// Writes down for audit what no call has done.
    pub(super) async fn audit(&self, entry: News) {
        if let Err(error) = self.descartes.publish(&Topic::audit(), vec![entry]).await {
            tracing::warn!(%error, "what was done could not be written down");
        }
    }

    /// What its numbers are read of.
    #[cfg(feature = "metrics")]
    pub(super) fn numbers(&self) -> crate::metrics::Source {
        crate::metrics::Source {
            descartes: self.descartes.clone(),
            rpc: self.rpc(),
            queues: self.queues.clone(),
            began: std::time::SystemTime::now(),
        }
    }

    /// The list that `system.info` shows.
    pub(super) fn transports(&self) -> &Transports {
        &self.transports
    }

    /// The identity of the store.
    pub(super) fn instance(&self) -> String {
        format!("{:08x}", self.descartes.journal().store().identity().store)
    }

    /// Begins nothing new; whoever asks hears that the daemon is not ready any more.
    pub(super) async fn close_intake(&self) {
        self.rpc.close();
        self.descartes.drain().await;
    }

    /// Answers the calls that are still at work, for nobody waits for them any more.
    pub(super) fn give_up_calls(&self) {
        self.rpc.give_up();
    }

    /// Ends the agents that live, with at most `limit` as their grace, until also their chats have
    /// said so.
    pub(super) async fn stop_agents(&self, limit: Duration) {
        let grace = Some(self.descartes.settings().limits.stop_grace.min(limit));
        self.descartes.stop_agents(Kill { grace, force: false }).await;
        self.descartes.settle_chats().await;
    }

    /// Commits what waits and closes the store.
    pub(super) async fn close(&self) {
        self.descartes.shutdown().await;
        self.reaper.abort();
    }

    /// Says in the log which agents, calls and connections have not ended, and sums it up.
    pub(super) fn name_who_blocks(&self, connections: usize) -> String {
        let agents = self.descartes.live();
        for agent in &agents {
            let (id, status) = (agent.id, agent.status.as_str());
            tracing::warn!(agent_id = %id, name = %agent.name, status, "has not ended");
        }
        let calls = self.rpc.meter().at_work();
        for (method, count) in &calls {
            tracing::warn!(method, count, "calls have not ended");
        }
        if connections > 0 {
            tracing::warn!(connections, "have not ended");
        }
        let calls: u64 = calls.values().sum();
        format!("{} agents, {calls} calls, {connections} connections", agents.len())
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

/// How the store is opened.
pub(super) fn store_options(config: &Config) -> SqliteOptions {
    let durability = match config.store.durability {
        Durability::Process => store::Durability::Process,
        Durability::Power => store::Durability::Power,
    };
    let options = SqliteOptions::default().durability(durability);
    options.min_free_bytes(config.store.min_free_bytes)
}

fn about(plan: &Plan) -> About {
    let text = |path: &std::path::Path| path.display().to_string();
    let (config, mut about) = (&plan.config, About::default());
    about.version = env!("CARGO_PKG_VERSION").into();
    about.store = "sqlite".into();
    about.config_file = config.file.as_deref().map(text);
    about.data_dir = Some(text(&plan.directories.data));
    about.features = FEATURES.iter().map(|feature| (*feature).to_owned()).collect();
    about.limits = Swap::new(settings::shown(config, plan.connections));
    about
}

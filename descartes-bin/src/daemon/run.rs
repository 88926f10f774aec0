//! The life of a daemon: listen, begin, say so, serve, stop.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use descartes_rpc::auth::Authenticator;
use descartes_rpc::meter::Meter;
use descartes_rpc::wire::system::TransportInfo;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::given::Given;
use super::host::{self, Host};
use super::logs::Logs;
use super::manager::{self, Manager};
use super::notice;
use super::reload::{self, Reloader};
use super::signals::{self, StopSignals};
use super::stop::{DRAIN, Served, Stop};
use crate::config::{Config, Flags, Surroundings};
use crate::directories::Directories;
use crate::endpoints::{Endpoints, Publication};
use crate::exit::Code;
use crate::output::Output;
use crate::transports::{self, Change, Door, Ground, Listener, nothing};

/// Connections that are kept for the owner's Unix socket, beside those that all share.
const KEPT_FOR_OWNER: usize = 32;

/// What a daemon is to do.
pub(super) struct Plan<'a> {
    pub(super) config: Config,
    pub(super) directories: Directories,
    /// How many connections there may be, those for the owner included.
    pub(super) connections: u64,
    /// What it knows its callers by.
    pub(super) auth: Authenticator,
    /// Whether it runs in a container.
    pub(super) contained: bool,
    /// What whoever started it has opened for it.
    pub(super) given: Given,
    /// When its program began.
    pub(super) began: Instant,
    /// Where it says that it is ready.
    pub(super) output: &'a Output,
    /// What it was started with.
    pub(super) flags: Flags,
    pub(super) surroundings: Surroundings,
    /// Where calls and callers are counted.
    pub(super) meter: Meter,
    /// Where numbers are read.
    #[cfg(feature = "metrics")]
    pub(super) scrape: crate::metrics::Scrape,
}

/// Lives until a signal or a call ends it.
pub(super) async fn run(plan: Plan<'_>, logs: Logs) -> Result<Code, Failure> {
    // First of all, so that a signal during the start ends the daemon in order.
    let mut signals = StopSignals::install().map_err(Failure::internal("handle signals"))?;
    let hangup = signals::reload_asked().map_err(Failure::internal("handle signals"))?;
    let (shutdown, mut asked) = host::shutdown_hook();
    let (reload, reloads) = reload::hook();
    let connections = Arc::new(Semaphore::new(plan.shared_connections()));
    let closing = CancellationToken::new();
    // Before the store is touched: a start that fails here has changed nothing.
    let doors = transports::open(&plan.ground(&connections, &closing)).await?;
    let started = Host::start(&plan, (shutdown, reload), &connections);
    let Some(host) = begun(started, &mut signals).await? else { return Ok(Code::Done) };
    let host = Arc::new(host);
    #[cfg(feature = "metrics")]
    plan.scrape.of(host.numbers());
    let mut listeners = told(&host, doors);
    let endpoints = Plan::endpoints(&host, &listeners);
    let changes =
        listeners.iter_mut().map(|one| mem::replace(&mut one.change, nothing())).collect();
    let served = Served::start(&host.rpc(), listeners);
    let published = plan.publish(&endpoints)?;
    let manager = Manager::of(&plan.surroundings).map(Arc::new);
    let mut reloader = plan.reloader(&host, logs, changes);
    reloader.manager.clone_from(&manager);
    let reloading = AbortOnDropHandle::new(tokio::spawn(reloader.work(hangup, reloads)));
    plan.output.note(notice::ready(
        &endpoints,
        &plan.directories,
        (plan.began.elapsed(), plan.auth.is_required()),
    ));
    if let Some(manager) = &manager {
        manager.ready();
    }
    let limit = tokio::select! {
        () = manager::watch(manager.as_deref()) => DRAIN,
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            DRAIN
        }
        Some(request) = asked.recv() => {
            tracing::info!("stopping as asked");
            request.timeout.unwrap_or(DRAIN)
        }
    };
    drop(reloading);
    if let Some(manager) = &manager {
        manager.stopping();
    }
    let connections = (connections, plan.shared_connections());
    let stop = Stop { host, served, published, closing, manager, connections };
    Ok(stop.within(limit, &mut signals).await)
}

/// What `start` comes to; nothing when a signal came in the meantime and all is ended again.
async fn begun(
    start: impl Future<Output = Result<Host, Failure>>,
    signals: &mut StopSignals,
) -> Result<Option<Host>, Failure> {
    let mut start = pin!(start);
    let signal = tokio::select! {
        host = &mut start => return host.map(Some),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "stopping as soon as it has begun");
    // The store is open, perhaps: it is left as a daemon leaves it that has ended.
    tokio::select! {
        host = start => host?.close().await,
        signal = signals.next() => tracing::warn!(signal, "stopping at once"),
    }
    Ok(None)
}

/// Those that listen; what does not is told where it is looked for.
fn told(host: &Host, doors: Vec<Door>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for door in doors {
        match door {
            Door::Open(listener) => {
                for address in &listener.addresses {
                    host.transports().add(TransportInfo::listening(listener.name, address.clone()));
                }
                listeners.push(listener);
            }
            Door::Taken { name, why } => {
                tracing::warn!(transport = name, "{why}; done without");
                host.transports().add(TransportInfo::failed(name, why));
            }
        }
    }
    listeners
}

impl Plan<'_> {
    /// How many connections all transports share.
    pub(super) fn shared_connections(&self) -> usize {
        let most = usize::try_from(self.connections).unwrap_or(usize::MAX);
        most.saturating_sub(KEPT_FOR_OWNER).clamp(1, Semaphore::MAX_PERMITS)
    }

    fn ground(&self, connections: &Arc<Semaphore>, closing: &CancellationToken) -> Ground<'_> {
        Ground {
            config: &self.config,
            directories: &self.directories,
            connections: Arc::clone(connections),
            auth: self.auth.clone(),
            trust_loopback: !self.contained || self.config.auth.trust_loopback,
            #[cfg(feature = "metrics")]
            scrape: self.scrape.clone(),
            meter: self.meter.clone(),
            drain: DRAIN,
            closing: closing.clone(),
            given: &self.given,
        }
    }

    fn reloader(&self, host: &Arc<Host>, logs: Logs, changes: Vec<Change>) -> Reloader {
        Reloader {
            flags: self.flags.clone(),
            surroundings: self.surroundings.clone(),
            config: self.config.clone(),
            connections: self.connections,
            host: Arc::clone(host),
            auth: self.auth.clone(),
            secrets: self.directories.secrets(),
            logs,
            manager: None,
            changes,
        }
    }

    fn endpoints(host: &Host, listeners: &[Listener]) -> Endpoints {
        let mut endpoints = Endpoints {
            pid: std::process::id(),
            instance: host.instance(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Endpoints::default()
        };
        for listener in listeners {
            if let Some(address) = listener.addresses.first() {
                (listener.publish)(&mut endpoints, address.clone());
            }
        }
        endpoints
    }

    /// Tells clients where to come; `None` when another live daemon is the one they come to.
    fn publish(&self, endpoints: &Endpoints) -> Result<Option<Publication>, Failure> {
        let path = self.directories.endpoints();
        let claimed = Publication::claim(path.clone());
        let Some(mut publication) = claimed.map_err(Failure::internal("claim endpoints.json"))?
        else {
            tracing::warn!(path = %path.display(), "another daemon's; ours is not written");
            return Ok(None);
        };
        publication.write(endpoints).map_err(Failure::internal("write endpoints.json"))?;
        Ok(Some(publication))
    }
}

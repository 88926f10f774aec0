//! The life of a daemon: listen, begin, say so, serve, stop.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use descartes_rpc::auth::Authenticator;
use descartes_rpc::meter::Meter;
use descartes_rpc::router::ShutdownRequest;
use descartes_rpc::wire::system::TransportInfo;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::given::Given;
use super::host::{self, Host};
use super::lock::InstanceLock;
use super::logs::Logs;
use super::manager::{self, Manager};
use super::notice;
use super::reload::{self, Reloader, Sources};
use super::signals::{Signals, Step, StopSignals};
use super::stop::{DRAIN, Served, Stop, TRANSPORTS_DRAIN};
use super::traces::Traces;
use crate::config::{Config, Flags, Surroundings};
use crate::directories::Directories;
use crate::endpoints::{Endpoints, Publication};
use crate::exit::Code;
use crate::output::Output;
use crate::transports::{self, Change, Door, Ground, Listener, nothing};

/// Connections that are kept for the owner's Unix socket, beside those that all share.
const KEPT_FOR_OWNER: usize = 32;

/// What a daemon is to do.
pub(super) struct Plan {
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
    pub(super) output: Output,
    /// What it was started with.
    pub(super) flags: Flags,
    pub(super) surroundings: Surroundings,
    /// Where calls and callers are counted.
    pub(super) meter: Meter,
    /// Where numbers are read.
    #[cfg(feature = "metrics")]
    pub(super) scrape: crate::metrics::Scrape,
    /// Its data are nobody else's.
    pub(super) _lock: InstanceLock,
}

/// How a daemon came to its end.
pub(super) enum Life {
    Ended(Code),
    /// It was asked to end while something of its start hung; that is left where it is.
    Hung,
}

/// Prepares, and lives until a signal or a call ends it.
pub(super) async fn live(
    prepare: impl FnOnce() -> Result<Option<(Plan, Logs)>, Failure> + Send + 'static,
    mut signals: Signals,
) -> Result<Life, Failure> {
    match signals.stop.unless_asked(spawn_blocking(prepare)).await? {
        Step::Done(Some((plan, logs))) => run(Arc::new(plan), logs, signals).await,
        Step::Done(None) | Step::Asked(_) => Ok(Life::Ended(Code::Done)),
        Step::Hangs => Ok(Life::Hung),
    }
}

/// Does a step of the start where it may block without keeping anybody from hearing signals.
fn aside<T: Send + 'static, F: Future<Output = T>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> JoinHandle<T> {
    let runtime = Handle::current();
    spawn_blocking(move || runtime.block_on(work()))
}

async fn run(plan: Arc<Plan>, logs: Logs, mut signals: Signals) -> Result<Life, Failure> {
    let (shutdown, mut asked) = host::shutdown_hook();
    let (reload, reloads) = reload::hook();
    let connections = Arc::new(Semaphore::new(plan.shared_connections()));
    let closing = CancellationToken::new();
    // Before the store is touched: a start that fails here has changed nothing.
    let opened = {
        let (plan, connections) = (Arc::clone(&plan), Arc::clone(&connections));
        let closing = closing.clone();
        aside(move || async move {
            let publication = plan.claim()?;
            let doors = transports::open(&plan.ground(&connections, &closing)).await?;
            Ok::<_, Failure>((doors, publication))
        })
    };
    let (doors, published) = match signals.stop.unless_asked(opened).await? {
        Step::Done(opened) => opened,
        Step::Asked(_) => return Ok(Life::Ended(Code::Done)),
        Step::Hangs => return Ok(Life::Hung),
    };
    let traces = Arc::new(Traces::begin(&plan.surroundings));
    let started = {
        let (plan, connections) = (Arc::clone(&plan), Arc::clone(&connections));
        let (traces, hooks) = (Arc::clone(&traces), (shutdown, reload));
        aside(move || async move { Host::start(&plan, hooks, &connections, &traces).await })
    };
    let host = match signals.stop.unless_asked(started).await? {
        Step::Done(host) => Arc::new(host),
        Step::Asked(host) => {
            drop(doors);
            undo(&host, &mut signals).await;
            return Ok(Life::Ended(Code::Done));
        }
        Step::Hangs => return Ok(Life::Hung),
    };
    #[cfg(feature = "metrics")]
    plan.scrape.of(host.numbers());
    let mut listeners = told(&host, doors);
    let endpoints = Plan::endpoints(&host, &listeners);
    let changes =
        listeners.iter_mut().map(|one| mem::replace(&mut one.change, nothing())).collect();
    let served = Served::start(&host.rpc(), listeners);
    let connections = (connections, plan.shared_connections());
    let manager = Manager::of(&plan.surroundings).map(Arc::new);
    let mut stop = Stop { host, served, published, closing, manager, connections };
    if let Err(failure) = stop.publish(&endpoints) {
        // Agents may be at work, and somebody may have come to a port that is known.
        tracing::error!(%failure, "stopping");
        ended((stop, DRAIN), &traces, &mut signals.stop).await;
        return Err(failure);
    }
    let mut reloader = plan.reloader(&stop.host, logs, changes);
    reloader.manager.clone_from(&stop.manager);
    let reloading = AbortOnDropHandle::new(tokio::spawn(reloader.work(signals.hangup, reloads)));
    plan.output.note(notice::ready(
        &endpoints,
        &plan.directories,
        (plan.began.elapsed(), plan.auth.is_required()),
    ));
    if let Some(manager) = &stop.manager {
        manager.ready();
    }
    let limit = told_to_stop(stop.manager.as_deref(), &mut signals.stop, &mut asked).await;
    drop(reloading);
    Ok(Life::Ended(ended((stop, limit), &traces, &mut signals.stop).await))
}

/// Ends everything within its time, traces last.
async fn ended(
    (stop, limit): (Stop, Duration),
    traces: &Traces,
    signals: &mut StopSignals,
) -> Code {
    if let Some(manager) = &stop.manager {
        manager.stopping();
    }
    let code = stop.within(limit, signals).await;
    tokio::select! {
        () = traces.end() => {}
        signal = signals.next() => tracing::warn!(signal, "stopping at once"),
    }
    code
}

/// Resolves when the daemon is to end, with how long that may take.
async fn told_to_stop(
    manager: Option<&Manager>,
    signals: &mut StopSignals,
    asked: &mut mpsc::Receiver<ShutdownRequest>,
) -> Duration {
    tokio::select! {
        () = manager::watch(manager) => DRAIN,
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            DRAIN
        }
        Some(request) = asked.recv() => {
            tracing::info!("stopping as asked");
            request.timeout.unwrap_or(DRAIN)
        }
    }
}

/// Leaves the store of a daemon that was ended while it started as one leaves it that has lived.
async fn undo(host: &Host, signals: &mut Signals) {
    tokio::select! {
        () = host.close() => return,
        signal = signals.stop.next() => tracing::warn!(signal, "stopping at once"),
        () = sleep(DRAIN) => tracing::warn!("stopping took too long"),
    }
    host.force().await;
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

impl Plan {
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
            drain: TRANSPORTS_DRAIN,
            closing: closing.clone(),
            given: &self.given,
        }
    }

    fn reloader(&self, host: &Arc<Host>, logs: Logs, changes: Vec<Change>) -> Reloader {
        let sources = Sources {
            flags: self.flags.clone(),
            surroundings: self.surroundings.clone(),
            secrets: self.directories.secrets(),
            changes,
        };
        Reloader {
            sources: Arc::new(sources),
            config: self.config.clone(),
            connections: self.connections,
            host: Arc::clone(host),
            auth: self.auth.clone(),
            logs: Arc::new(logs),
            manager: None,
            hanging: Vec::new(),
        }
    }

    fn endpoints(host: &Host, listeners: &[Listener]) -> Endpoints {
        let mut endpoints = Endpoints {
            pid: std::process::id(),
            instance: host.instance(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Endpoints::default()
        };
        // Of several of one name clients are told the first.
        for listener in listeners.iter().rev() {
            if let Some(address) = listener.addresses.first() {
                (listener.publish)(&mut endpoints, address.clone());
            }
        }
        endpoints
    }

    /// The right to tell clients where to come; `None` when another live daemon is the one they
    /// come to.
    fn claim(&self) -> Result<Option<Publication>, Failure> {
        let path = self.directories.endpoints();
        let claimed = Publication::claim(path.clone());
        let claimed = claimed.map_err(Failure::internal("write endpoints.json"))?;
        if claimed.is_none() {
            tracing::warn!(path = %path.display(), "another daemon's; ours is not written");
        }
        Ok(claimed)
    }
}

//! How the daemon ends: in order, within a bound, and at once when it is told twice.
//!
//! The doors are closed first; who is inside is served on while agents end, so that whoever watches
//! or waits for one sees its end. Then everybody is told how far they got, and the store is closed.

use std::sync::Arc;
use std::time::Duration;

use descartes_rpc::service::Rpc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::host::Host;
use super::manager::Manager;
use super::signals::StopSignals;
use crate::endpoints::{Endpoints, Publication};
use crate::exit::Code;
use crate::transports::Listener;

/// How long calls and agents may take to end when nobody says how long.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How long transports would go on by themselves: as long as any stop takes, which says when their
/// time is over, and first answers those who still wait.
pub(super) const TRANSPORTS_DRAIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a stop may take beyond its bound before it is forced.
const MARGIN: Duration = Duration::from_secs(5);
/// What connections have to be told how far they got, also where agents took all the time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The part of it in which those who still wait for an answer are told that there will be none.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often the log says who has not ended yet.
const NAMING: Duration = Duration::from_secs(5);

/// The transports at work.
pub(super) struct Served {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Served {
    pub(super) fn start(rpc: &Rpc, listeners: Vec<Listener>) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for Listener { serve, .. } in listeners {
            tasks.spawn(serve(rpc.clone(), stop.clone()));
        }
        Self { tasks, stop }
    }

    /// Finishes what is being answered and ends streams.
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a transport failed");
            }
        }
    }
}

/// What is there to be ended.
pub(super) struct Stop {
    pub(super) host: Arc<Host>,
    pub(super) served: Served,
    /// Where clients look for the daemon.
    pub(super) published: Option<Publication>,
    /// Closes the doors.
    pub(super) closing: CancellationToken,
    pub(super) manager: Option<Arc<Manager>>,
    /// What connections hold, and how many there may be.
    pub(super) connections: (Arc<Semaphore>, usize),
}

impl Stop {
    /// Tells clients where to come, unless another live daemon is the one they come to.
    pub(super) fn publish(&mut self, endpoints: &Endpoints) -> Result<(), Failure> {
        let published = self.published.as_mut().map_or(Ok(()), |it| it.write(endpoints));
        published.map_err(Failure::internal("write endpoints.json"))
    }

    /// Ends everything within `limit`, or at once at a further signal.
    pub(super) async fn within(self, limit: Duration, signals: &mut StopSignals) -> Code {
        let began = Instant::now();
        let (host, manager) = (Arc::clone(&self.host), self.manager.clone());
        let connections = self.connections.clone();
        tokio::select! {
            () = self.in_order(began + limit) => return Code::Done,
            signal = signals.next() => tracing::warn!(signal, "stopping at once"),
            () = sleep_until(began + limit + MARGIN) => tracing::warn!("stopping took too long"),
            () = name_who_blocks(&host, manager.as_deref(), &connections) => {}
        }
        host.name_who_blocks(open(&connections));
        host.force().await;
        Code::Failed
    }

    async fn in_order(mut self, end: Instant) {
        self.closing.cancel();
        drop(self.published);
        self.host.close_intake().await;
        // Agents have most of the time, and those who are told of their ends the rest.
        let grace = end.saturating_duration_since(Instant::now()).mul_f32(0.8);
        self.host.stop_agents(grace).await;
        let told = end.max(Instant::now() + LAST_WORDS);
        if timeout_at(told - LAST_ANSWERS, self.served.end()).await.is_err() {
            self.host.name_who_blocks(open(&self.connections));
            self.host.give_up_calls();
            if timeout_at(told, self.served.end()).await.is_err() {
                tracing::warn!("cutting connections that do not end");
            }
        }
        // A call that was under way may have begun one.
        self.host.stop_agents(end.saturating_duration_since(Instant::now())).await;
        self.host.close().await;
    }
}

fn open((free, all): &(Arc<Semaphore>, usize)) -> usize {
    all.saturating_sub(free.available_permits())
}

/// Says again and again who has not ended, and asks for patience; for ever.
async fn name_who_blocks(
    host: &Host,
    manager: Option<&Manager>,
    connections: &(Arc<Semaphore>, usize),
) {
    loop {
        if let Some(manager) = manager {
            manager.still_stopping(2 * NAMING + MARGIN);
        }
        sleep(NAMING).await;
        let blockers = host.name_who_blocks(open(connections));
        if let Some(manager) = manager {
            manager.status(&format!("stopping; not ended yet: {blockers}"));
        }
    }
}

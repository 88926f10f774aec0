//! One remote: whether it answers, which runs there are ours, and the end of those that are nobody's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use descartes_core::agent::AgentId;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Settings, StartOutcome, StartQueue, label};
use crate::client::{Client, ClientError};
use crate::error::{ErrorKind, RpcError};
use crate::limits::{REMOTE_ANSWER, REMOTE_PROBE, REMOTE_SETTLE};
use crate::method::Method;
use crate::wire::agent::ListParams;
use crate::wire::control::KillParams;
use crate::wire::system::NoParams;

/// How long to wait before a call is repeated that the remote could not take or finish.
const REPEAT: Duration = Duration::from_millis(250);
/// Bounds of a connection that others of our calls reach, for as long as those take.
const BUSY: [&str; 2] = ["limits.calls_per_connection", "limits.control_per_connection"];
/// Agents that are listed at once.
const PAGE: u32 = 1000;

type RunId = (AgentId, u32);

/// A remote, as its runner, its runs and the task that watches it share it.
pub(super) struct Remote {
    name: Arc<str>,
    client: Client,
    starts: Option<Arc<dyn StartQueue>>,
    settings: Settings,
    ours: Mutex<Ours>,
    /// Since when it does not answer.
    away: watch::Sender<Option<Instant>>,
    /// Wakes the task that watches.
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Ours {
    runs: BTreeSet<RunId>,
    /// The hosts that have begun with this runner.
    instances: BTreeSet<u32>,
    /// There may be agents of ours that are nobody's, and when enough was looked for them.
    uneasy: Option<Instant>,
    watcher: Option<JoinHandle<()>>,
}

impl Remote {
    pub(super) fn new(
        name: Arc<str>,
        (client, starts): (Client, Option<Arc<dyn StartQueue>>),
        settings: Settings,
    ) -> Self {
        Self {
            name,
            client,
            starts,
            settings,
            ours: Mutex::default(),
            away: watch::Sender::new(None),
            wake: Arc::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where starts wait, and how long each may take once it is sent.
    pub(super) fn starts(&self) -> Option<(&dyn StartQueue, Duration)> {
        self.starts.as_deref().map(|starts| (starts, self.settings.deadline))
    }

    /// What becomes of the start of `run` that an earlier life of the queue left behind.
    pub(super) fn left_behind(&self, run: RunId) -> Option<BoxFuture<'static, StartOutcome>> {
        self.starts.as_ref()?.left_behind(&|key| label::is_key_of(key, run))
    }

    /// Every run that is taken over has been asked for.
    pub(super) fn forget_left_behind(&self) {
        if let Some(starts) = &self.starts {
            starts.forget_left_behind();
        }
    }

    /// When a call that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.deadline
    }

    pub(super) fn lost_after(&self) -> Duration {
        self.settings.lost_after
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.borrow().is_some()
    }

    /// Since when it does not answer, and every change of that.
    pub(super) fn away(&self) -> watch::Receiver<Option<Instant>> {
        self.away.subscribe()
    }

    /// Makes a run ours until the guard is dropped.
    pub(super) fn own(self: &Arc<Self>, agent: AgentId, run: u32) -> Owned {
        self.lock().runs.insert((agent, run));
        self.watch();
        Owned { remote: Arc::clone(self), run: (agent, run), released: false }
    }

    /// A host begins: what it did not take over of what an earlier one left here is nobody's.
    pub(super) fn begin(self: &Arc<Self>, instance: u32) {
        {
            let mut ours = self.lock();
            ours.instances.insert(instance);
            ours.uneasy = Some(Instant::now() + REMOTE_SETTLE);
        }
        self.watch();
    }

    /// Starts the task that watches, unless it works; it ends with the last owner of this.
    fn watch(self: &Arc<Self>) {
        let mut ours = self.lock();
        if ours.watcher.as_ref().is_none_or(JoinHandle::is_finished) {
            let (remote, wake) = (Arc::downgrade(self), Arc::clone(&self.wake));
            ours.watcher = Some(tokio::spawn(watch_over(remote, wake)));
        }
        drop(ours);
        self.wake.notify_one();
    }

    /// Asks the remote for a sign of life, and ends what is nobody's; returns when to come again.
    async fn look(&self) -> Option<Duration> {
        let is_away = self.is_away();
        {
            let ours = self.lock();
            let is_watched = self.settings.probe.is_some() || is_away;
            let is_wanted = !ours.runs.is_empty() && is_watched;
            if !is_wanted && ours.uneasy.is_none() {
                return None;
            }
        }
        if self.answers().await {
            self.tidy_up().await;
        }
        Some(self.settings.probe.unwrap_or(REMOTE_PROBE))
    }

    /// Whether the remote answers now.
    pub(super) async fn answers(&self) -> bool {
        let hasty = self.client.with_deadline(REMOTE_ANSWER.min(self.settings.deadline));
        let answered = match hasty.system_health(NoParams {}).await {
            Ok(_) | Err(ClientError::Rpc(_)) => true,
            Err(error) => {
                tracing::debug!(remote = %self.name, %error, "a remote does not answer");
                false
            }
        };
        self.noted(answered);
        answered
    }

    /// It has answered, whatever was asked: it is there, and nobody who began with that answer has
    /// been without it before.
    pub(super) fn has_answered(&self) {
        self.noted(true);
    }

    fn noted(&self, answered: bool) {
        let changed = self.away.send_if_modified(|away| {
            let before = away.is_some();
            if answered {
                *away = None;
            } else {
                away.get_or_insert_with(Instant::now);
            }
            before == answered
        });
        if changed {
            tracing::info!(remote = %self.name, answered, "a remote came or went");
            let mut ours = self.lock();
            // What was looked for while nobody answered has yet to be found.
            ours.uneasy = ours.uneasy.map(|_| Instant::now() + REMOTE_SETTLE);
        }
    }

    /// Ends agents of ours that are nobody's, as long as there may be some.
    async fn tidy_up(&self) {
        let (instances, until) = {
            let ours = self.lock();
            let Some(until) = ours.uneasy else { return };
            (ours.instances.clone(), until)
        };
        // A start that was given up may only show a little later.
        let last = Instant::now() >= until;
        for instance in instances {
            if let Err(error) = self.end_strays(instance).await {
                tracing::warn!(remote = %self.name, %error, "what is nobody's could not be ended");
                return;
            }
        }
        let mut ours = self.lock();
        if last && ours.uneasy == Some(until) {
            ours.uneasy = None;
        }
    }

    async fn end_strays(&self, instance: u32) -> Result<(), ClientError> {
        let labels = Some(label::of_host(instance, &self.name));
        let mut page = ListParams { labels, limit: Some(PAGE), ..ListParams::default() };
        let client = self.client.with_deadline(self.settings.deadline);
        loop {
            let found = client.agent_list(page.clone()).await?;
            for agent in found.agents {
                let ours = label::run_of(&agent).is_none_or(|run| self.lock().runs.contains(&run));
                if ours {
                    continue;
                }
                tracing::info!(remote = %self.name, agent_id = %agent.id, "ends an agent of nobody");
                self.end(agent.id, true).await?;
            }
            if found.next_page_token.is_none() {
                return Ok(());
            }
            page.page_token = found.next_page_token;
        }
    }

    /// Ends an agent of the remote.
    pub(super) async fn end(&self, agent_id: String, force: bool) -> Result<(), ClientError> {
        let kill = KillParams {
            agent_id,
            force: Some(force),
            grace_secs: None,
            idempotency_key: Some(fresh_key()),
        };
        match insist::<crate::methods::typed::AgentKill>(&self.client, kill, self.deadline()).await
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AgentNotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ours> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Looks after a remote until nobody has it any more.
async fn watch_over(remote: Weak<Remote>, wake: Arc<Notify>) {
    loop {
        let Some(again) = ({
            let Some(remote) = remote.upgrade() else { return };
            remote.look().await
        }) else {
            wake.notified().await;
            continue;
        };
        tokio::select! {
            () = sleep(again) => {}
            () = wake.notified() => {}
        }
    }
}

/// A run of ours. Dropped without [`release`](Self::release), what may run there is nobody's, and
/// is ended as soon as the remote answers.
pub(super) struct Owned {
    remote: Arc<Remote>,
    run: RunId,
    released: bool,
}

impl Owned {
    /// Nothing of the run is left at the remote.
    pub(super) fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let mut ours = self.remote.lock();
        ours.runs.remove(&self.run);
        if self.released {
            return;
        }
        ours.uneasy = Some(Instant::now() + REMOTE_SETTLE);
        drop(ours);
        self.remote.wake.notify_one();
    }
}

/// Whether there was no answer of the remote, so that nobody knows what became of the call.
pub(super) fn is_silence(error: &ClientError) -> bool {
    !matches!(error, ClientError::Rpc(_) | ClientError::Encode(_))
}

/// An idempotency key for something that is done once.
pub(super) fn fresh_key() -> String {
    format!("remote/{}", uuid::Uuid::now_v7())
}

/// Calls `M`, and again while the remote still works on it or cannot take it yet, until `until`.
///
/// The parameters carry an idempotency key.
pub(super) async fn insist<M: Method>(
    client: &Client,
    params: M::Params,
    until: Instant,
) -> Result<M::Result, ClientError>
where
    M::Params: Clone,
{
    insist_on::<M>((client, false), params, until).await
}

/// The same for a call that may have `begun` already.
pub(super) async fn insist_on<M: Method>(
    (client, mut begun): (&Client, bool),
    params: M::Params,
    until: Instant,
) -> Result<M::Result, ClientError>
where
    M::Params: Clone,
{
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match client.with_deadline(left).call::<M>(params.clone()).await {
            Err(ClientError::Rpc(error)) => error,
            // Not sent again, but sent before.
            Err(ClientError::Unreachable { source, .. }) if begun => {
                return Err(ClientError::ConnectionLost { source: Some(source) });
            }
            other => return other,
        };
        begun |= error.kind() == ErrorKind::Timeout;
        if !passes(&error) || Instant::now() + REPEAT >= until {
            return Err(error.into());
        }
        sleep(REPEAT).await;
    }
}

/// Whether the remote still works on the call, or cannot take it now.
pub(super) fn passes(error: &RpcError) -> bool {
    let limit = error.detail("limit").and_then(|limit| limit.as_str());
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => true,
        ErrorKind::ResourceExhausted => limit.is_some_and(|limit| BUSY.contains(&limit)),
        _ => false,
    }
}

//! What is written down of who did what: on the topic `audit`, in short, and without secrets.
//!
//! A call is never delayed by it: entries wait in a queue of their own and are written at once, in
//! batches. Who reads the topic waits for what was noted before ([`Audit::written`]), so that
//! everybody finds what they have done. Refusals of one kind are counted while they go on, so that
//! a flood of them is a few entries.

mod act;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use descartes_core::Descartes;
use descartes_core::event::{News, Topic};
use descartes_core::store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use act::in_short;
pub(crate) use act::{Act, named};

use crate::auth::Principal;
use crate::error::RpcError;
use crate::limits::{AUDIT_KINDS, AUDIT_PATIENCE, AUDIT_QUEUE, AUDIT_RETRY, AUDIT_WINDOW};
use crate::peer::Peer;
use crate::wire::audit::AuditEntry;

/// The type of events about refused calls.
const DENIED: &str = "audit.denied";
/// The type of the event that says how many entries were too many to be kept.
const DROPPED: &str = "audit.dropped";
/// What was called where it did not come to that.
const NO_METHOD: &str = "";
/// Who calls when nobody knows.
const NOBODY: &str = "nobody";

/// The types of everything that is written.
#[cfg(test)]
pub(crate) const TYPES: [&str; 7] = [
    DENIED,
    DROPPED,
    "audit.spawn",
    "audit.kill",
    "audit.decision",
    "audit.key",
    "audit.configuration",
];

/// Where entries go. Cheap to clone; clones are one.
#[derive(Clone)]
pub(crate) struct Audit {
    shared: Arc<Shared>,
    /// Wakes the task that writes; it holds nothing else while it rests.
    news: Arc<Notify>,
}

struct Shared {
    descartes: Descartes,
    state: Mutex<State>,
    /// How many of all that was noted is written.
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// What is to be written.
    waiting: Vec<News>,
    /// How much was ever noted to be written.
    noted: u64,
    /// Entries that found no room.
    dropped: u64,
    /// Refusals that go on, by kind.
    refusals: HashMap<Refusal, Counted>,
    /// Whether a task writes.
    writes: bool,
}

/// What makes refusals one kind.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Refusal {
    principal: Arc<str>,
    method: &'static str,
    resource: Option<String>,
    outcome: &'static str,
    reason: Option<Arc<str>>,
    transport: &'static str,
}

/// Refusals of one kind behind the first, which was written.
struct Counted {
    until: Instant,
    more: u64,
    peer: String,
}

impl Audit {
    pub(crate) fn new(descartes: Descartes) -> Self {
        let written = watch::Sender::default();
        let shared = Arc::new(Shared { descartes, state: Mutex::default(), written });
        Self { shared, news: Arc::default() }
    }

    /// Notes that a call was refused, or that what it names is out of its caller's reach.
    pub(crate) fn denied(
        &self,
        (principal, peer): (Option<&Principal>, &Peer),
        method: &'static str,
        resource: Option<&str>,
        error: &RpcError,
    ) {
        let principal = principal.map_or(NOBODY, Principal::name).into();
        let resource = resource.map(in_short);
        let (outcome, reason) = (error.kind().as_str(), error.reason_text().map(Arc::from));
        let transport = peer.transport();
        let refusal = Refusal { principal, method, resource, outcome, reason, transport };
        self.shared.lock().refuse(refusal, peer_text(peer), Instant::now());
        self.write();
    }

    /// Notes what became of a call that is written down.
    pub(crate) fn done(&self, act: Act, outcome: &str) {
        let (kind, entry) = act.entry(outcome);
        self.shared.lock().put(kind, &entry);
        self.write();
    }

    /// What notes whom transports turned away. It keeps nothing alive.
    pub(crate) fn door(&self) -> impl Fn(&Peer, &RpcError) + Send + Sync + 'static {
        let (shared, news) = (Arc::downgrade(&self.shared), Arc::clone(&self.news));
        move |peer, error| {
            let Some(shared) = shared.upgrade() else { return };
            let audit = Self { shared, news: Arc::clone(&news) };
            // Who was known, and may not: inside of an agent it is that one.
            let who = peer.principal().map(|who| who.found(peer.whereabouts()));
            audit.denied((who.as_ref(), peer), NO_METHOD, None, error);
        }
    }

    /// Waits until all is written that was noted before this, for as long as one may wait for that.
    /// Cancel safe.
    pub(crate) async fn written(&self) {
        let noted = self.shared.lock().noted;
        let mut written = self.shared.written.subscribe();
        if *written.borrow_and_update() >= noted {
            return;
        }
        self.write();
        let all = written.wait_for(|written| *written >= noted);
        if tokio::time::timeout(AUDIT_PATIENCE, all).await.is_err() {
            tracing::warn!("what was done is not written down yet");
        }
    }

    /// Lets a task write what waits.
    fn write(&self) {
        if std::mem::replace(&mut self.shared.lock().writes, true) {
            self.news.notify_one();
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let work = writing(Arc::downgrade(&self.shared), Arc::clone(&self.news));
                drop(runtime.spawn(work));
            }
            Err(_) => self.shared.lock().writes = false,
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

/// Writes until nothing waits and no refusals are counted, or the service is gone.
async fn writing(shared: Weak<Shared>, news: Arc<Notify>) {
    while let Some(due) = shared.upgrade().and_then(|shared| shared.lock().take(Instant::now())) {
        match due {
            Due::Now(entries, noted) => {
                let Some(shared) = shared.upgrade() else { return };
                let kept = entries.clone();
                match shared.descartes.publish(&Topic::audit(), entries).await {
                    Ok(()) => drop(shared.written.send_replace(noted)),
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(%error, "what was done is not written down yet");
                        shared.lock().put_back(kept);
                        drop(shared);
                        tokio::time::sleep(AUDIT_RETRY).await;
                    }
                }
            }
            Due::At(time) => tokio::select! {
                () = tokio::time::sleep_until(time) => {}
                () = news.notified() => {}
            },
        }
    }
}

/// What the task that writes is to do next.
enum Due {
    /// To write this: all of so much that was noted, and not written before.
    Now(Vec<News>, u64),
    /// To look again.
    At(Instant),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, kind: &str, entry: &AuditEntry) {
        if self.waiting.len() >= AUDIT_QUEUE {
            self.dropped += 1;
            return;
        }
        self.noted += 1;
        self.waiting.push(entry.news(kind));
    }

    /// Puts what could not be written before what came since.
    fn put_back(&mut self, mut entries: Vec<News>) {
        let more = entries.len() + self.waiting.len();
        entries.append(&mut self.waiting);
        entries.truncate(AUDIT_QUEUE);
        self.dropped += u64::try_from(more - entries.len()).unwrap_or(u64::MAX);
        self.waiting = entries;
    }

    /// Writes the first refusal of a kind down and counts those that follow.
    fn refuse(&mut self, mut refusal: Refusal, peer: String, now: Instant) {
        if self.refusals.len() >= AUDIT_KINDS && !self.refusals.contains_key(&refusal) {
            // Too many kinds: what is left of them is counted together.
            refusal = Refusal::any(refusal.outcome);
        }
        if let Some(counted) = self.refusals.get_mut(&refusal) {
            counted.more += 1;
            return;
        }
        let until = now + AUDIT_WINDOW;
        self.put(DENIED, &refusal.entry(&peer, None));
        self.refusals.insert(refusal, Counted { until, more: 0, peer });
    }

    /// What is to be done; none when nothing waits and nothing is counted.
    fn take(&mut self, now: Instant) -> Option<Due> {
        let mut ended = Vec::new();
        self.refusals.retain(|refusal, counted| {
            if counted.until > now {
                return true;
            }
            let more = std::mem::take(&mut counted.more);
            counted.until = now + AUDIT_WINDOW;
            if more > 0 {
                ended.push(refusal.entry(&counted.peer, Some(more)));
            }
            more > 0
        });
        for entry in &ended {
            self.put(DENIED, entry);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        if let Some(dropped) = NonZero::new(std::mem::take(&mut self.dropped)) {
            let entry = Refusal::any("dropped").entry("", Some(dropped.get()));
            waiting.push(entry.news(DROPPED));
        }
        if !waiting.is_empty() {
            return Some(Due::Now(waiting, self.noted));
        }
        let next = self.refusals.values().map(|counted| counted.until).min();
        self.writes = next.is_some();
        next.map(Due::At)
    }
}

impl Refusal {
    /// All further kinds together.
    fn any(outcome: &'static str) -> Self {
        Self {
            principal: "*".into(),
            method: "*",
            resource: None,
            outcome,
            reason: None,
            transport: "",
        }
    }

    fn entry(&self, peer: &str, count: Option<u64>) -> AuditEntry {
        AuditEntry {
            principal: self.principal.as_ref().to_owned(),
            method: self.method.to_owned(),
            resource: self.resource.clone(),
            outcome: self.outcome.to_owned(),
            reason: self.reason.as_deref().map(str::to_owned),
            peer: peer.to_owned(),
            count,
        }
    }
}

/// By which transport somebody comes, and from where or whom.
fn peer_text(peer: &Peer) -> String {
    let mut text = peer.transport().to_owned();
    if let Some(address) = peer.address() {
        text = format!("{text} {address}");
    }
    if let Some(credentials) = peer.credentials() {
        text = format!("{text} uid {}", credentials.uid);
        if let Some(pid) = credentials.pid {
            text = format!("{text} pid {pid}");
        }
    }
    text
}

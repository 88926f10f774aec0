//! Passes over the process table, shared by everybody who waits for one.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Signal;
use tokio::sync::{OnceCell, watch};

use super::attribution::{Host, Known, Marks, attribute};
use super::os::leader::{Children, children, may_adopt, reap_adopted};
use super::os::signal::{self, Sent};
use super::os::spare;
use super::os::table::{self, Entry, NoDescriptor};
use super::registry::{Owner, Registry, RunNumber};
use super::whereabouts::Sockets;
use crate::runner::Whereabouts;

/// The longest wait for others to share a pass with.
const SHARE_AT_MOST: Duration = Duration::from_millis(20);
/// How long children that have ended are left to their owners.
const PATIENCE: Duration = Duration::from_millis(100);
/// For so many clock ticks (a second at the usual 100 Hz) a process may still be on its way to
/// its marks.
const YOUNG_TICKS: u64 = 100;
/// How long a pass waits for descriptors to look with: others give theirs back all the time.
const DESCRIPTORS_WITHIN: Duration = Duration::from_millis(200);
/// Between two attempts to get one.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(5);

/// Makes passes over the process table.
#[derive(Clone, Debug)]
pub(super) struct Census(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Arc<Registry>,
    adopts: bool,
    known: Mutex<Known>,
    /// The pass that is being made, or waits to begin; later ones are told here.
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// Whoever comes before the next pass has begun shares it.
    next: Option<watch::Receiver<Option<Arc<Pass>>>>,
    last_took: Duration,
    last_ended: Option<Instant>,
}

/// What one pass saw.
#[derive(Debug, Default)]
pub(super) struct Pass {
    entries: Vec<Entry>,
    owners: Vec<Option<Owner>>,
    partial: bool,
    /// What they hold, once somebody asked.
    sockets: OnceCell<Sockets>,
}

impl Pass {
    /// Whether there may be processes that were not seen, or not recognised.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// The processes of all runs that live, and whose each is.
    pub(super) fn owned(&self) -> impl Iterator<Item = (&Entry, Owner)> {
        let all = self.entries.iter().zip(&self.owners);
        all.filter(|(entry, _)| !entry.is_dead())
            .filter_map(|(entry, owner)| owner.map(|owner| (entry, owner)))
    }

    /// The processes of `run` that live.
    pub(super) fn living(&self, run: RunNumber) -> impl Iterator<Item = &Entry> {
        let all = self.entries.iter().zip(&self.owners);
        all.filter(move |(entry, owner)| **owner == Some(Owner::Run(run)) && !entry.is_dead())
            .map(|(entry, _)| entry)
    }
}

impl Census {
    pub(super) fn new(registry: Arc<Registry>, adopts: bool) -> Self {
        let (known, turn) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { registry, adopts, known, turn }))
    }

    /// A pass that began after this was called. Cancel safe.
    pub(super) async fn pass(&self) -> Arc<Pass> {
        loop {
            let mut shared = self.join();
            // An error means that its maker died: another is made.
            if let Ok(pass) = shared.wait_for(Option::is_some).await
                && let Some(pass) = &*pass
            {
                return Arc::clone(pass);
            }
        }
    }

    /// Where whoever holds the socket `number` is. Cancel safe.
    ///
    /// Whoever holds it was there before this was called: when the start is over that is under way,
    /// if one is, its run is claimed.
    pub(super) async fn holder(&self, number: u64) -> Whereabouts {
        self.0.registry.settled().await;
        let pass = self.pass().await;
        // Everybody who waited for the pass shares what is found out here too.
        let sockets = pass.sockets.get_or_try_init(|| {
            let (pass, registry) = (Arc::clone(&pass), Arc::clone(&self.0.registry));
            tokio::task::spawn_blocking(move || Sockets::of(&pass, &registry.claims()))
        });
        match sockets.await {
            Ok(sockets) => sockets.holder(number),
            Err(error) => {
                tracing::error!(%error, "a look at the sockets of agents died");
                Whereabouts::Unknown
            }
        }
    }

    /// Joins the next pass, which is arranged for when nobody has yet.
    fn join(&self) -> watch::Receiver<Option<Arc<Pass>>> {
        let mut turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = &turn.next {
            return next.clone();
        }
        let (done, next) = watch::channel(None);
        turn.next = Some(next.clone());
        // At most a third of one processor is spent on this, however many agents end.
        let rest = (turn.last_took * 2).min(SHARE_AT_MOST);
        let since = turn.last_ended.map_or(SHARE_AT_MOST, |ended| ended.elapsed());
        let wait = rest.saturating_sub(since);
        tokio::spawn(self.clone().make(done, wait));
        next
    }

    async fn make(self, done: watch::Sender<Option<Arc<Pass>>>, wait: Duration) {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let this = self.clone();
        let pass = tokio::task::spawn_blocking(move || this.look()).await;
        match pass {
            Ok(pass) => drop(done.send_replace(Some(Arc::new(pass)))),
            Err(error) => tracing::error!(%error, "a pass over the processes died"),
        }
    }

    fn look(&self) -> Pass {
        let began = Instant::now();
        let inner = &self.0;
        // One at a time; who comes from here on waits for the one after this.
        let mut known = inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        inner.turn.lock().unwrap_or_else(PoisonError::into_inner).next = None;
        let listed = entries();
        if let Err(error) = &listed {
            tracing::error!(%error, "the process table cannot be read");
        }
        let mut partial = listed.is_err();
        let entries = listed.unwrap_or_default();
        let claims = inner.registry.claims();
        let host = Host { pid: std::process::id(), adopts: inner.adopts || may_adopt() };
        let marks = ProcMarks::new();
        // An empty list would make all that is known forgotten.
        let owners = match &*entries {
            [] => Vec::new(),
            _ => attribute(&entries, host, (&claims, &mut known), &marks),
        };
        partial |= marks.is_partial();
        drop(known);
        let pass = Pass { entries, owners, partial, sockets: OnceCell::new() };
        self.collect(&pass);
        let mut turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.last_took = began.elapsed();
        turn.last_ended = Some(Instant::now());
        pass
    }

    /// Collects adopted children that have ended. Leaders belong to their runs.
    fn collect(&self, pass: &Pass) {
        let host = std::process::id();
        let mut dead = pass.entries.iter().zip(&pass.owners).filter(|(entry, owner)| {
            // What nobody claims is only ours to collect in a host that starts nothing else.
            entry.parent == host && entry.is_dead() && (owner.is_some() || self.0.adopts)
        });
        let Some(first) = dead.next() else { return };
        let _alone = self.0.registry.start_alone();
        for (entry, _) in std::iter::once(first).chain(dead) {
            if !self.0.registry.is_leader(entry.pid) && reap_adopted(entry.pid) {
                tracing::trace!(pid = entry.pid, "collected an adopted child");
            }
        }
    }

    /// Collects what was adopted and has ended, when there may be any. Children that have just
    /// ended are left to their owners first.
    pub(super) async fn reap(&self) {
        tokio::time::sleep(PATIENCE).await;
        if children() == Children::Zombies {
            self.pass().await;
        }
    }
}

/// The process table; waits a little for descriptors when there are none.
#[expect(clippy::disallowed_methods, reason = "a pass has a thread that may block")]
fn entries() -> Result<Vec<Entry>, Errno> {
    let deadline = Instant::now() + DESCRIPTORS_WITHIN;
    loop {
        spare::keep();
        match table::entries() {
            Err(errno) if spare::is_exhaustion(errno) && Instant::now() < deadline => {
                thread::sleep(DESCRIPTOR_PAUSE);
            }
            listed => return listed,
        }
    }
}

/// Sends `signal` to every process; returns how many were sent it.
pub(super) fn signal_all<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    which: Signal,
) -> Vec<(u32, u64)> {
    entries.filter(|entry| signal::send(entry, which) == Sent::Yes).map(Entry::identity).collect()
}

/// The marks as `/proc` shows them.
pub(super) struct ProcMarks {
    now: u64,
    /// A mark could not be read although there may be one.
    unread: Cell<bool>,
}

impl ProcMarks {
    /// Marks read from now on.
    pub(super) fn new() -> Self {
        Self { now: table::ticks_since_boot(), unread: Cell::new(false) }
    }

    /// When it was made, in the unit of [`Entry::start`].
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Whether a mark could not be read although there may be one.
    pub(super) fn is_partial(&self) -> bool {
        self.unread.get()
    }

    fn read<T>(&self, mark: Result<Option<T>, NoDescriptor>) -> Option<T> {
        mark.unwrap_or_else(|NoDescriptor| {
            self.unread.set(true);
            None
        })
    }
}

impl Marks for ProcMarks {
    fn tag(&self, entry: &Entry) -> Option<u64> {
        self.read(table::lock_limit(entry.pid))
    }

    fn marker(&self, entry: &Entry) -> Option<String> {
        self.read(table::variable(entry.pid, super::marker::VARIABLE))
    }

    fn is_young(&self, entry: &Entry) -> bool {
        // What was not read is not known of anybody in this pass.
        self.unread.get() || entry.start + YOUNG_TICKS >= self.now
    }
}

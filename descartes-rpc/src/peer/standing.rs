//! Where a peer's process is: found out once, by the first call of its connection.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use descartes_core::runner::{CallerProcess, Whereabouts};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The process behind a peer, as its transport tells it.
#[derive(Clone)]
pub(super) enum Process {
    Id { pid: u32, seen: Instant },
    Socket { number: u64, held: Arc<dyn Fn() -> bool + Send + Sync> },
}

/// What is known of where a peer's process is. Shared by all calls of its connection.
pub(crate) struct Standing {
    process: Process,
    found: OnceLock<Whereabouts>,
    /// Who comes before it is found waits here, in the order of arrival.
    line: Arc<Mutex<()>>,
    /// It is found and nobody waits any more.
    open: AtomicBool,
}

/// The first place in line: whoever has it may begin. The next comes when it is dropped.
pub(super) type First = OwnedMutexGuard<()>;

impl Standing {
    pub(super) fn of(process: Process) -> Self {
        let (found, line) = (OnceLock::new(), Arc::default());
        Self { process, found, line, open: AtomicBool::new(false) }
    }

    /// Where the process is; unknown until it was found.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        self.found.get().copied().unwrap_or(Whereabouts::Unknown)
    }

    /// Whether a call may begin at once. `outside` says that nobody need look: nobody is inside of
    /// an agent.
    pub(crate) fn is_open(&self, outside: impl FnOnce() -> bool) -> bool {
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        // While others wait this is taken: nobody overtakes them.
        let Ok(_first) = self.line.try_lock() else { return false };
        if self.found.get().is_none() && outside() {
            self.found.get_or_init(Whereabouts::default);
        }
        let found = self.found.get().is_some();
        self.open.store(found, Ordering::Release);
        found
    }

    /// Waits for the call's place and, where nobody did yet, finds out where the process is.
    pub(crate) async fn enter<F>(&self, look: impl FnOnce(CallerProcess) -> F) -> First
    where
        F: Future<Output = Whereabouts>,
    {
        let first = Arc::clone(&self.line).lock_owned().await;
        if self.found.get().is_none() {
            let found = self.look(look).await;
            self.found.get_or_init(|| found);
        }
        first
    }

    async fn look<F>(&self, look: impl FnOnce(CallerProcess) -> F) -> Whereabouts
    where
        F: Future<Output = Whereabouts>,
    {
        match &self.process {
            Process::Id { pid, seen } => {
                look(CallerProcess::Process { pid: *pid, seen: *seen }).await
            }
            Process::Socket { number, held } => {
                let found = look(CallerProcess::Socket { number: *number }).await;
                // A socket that was closed meanwhile had no holder that could be found.
                if found == Whereabouts::Outside && !held() {
                    return Whereabouts::Unknown;
                }
                found
            }
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").field("found", &self.found.get()).finish_non_exhaustive()
    }
}

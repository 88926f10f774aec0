//! An inherited mark that survives `env -i`, `setsid` and closed descriptors.
//!
//! getrlimit(2): `RLIMIT_LOCKS` bounded the number of `flock(2)` locks and leases in Linux 2.4.0
//! to 2.4.24 and has no effect since. It is still kept for each process, inherited over `fork`,
//! preserved by `execve`, settable with `prlimit`, and readable in `/proc/PID/limits` ("Max file
//! locks"). So its soft limit carries a number that says whose process this is. The hard limit
//! stays as it is. A program may change its own limit: this finds what escaped by the usual means,
//! it is no wall against a program that hides.
//!
//! A child must bear the mark from its first instruction: on a busy machine it may have forked
//! twice and left its session before whoever started it runs again. So the host bears the mark
//! itself for as long as starting takes, and one start follows the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit belongs to the whole process, and so does this.
static BEARING: Mutex<()> = Mutex::new(());

/// While this lives, what is started anywhere in this process bears the mark.
pub(in crate::process) struct Bearing {
    before: Rlimit,
    /// Whether the mark is borne.
    pub(in crate::process) marked: bool,
    _one_at_a_time: MutexGuard<'static, ()>,
}

/// Lets this process bear `tag`, when the system does not refuse.
pub(in crate::process) fn bear(tag: u64) -> Bearing {
    let one_at_a_time = BEARING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = getrlimit(Resource::Locks);
    let limit = Rlimit { current: Some(tag), maximum: before.maximum };
    let marked = setrlimit(Resource::Locks, limit).is_ok();
    Bearing { before, marked, _one_at_a_time: one_at_a_time }
}

impl Bearing {
    /// Takes the mark from `pid`, a child of ours that somebody else has started meanwhile.
    pub(in crate::process) fn forgive(&self, pid: u32) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
            && let Err(error) = prlimit(Some(pid), Resource::Locks, self.before)
        {
            tracing::debug!(?pid, %error, "a child of somebody else's keeps our mark");
        }
    }
}

impl Bearing {
    /// What is started from now on does not bear the mark; no other start begins before the end.
    pub(in crate::process) fn put_off(&self) {
        if let Err(error) = setrlimit(Resource::Locks, self.before) {
            tracing::error!(%error, "the host cannot put its mark off");
        }
    }
}

impl Drop for Bearing {
    fn drop(&mut self) {
        self.put_off();
    }
}

/// Whether this host may mark its children in this way.
pub(in crate::process) fn is_possible() -> bool {
    getrlimit(Resource::Locks).maximum.is_none()
}

/// The mark that this host bears by itself, when it runs inside of another one.
pub(in crate::process) fn own() -> Option<u64> {
    getrlimit(Resource::Locks).current
}

//! An inherited mark that survives `env -i`, `setsid` and closed descriptors.
//!
//! getrlimit(2): `RLIMIT_LOCKS` bounded the number of `flock(2)` locks and leases in Linux 2.4.0
//! to 2.4.24 and has no effect since. It is still kept for each process, inherited over `fork`,
//! preserved by `execve`, settable for another process of the same user with `prlimit`, and
//! readable in `/proc/PID/limits` ("Max file locks"). So its soft limit carries a number that says
//! whose process this is. The hard limit stays as it is. A program may change its own limit:
//! this finds what escaped by the usual means, it is no wall against a program that hides.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Marks `pid` and with it everything that it will start; false when that is not allowed.
///
/// `pid` must be a process that cannot be collected meanwhile: a child of ours.
pub(in crate::process) fn set(pid: u32, tag: u64) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let limit = Rlimit { current: Some(tag), maximum: None };
    prlimit(Some(pid), Resource::Locks, limit).is_ok()
}

/// Lets this process bear `tag` while it starts a child, which so has it from its first moment.
///
/// A child that is marked after it was started may have started others by then. Until this is
/// dropped, whatever else this process starts bears the tag too: only for hosts that start
/// nothing but agents, one at a time.
#[derive(Debug)]
pub(in crate::process) struct Worn(Rlimit);

impl Worn {
    /// Bears `tag`; none when that is not allowed.
    pub(in crate::process) fn put_on(tag: u64) -> Option<Self> {
        let before = getrlimit(Resource::Locks);
        let limit = Rlimit { current: Some(tag), maximum: before.maximum };
        setrlimit(Resource::Locks, limit).is_ok().then_some(Self(before))
    }
}

impl Drop for Worn {
    fn drop(&mut self) {
        if let Err(error) = setrlimit(Resource::Locks, self.0.clone()) {
            tracing::warn!(%error, "this process still bears the tag of an agent");
        }
    }
}

//! What peers that have gone leave in the daemon: nothing.

use crate::rig::daemon::Daemon;
use crate::rig::processes;

/// What a daemon held before they came.
pub(super) struct Remains {
    files: usize,
    resident: u64,
}

impl Remains {
    pub(super) fn of(daemon: &Daemon) -> Self {
        let pid = daemon.number();
        // What just ended may still be on its way out.
        processes::eventually("it comes to rest", || {
            let files = processes::open_files(pid);
            std::thread::park_timeout(std::time::Duration::from_millis(20));
            files == processes::open_files(pid)
        });
        Self { files: processes::open_files(pid), resident: processes::resident(pid) }
    }

    /// No descriptor and no connection is left, and hardly any memory; returns how much.
    #[track_caller]
    pub(super) fn check(&self, daemon: &Daemon, slack: u64) -> u64 {
        let pid = daemon.number();
        processes::eventually("the descriptors are given back", || {
            processes::open_files(pid) <= self.files
        });
        let grown = processes::resident(pid).saturating_sub(self.resident);
        assert!(grown < slack, "{grown} bytes are left, {slack} allowed");
        grown
    }
}

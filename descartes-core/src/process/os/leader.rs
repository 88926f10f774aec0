//! The child of a run: seen, signalled and collected through its pidfd.

use std::io;
use std::process::{Child, ExitStatus};

use rustix::fd::OwnedFd;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid, waitpid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::signal::pid;

/// A child that leads a process group of its own.
///
/// Until [`reap`](Self::reap) its pid and its group's number cannot be given to anybody else.
/// Dropped before, its group is killed and it is collected if it has ended by then.
#[derive(Debug)]
pub(in crate::process) struct Leader {
    child: Child,
    id: Pid,
    pidfd: AsyncFd<OwnedFd>,
    reaped: bool,
}

impl Leader {
    /// Takes over `child`, which is killed when that is impossible.
    pub(in crate::process) fn new(mut child: Child) -> io::Result<Self> {
        let opened = pid(child.id()).ok_or(io::ErrorKind::NotFound.into()).and_then(|id| {
            let pidfd = pidfd_open(id, PidfdFlags::empty())?;
            Ok((id, watch(pidfd)?))
        });
        match opened {
            Ok((id, pidfd)) => Ok(Self { child, id, pidfd, reaped: false }),
            Err(error) => {
                let group = pid(child.id()).map(|id| kill_process_group(id, Signal::KILL));
                let killed = child.kill().and_then(|()| child.wait());
                tracing::debug!(?group, "its group was killed");
                tracing::warn!(ok = killed.is_ok(), %error, "a child could not be watched");
                Err(error)
            }
        }
    }

    pub(in crate::process) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns when it has ended, without collecting it. Cancel safe.
    pub(in crate::process) async fn exited(&self) {
        loop {
            let readable = self.pidfd.readable().await;
            if self.has_exited() {
                return;
            }
            match readable {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is going away, and this task with it.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Whether it has ended.
    pub(in crate::process) fn has_exited(&self) -> bool {
        use rustix::fd::AsFd;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
        // An error means that somebody else collected it.
        !matches!(waitid(id, options), Ok(None))
    }

    /// Sends `signal` to it alone.
    pub(in crate::process) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.pidfd.get_ref(), signal)?)
    }

    /// Sends `signal` to its group; to it alone when it has left its group.
    pub(in crate::process) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.id, signal) {
            Ok(()) => Ok(()),
            Err(_) => self.signal(signal),
        }
    }

    /// Collects it. It must have ended.
    pub(in crate::process) fn reap(&mut self) -> io::Result<ExitStatus> {
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let killed = self.signal_group(Signal::KILL);
        let collected = self.child.try_wait();
        tracing::debug!(pid = %self.id, ?killed, ?collected, "a run was dropped before its end");
    }
}

/// Registers a pidfd with the runtime.
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, always gives the same descriptor, and
    // nothing here gives it away: it is only ever borrowed from the `AsyncFd` that owns it.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Collects the zombie `id`, a child of ours that was adopted; false when there was nothing to.
pub(in crate::process) fn reap_adopted(id: u32) -> bool {
    let waited = pid(id).map(|id| waitpid(Some(id), WaitOptions::NOHANG));
    matches!(waited, Some(Ok(Some(_))))
}

/// Whether this process has any child, and whether one of them waits to be collected.
pub(in crate::process) fn children() -> Children {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::All, options) {
        Ok(Some(_)) => Children::Zombies,
        Ok(None) => Children::Living,
        Err(_) => Children::None,
    }
}

/// What children a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Children {
    None,
    Living,
    Zombies,
}

/// Makes this process the one that orphans below it become children of.
pub(in crate::process) fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Whether orphans may become children of this process: whoever has made it a subreaper, and in a
/// container where it is the first process.
pub(in crate::process) fn may_adopt() -> bool {
    rustix::process::getpid().is_init()
        || rustix::process::child_subreaper().map_or(true, |reaper| reaper.is_some())
}

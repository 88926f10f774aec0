//! Signals, sent only to a process whose identity was checked.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::spare;
use super::table::{self, Entry};

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Sent {
    /// It was sent.
    Yes,
    /// The process had gone.
    Gone,
    /// We may not, or cannot.
    Refused,
}

/// Sends `signal` to exactly this process.
///
/// The pidfd holds on to whoever has the pid now; the start time, read after that, tells whether
/// it is the one that was seen.
pub(in crate::process) fn send(entry: &Entry, signal: Signal) -> Sent {
    let Some(pid) = pid(entry.pid) else { return Sent::Gone };
    let pidfd = match spare::open(|| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Sent::Gone,
        Err(_) => return Sent::Refused,
    };
    match table::entry(entry.pid) {
        Ok(Some(now)) if now.start == entry.start => {}
        Ok(_) => return Sent::Gone,
        Err(_) => return Sent::Refused,
    }
    match pidfd_send_signal(&pidfd, signal) {
        Ok(()) => Sent::Yes,
        Err(Errno::SRCH) => Sent::Gone,
        Err(_) => Sent::Refused,
    }
}

/// The system's signal of ours.
pub(in crate::process) fn native(signal: crate::runner::Signal) -> Signal {
    use crate::runner::Signal as S;
    match signal {
        S::Interrupt => Signal::INT,
        S::Terminate => Signal::TERM,
        S::Kill => Signal::KILL,
        S::Stop => Signal::STOP,
        S::Continue => Signal::CONT,
        S::Hangup => Signal::HUP,
        S::Usr1 => Signal::USR1,
        S::Usr2 => Signal::USR2,
    }
}

pub(in crate::process) fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

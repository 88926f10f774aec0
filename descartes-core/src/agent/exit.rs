//! How a run ended.

use std::sync::Arc;

use bytes::Bytes;

use super::AgentStatus;
use crate::time::Timestamp;

/// How a run of an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The exit code, when the program ended by itself.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// Why it ended.
    pub reason: ExitReason,
    /// Who ended it, when somebody did.
    pub by: Option<Arc<str>>,
    /// When the host saw it.
    pub at: Timestamp,
    /// The last bytes of standard error.
    pub stderr_tail: Bytes,
    /// Whether the grace was not enough.
    pub forced: bool,
    /// Processes of its tree that were left and had to be killed.
    pub swept: u32,
}

impl Exit {
    /// An exit for `reason`, with nothing else known.
    #[must_use]
    pub fn new(reason: ExitReason, at: Timestamp) -> Self {
        Self {
            code: None,
            signal: None,
            reason,
            by: None,
            at,
            stderr_tail: Bytes::new(),
            forced: false,
            swept: 0,
        }
    }

    /// The terminal status that this exit means when no run follows.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        match (self.reason, self.code) {
            (ExitReason::Exited, Some(0)) => AgentStatus::Completed,
            (ExitReason::Exited | ExitReason::ExecFailed | ExitReason::RestartLimit, _) => {
                AgentStatus::Failed
            }
            (ExitReason::HostDied | ExitReason::Lost, _) => AgentStatus::Lost,
            _ => AgentStatus::Killed,
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitReason {
    /// The program ended by itself.
    Exited,
    /// A signal that we did not send ended it.
    Signalled,
    /// We ended it because somebody asked.
    Killed,
    /// A later run could not be started.
    ExecFailed,
    /// It ran longer than its limit.
    WallLimit,
    /// It wrote more than its limit.
    OutputLimit,
    /// It ended too often in too short a time.
    RestartLimit,
    /// Its host died, and it with it.
    HostDied,
    /// Nobody can know.
    Lost,
}

impl ExitReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Exited,
        Self::Signalled,
        Self::Killed,
        Self::ExecFailed,
        Self::WallLimit,
        Self::OutputLimit,
        Self::RestartLimit,
        Self::HostDied,
        Self::Lost,
    ];

    /// The reason's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::Killed => "killed",
            Self::ExecFailed => "exec_failed",
            Self::WallLimit => "wall_limit",
            Self::OutputLimit => "output_limit",
            Self::RestartLimit => "restart_limit",
            Self::HostDied => "host_died",
            Self::Lost => "lost",
        }
    }

    /// The reason with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The name of a Linux signal: `SIGTERM` for 15, `SIG42` where there is no name.
#[must_use]
pub fn signal_name(signal: i32) -> std::borrow::Cow<'static, str> {
    let known = usize::try_from(signal).ok().and_then(|number| SIGNALS.get(number));
    match known {
        Some(name) if !name.is_empty() => (*name).into(),
        _ => format!("SIG{signal}").into(),
    }
}

/// signal(7), x86 and most others; the index is the number.
const SIGNALS: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_people_know() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(42), "SIG42");
        assert_eq!(signal_name(-1), "SIG-1");
    }

    #[test]
    fn only_exit_code_zero_is_completion() {
        let exit = |reason, code| Exit { code, ..Exit::new(reason, Timestamp::default()) };
        assert_eq!(exit(ExitReason::Exited, Some(0)).status(), AgentStatus::Completed);
        assert_eq!(exit(ExitReason::Exited, Some(1)).status(), AgentStatus::Failed);
        assert_eq!(exit(ExitReason::Signalled, None).status(), AgentStatus::Killed);
        assert_eq!(exit(ExitReason::Killed, Some(0)).status(), AgentStatus::Killed);
        assert_eq!(exit(ExitReason::HostDied, None).status(), AgentStatus::Lost);
    }
}

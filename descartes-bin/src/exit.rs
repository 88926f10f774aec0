//! Exit codes of both programs, in one place.

use std::process::ExitCode;

/// What a program tells its caller by its exit code (API.md sections 8 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Done = 0,
    /// The daemon is at fault, or the agent or the operation failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// There is no such agent, backend or thing.
    NotFound = 3,
    /// It is in a state that does not allow this.
    Conflict = 4,
    /// The caller may not do this.
    NotAllowed = 5,
    /// No daemon, or its address is in use.
    Unavailable = 69,
    /// A directory cannot be used.
    Directory = 73,
    /// Try again; for the daemon: another one has the directory.
    TryAgain = 75,
    /// Refused for safety.
    Refused = 77,
    /// The configuration is wrong.
    Config = 78,
    /// The time was over first.
    TimedOut = 124,
    /// Somebody cancelled it.
    Cancelled = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

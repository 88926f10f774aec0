//! What a backend can do, and whether it can be used here.

use std::path::PathBuf;
use std::sync::Arc;

/// What a backend can do, and whether it can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its name.
    pub name: Arc<str>,
    /// How its program is talked to.
    pub dialect: &'static str,
    /// What starts it.
    pub runner: Arc<str>,
    /// Why it cannot be used here; none where it can, as far as its runner can tell.
    pub trouble: Option<BackendTrouble>,
    /// The program it starts, where that is fixed: as it was found, else as it was asked for.
    pub program: Option<PathBuf>,
    /// Where that was looked for in vain.
    pub searched: Vec<PathBuf>,
    /// The version that the program says it has; none where it was not asked.
    pub version: Option<Arc<str>>,
    /// Whether the program is logged in.
    pub login: Login,
    /// How to install it, where that is known.
    pub install_hint: Option<&'static str>,
    /// What can be done with it.
    pub capabilities: Capabilities,
    /// The models that it is said to offer.
    pub models: Vec<String>,
}

impl BackendStatus {
    /// Whether it can be used here.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.trouble.is_none()
    }
}

/// Why a backend cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendTrouble {
    /// Its program is not there.
    NotFound,
    /// What is there may not be executed.
    NotExecutable,
    /// It did not say its version: it ended otherwise, said something else, or did not end in time
    /// ([`PROBE_WAIT`](crate::limits::PROBE_WAIT)).
    ProbeFailed,
}

impl BackendTrouble {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::ProbeFailed => "probe_failed",
        }
    }
}

/// Whether a program is logged in where it needs to be.
///
/// Told by what lies where the program keeps it, and never by asking a server: what is there may
/// have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It is, or needs no login.
    Ok,
    /// It is not.
    Missing,
    /// That cannot be told.
    Unknown,
}

/// What can be done with the agents of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It takes one prompt after another and says when it is done with each.
    pub turns: bool,
    /// A conversation can go on in another process.
    pub resume: bool,
    /// It asks before it does what may not be wanted.
    pub approvals: bool,
    /// A turn can be cancelled without ending the process.
    pub cancel: bool,
    /// The model can be chosen.
    pub models: bool,
    /// It understands being asked to pause.
    pub pause: bool,
}

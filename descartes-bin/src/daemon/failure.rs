//! Why the daemon did not start, or did not end well, and the exit code that says so.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use descartes_core::StartError;
use descartes_core::store::{OpenError, StoreError};

use super::lock::LockError;
use crate::config::ConfigError;
use crate::directories::DirectoryError;
use crate::exit::Code;

/// Why the daemon did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Somebody else listens there.
    #[error("{address} is in use; choose another with {flag}")]
    #[cfg_attr(
        not(any(feature = "http", feature = "unix", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "none")
    )]
    AddressInUse { address: String, flag: &'static str },
    /// A place that is not safe to listen at.
    #[error("refusing to listen at {address}: {why}")]
    Unsafe { address: String, why: String },
    /// A socket that was given (sd_listen_fds(3)) and is of no use.
    #[error("cannot use the sockets that were given: {why}")]
    Given { why: String },
    /// The file in which starts for another daemon are to wait.
    #[error("could not use the queue of the remote {remote}, {}: {source}", path.display())]
    #[cfg_attr(not(feature = "zmq"), expect(dead_code, reason = "no remotes without it"))]
    RemoteQueue { remote: String, path: PathBuf, source: io::Error },
    /// The store could not be opened.
    #[error("could not open the store: {}", chain(.0))]
    Store(OpenError),
    /// What the store holds could not be taken up.
    #[error("could not start: {}", chain(.0))]
    Start(StartError),
    /// More or fewer threads than there can be.
    #[error("TOKIO_WORKER_THREADS should be a whole number from 1 to {most}, not {found:?}")]
    Threads { found: String, most: usize },
    /// Anything that is not the user's doing.
    #[error("could not {what}: {cause}")]
    Internal { what: &'static str, cause: String },
}

impl Failure {
    /// Turns any error into the failure to do `what`, with its whole chain of causes.
    pub(crate) fn internal<E: Error>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Internal { what, cause: chain(&error) }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Config(error) if error.is_safety() => Code::Refused,
            Self::Config(_) | Self::Given { .. } | Self::Threads { .. } => Code::Config,
            Self::Directory(error) => error.code(),
            Self::Lock(LockError::Held { .. }) => Code::TryAgain,
            Self::Lock(LockError::Unusable { .. }) => Code::Directory,
            Self::AddressInUse { .. } => Code::Unavailable,
            Self::Unsafe { .. } => Code::Refused,
            Self::RemoteQueue { source, .. } => match source.kind() {
                io::ErrorKind::WouldBlock => Code::TryAgain,
                io::ErrorKind::PermissionDenied => Code::Refused,
                _ => Code::Directory,
            },
            // Another start would find the same.
            Self::Store(OpenError::TooNew { .. } | OpenError::Damaged { .. }) => Code::Directory,
            Self::Start(StartError::Store(StoreError::Corrupt { .. }) | StartError::Format(_)) => {
                Code::Directory
            }
            Self::Store(OpenError::InUse { .. }) => Code::TryAgain,
            Self::Store(_) | Self::Start(_) | Self::Internal { .. } => Code::Failed,
        }
    }
}

/// An error with the causes that it names.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_exit_code_of_the_contract() {
        let io = || std::io::Error::other("x");
        let queue = |kind: io::ErrorKind| {
            let (remote, path) = ("far".to_owned(), "/".into());
            Failure::RemoteQueue { remote, path, source: kind.into() }
        };
        let safety = ConfigError::BeyondLoopback {
            place: crate::config::Place::Flag("--http-addr"),
            address: "0.0.0.0".parse().unwrap(),
        };
        let table = [
            (Failure::from(ConfigError::Unreachable), 78),
            (safety.into(), 77),
            (DirectoryError::Homeless.into(), 73),
            (DirectoryError::Open { path: "/".into(), mode: 0o777 }.into(), 77),
            (LockError::Held { dir: "/".into(), pid: None }.into(), 75),
            (LockError::Unusable { path: "/".into(), source: io() }.into(), 73),
            (queue(io::ErrorKind::WouldBlock), 75),
            (queue(io::ErrorKind::PermissionDenied), 77),
            (queue(io::ErrorKind::NotFound), 73),
            (Failure::Store(OpenError::TooNew { path: "/".into(), found: 9, known: 1 }), 73),
            (Failure::Store(OpenError::Damaged { path: "/".into(), what: "x".into() }), 73),
            (Failure::Store(OpenError::InUse { path: "/".into() }), 75),
            (Failure::Store(OpenError::Io { path: "/".into(), source: io().into() }), 1),
            (Failure::Start(StoreError::Corrupt { what: "x".into() }.into()), 73),
            (Failure::Start(StoreError::Closed.into()), 1),
            (Failure::Threads { found: "0".to_owned(), most: 8 }, 78),
            (Failure::internal("x")(io()), 1),
        ];
        for (failure, code) in table {
            assert_eq!(failure.code() as u8, code, "{failure}");
        }
    }
}

//! What can go wrong below the store's verbs, and what the caller is told of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;
use rustix::io::Errno;

use crate::store::{Key, StoreError};

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An expectation did not hold.
    Conflict { key: Key, actual: Option<u64> },
    /// No space.
    Full(io::Error),
    /// The disk, or SQLite on its way to the disk, failed: nothing cached is to be trusted.
    Disk(String),
    /// What was read cannot have been written by us.
    Corrupt(String),
    /// A segment was deleted after the rows were read: read them again.
    Moved,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(io::Error::from(Errno::NOSPC)),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(error.to_string())
            }
            Some(_) => Self::Disk(error.to_string()),
            None => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::Full(error) } else { Self::Disk(error.to_string()) }
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict { key, actual } => Self::Conflict { key, actual },
            Failure::Full(source) => Self::Full { source: Arc::new(source) },
            Failure::Disk(what) => Self::Unavailable { what: what.into() },
            Failure::Corrupt(what) => Self::Corrupt { what: what.into() },
            Failure::Moved => Self::Corrupt { what: "a segment file is missing".into() },
        }
    }
}

/// Whether `error` means that there is no space, or no more of it for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| full.contains(&code))
}

/// Tells a full disk from a broken one, after SQLite has said only that it could not write.
///
/// SQLite reports an exceeded quota, and a full disk in some places, as any other failed write.
pub(super) fn probe(dir: &Path, failure: Failure) -> Failure {
    let Failure::Disk(what) = failure else { return failure };
    let path = dir.join("probe.tmp");
    let written = std::fs::write(&path, [0x5a; 8192]);
    // The probe says nothing when it cannot be removed: the next one writes over it.
    drop(std::fs::remove_file(&path));
    match written {
        Err(error) if is_full(&error) => Failure::Full(error),
        _ => Failure::Disk(what),
    }
}

//! One daemon for each data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock may stay held after its daemon was killed: a child that is just being started
/// holds a copy of every descriptor until it runs its own program.
const RELEASE: Duration = Duration::from_millis(250);
/// Between two attempts.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(10);

/// The right to be the daemon of a data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: File,
}

/// Why the right cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another daemon has it.
    #[error("another daemon{} has the data directory {}", holder(pid.as_deref()), dir.display())]
    Held { dir: PathBuf, pid: Option<String> },
    /// The lock's file cannot be used.
    #[error("could not lock {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

fn holder(pid: Option<&str>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl InstanceLock {
    /// Becomes the daemon of `dir`.
    pub(super) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("daemon.lock");
        let unusable = |source| LockError::Unusable { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(&path).map_err(unusable)?;
        let give_up = Instant::now() + RELEASE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < give_up => {
                    thread::park_timeout(ATTEMPT_INTERVAL);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(LockError::Held { dir: dir.to_owned(), pid: read_pid(&mut file) });
                }
                Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
        write_pid(&mut file).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

/// For people who wonder who holds the lock; nothing is decided by it.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|pid| !pid.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{InstanceLock, LockError};

    #[test]
    fn a_directory_has_one_daemon_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = InstanceLock::take(dir.path()).unwrap();
        let pid = std::process::id().to_string();
        match InstanceLock::take(dir.path()) {
            Err(LockError::Held { pid: Some(held), .. }) => assert_eq!(held, pid),
            other => panic!("{other:?}"),
        }
        drop(first);
        InstanceLock::take(dir.path()).unwrap();
    }
}

//! One daemon for each data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
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
pub(crate) struct InstanceLock {
    file: File,
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
        let mut lock = Self::look(dir)?;
        let path = dir.join("daemon.lock");
        write_pid(&mut lock.file).map_err(|source| LockError::Unusable { path, source })?;
        Ok(lock)
    }

    /// Keeps daemons away from `dir` without being one.
    pub(crate) fn look(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("daemon.lock");
        let unusable = |source| LockError::Unusable { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(&path).map_err(unusable)?;
        let give_up = Instant::now() + RELEASE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(fs::TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file).map_err(unusable)?;
                    if Instant::now() >= give_up || pid.as_deref().is_some_and(is_alive) {
                        return Err(LockError::Held { dir: dir.to_owned(), pid });
                    }
                    thread::park_timeout(ATTEMPT_INTERVAL);
                }
                Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
    }
}

/// For people who wonder who holds the lock, and so that who comes while a daemon lives need not wait
/// for the copies of one that is dead.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> io::Result<Option<String>> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(Some(text.trim().to_owned()).filter(|pid| !pid.is_empty()))
}

/// Whether there is such a process, and it has not ended.
fn is_alive(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state stands behind the program's name, which may hold anything but ends with the last `)`.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
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

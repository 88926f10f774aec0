//! `endpoints.json`: where a running daemon listens, for the command line and other clients.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a running daemon listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Its process.
    pub pid: u32,
    /// The identity of its store.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// The URL of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The URL of WebSockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    /// The URL of ZeroMQ: `tcp://…`, or `ipc://…` where it has no port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zmq: Option<String>,
    /// The URL where events are published, of the same kinds.
    #[serde(default, rename = "pub", skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// The URL of the page of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// The path of the Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<PathBuf>,
}

impl Endpoints {
    /// What the daemon of `path` says; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or is not ours.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The right to write `endpoints.json`, held by a lock as long as the daemon lives.
///
/// Dropping it removes the file, if one was written.
#[derive(Debug)]
pub struct Publication {
    path: PathBuf,
    /// What becomes the file.
    fresh: File,
    written: bool,
    /// Held until the file has been removed.
    _lock: File,
}

impl Publication {
    /// Takes the right to publish at `path`; `None` when another live daemon has it.
    ///
    /// # Errors
    /// When the lock's file or the file cannot be made: who cannot publish is told so here.
    pub fn claim(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => Self::prepared(path, lock).map(Some),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn prepared(path: PathBuf, lock: File) -> io::Result<Self> {
        // No file takes the place of a directory.
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut options = OpenOptions::new();
        let fresh = options.create(true).truncate(true).write(true).mode(0o600).open(new(&path))?;
        Ok(Self { path, fresh, written: false, _lock: lock })
    }

    /// Writes the file in one step: a reader sees all of it or what was there before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, endpoints: &Endpoints) -> io::Result<()> {
        self.fresh.write_all(&serde_json::to_vec(endpoints)?)?;
        self.fresh.write_all(b"\n")?;
        fs::rename(new(&self.path), &self.path)?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let made = if self.written { self.path.clone() } else { new(&self.path) };
        // Nobody is left to be told; a stale file only costs a client one attempt.
        drop(fs::remove_file(made));
    }
}

/// Where it is written before it has its name.
fn new(path: &Path) -> PathBuf {
    path.with_extension("new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_published_reads_back_is_private_and_goes_with_its_publisher() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoints.json");
        let endpoints = Endpoints {
            pid: 7,
            instance: "abc".into(),
            version: "0.1.0".into(),
            http: Some("http://127.0.0.1:8080".into()),
            ws: Some("ws://127.0.0.1:8081".into()),
            zmq: Some("tcp://127.0.0.1:5555".into()),
            publisher: Some("tcp://127.0.0.1:19480".into()),
            metrics: Some("http://127.0.0.1:9090/metrics".into()),
            unix: None,
        };
        let mut publication = Publication::claim(path.clone()).unwrap().unwrap();
        publication.write(&endpoints).unwrap();
        assert_eq!(Endpoints::read(&path).unwrap(), Some(endpoints));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        drop(publication);
        assert_eq!(Endpoints::read(&path).unwrap(), None);
    }

    #[test]
    fn who_cannot_publish_is_told_so_before_there_is_anything_to_publish() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoints.json");
        fs::create_dir(&path).unwrap();
        assert_eq!(
            Publication::claim(path.clone()).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        fs::remove_dir(&path).unwrap();
        let left_alone = Publication::claim(path.clone()).unwrap().unwrap();
        assert!(new(&path).exists());
        drop(left_alone);
        assert!(!new(&path).exists() && !path.exists());
    }

    #[test]
    fn another_live_daemons_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoints.json");
        let mut first = Publication::claim(path.clone()).unwrap().unwrap();
        first.write(&Endpoints { pid: 1, ..Endpoints::default() }).unwrap();

        assert!(Publication::claim(path.clone()).unwrap().is_none());
        assert_eq!(Endpoints::read(&path).unwrap().unwrap().pid, 1);
    }
}

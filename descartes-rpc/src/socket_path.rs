//! Takes a socket path for this process: directory, lock, what an earlier run left, permissions
//! (feature `socket-path`).
//!
//! Every transport that listens on a Unix socket does it here, because none may use another.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::fd::OwnedFd,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Others may neither put files into the directory nor take them away.
const OTHERS_WRITE: u32 = 0o022;
const OWNER_ONLY_DIRECTORY: u32 = 0o700;
const OWNER_ONLY_FILE: u32 = 0o600;

/// Why a socket path could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A living server has it.
    #[error("{} is held by a running server", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody else owns the directory or may write to it.
    #[error("{} is not a directory that only its owner can write to", directory.display())]
    UnsafeDirectory {
        /// The directory of the socket.
        directory: PathBuf,
    },
    /// There is a file of another sort, which is not ours to remove.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The system refuses it.
    #[error("cannot listen on {}", path.display())]
    Refused {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A path that is held: dropped, the socket is removed and the lock released.
///
/// ```
/// use descartes_rpc::socket_path::{BindError, Claim};
///
/// # let home = tempfile::tempdir().unwrap();
/// let path = home.path().join("run/example.sock");
/// let (claim, listener) = Claim::take(&path)?;
/// assert!(matches!(Claim::take(&path), Err(BindError::InUse { .. })));
/// drop((claim, listener));
/// assert!(!path.exists());
/// # Ok::<(), BindError>(())
/// ```
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// Which file is ours, so that nobody else's is removed.
    socket: (u64, u64),
    lock: File,
}

impl Claim {
    /// Takes `path` and listens there, without blocking; the directory is made if it is missing,
    /// and what a server left behind that has died is replaced.
    ///
    /// # Errors
    ///
    /// [`BindError`], and nothing was changed but that the directory may have been made.
    pub fn take(path: &Path) -> Result<(Self, UnixListener), BindError> {
        let refused = |source| BindError::Refused { path: path.to_owned(), source };
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        own_directory(directory, rustix::process::geteuid().as_raw())
            .map_err(refused)?
            .ok_or_else(|| BindError::UnsafeDirectory { directory: directory.to_owned() })?;
        let lock = lock(path).map_err(refused)?;
        let lock = lock.ok_or_else(|| BindError::InUse { path: path.to_owned() })?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        // Until here the directory, and each peer's credentials, keep others out.
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY_FILE)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let socket = identity(path).map_err(refused)?;
        Ok((Self { path: path.to_owned(), socket, lock }, listener))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.socket)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket stays behind");
        }
        // A child that another thread has begun to start has a copy of the descriptor until it becomes
        // its program; the lock is not left to it.
        if let Err(error) = flock(&self.lock, FlockOperation::Unlock) {
            tracing::debug!(path = %self.path.display(), %error, "the lock goes with its descriptor");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Creates the directory if it is missing; `None` when it is no safe place.
fn own_directory(directory: &Path, own_uid: u32) -> io::Result<Option<()>> {
    DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(directory)?;
    let found = fs::metadata(directory)?;
    let owned = found.uid() == own_uid || found.uid() == 0;
    Ok((owned && found.mode() & OTHERS_WRITE == 0).then_some(()))
}

/// The lock beside the socket, or nothing when another process holds it.
///
/// The file stays where it is: whoever removed it could hold a lock that nobody else sees.
fn lock(socket: &Path) -> io::Result<Option<File>> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(OWNER_ONLY_FILE)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the socket of a server that has died. One that answers, or whose backlog is full, lives
/// (an older server may hold no lock).
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let refused = |source| BindError::Refused { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match connect(path) {
        Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(BindError::InUse { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

/// Connects without waiting, as one would for a server whose backlog is full.
fn connect(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn take(path: &Path) -> Result<(Claim, UnixListener), BindError> {
        Claim::take(path)
    }

    #[test]
    fn the_socket_is_the_owners_alone_and_leaves_with_its_claim() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/descartes.sock");
        let (claim, _listener) = take(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        UnixStream::connect(&path).unwrap();
        drop(claim);
        assert!(!path.exists());
    }

    #[test]
    fn a_living_server_keeps_its_socket() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let first = take(&path).unwrap();
        assert!(matches!(take(&path), Err(BindError::InUse { .. })));
        drop(first);
        assert!(take(&path).is_ok());
    }

    #[test]
    fn a_path_that_was_given_back_is_free_whoever_has_a_copy_of_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let first = take(&path).unwrap();
        // What a child has that is being started.
        let copy = first.0.lock.try_clone().unwrap();
        drop(first);
        assert!(take(&path).is_ok());
        drop(copy);
    }

    #[test]
    fn a_server_without_a_lock_is_found_by_asking() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let _foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(take(&path), Err(BindError::InUse { .. })));
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_server_that_lets_nobody_in_any_more_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let stuck = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&stuck, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&stuck, 1).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match connect(&path) {
                Ok(socket) => waiting.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(matches!(take(&path), Err(BindError::InUse { .. })));
    }

    #[test]
    fn what_a_dead_server_left_behind_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let taken = take(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(taken);
    }

    #[test]
    fn nothing_but_a_dead_servers_socket_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(take(&file), Err(BindError::NotASocket { .. })));
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(take(&link), Err(BindError::NotASocket { .. })));
        let datagram = home.path().join("datagram");
        let _kept = UnixDatagram::bind(&datagram).unwrap();
        assert!(matches!(take(&datagram), Err(BindError::Refused { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        assert!(datagram.exists());
    }

    #[test]
    fn a_claim_never_removes_the_socket_of_its_successor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let (claim, _listener) = take(&path).unwrap();
        fs::rename(&path, home.path().join("elsewhere")).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(claim);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let shared = home.path().join("shared");
        fs::create_dir(&shared).unwrap();
        for (mode, safe) in [(0o777, false), (0o1777, false), (0o775, false), (0o755, true)] {
            fs::set_permissions(&shared, Permissions::from_mode(mode)).unwrap();
            assert_eq!(take(&shared.join("s")).is_ok(), safe, "{mode:o}");
        }
        assert!(own_directory(home.path(), u32::MAX).unwrap().is_none() || is_root());
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x".repeat(120));
        assert!(matches!(take(&path), Err(BindError::Refused { .. })));
    }
}

//! Where a daemon keeps its data and where its clients find it (API.md section 8).

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::config::Surroundings;
use crate::exit::Code;

/// The two directories of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// What must survive.
    pub data: PathBuf,
    /// What only matters while the daemon runs: its socket and where it listens.
    pub runtime: PathBuf,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No variable says where it should be.
    #[error("no place for the data: set HOME, or pass --data-dir")]
    Homeless,
    /// It cannot be made or looked at.
    #[error("could not use the {what} directory {}: {source}", path.display())]
    Unusable {
        /// Which of them.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else owns it.
    #[error("the {what} directory {} belongs to another user (uid {owner})", path.display())]
    Foreign {
        /// Which of them.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write to it.
    #[error("refusing to use {}: others may write to it (mode {mode:04o})", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// What is seen of a directory: its permissions; none where it is not there yet and can be made.
pub type Seen = Result<Option<u32>, DirectoryError>;

impl DirectoryError {
    /// The exit code that says so.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Open { .. } => Code::Refused,
            Self::Homeless | Self::Unusable { .. } | Self::Foreign { .. } => Code::Directory,
        }
    }
}

impl Directories {
    /// Finds both without touching them; `data_dir` is what a flag said.
    ///
    /// # Errors
    /// When nothing says where they should be.
    pub fn find(
        data_dir: Option<&Path>,
        surroundings: &Surroundings,
    ) -> Result<Self, DirectoryError> {
        let var = |name| surroundings.var(name).map(PathBuf::from);
        let data = data_dir
            .map(Path::to_owned)
            .or_else(|| var("STATE_DIRECTORY"))
            .or_else(|| var("XDG_DATA_HOME").map(|dir| dir.join("descartes")))
            .or_else(|| var("HOME").map(|home| home.join(".local/share/descartes")))
            .ok_or(DirectoryError::Homeless)?;
        let unusable =
            |source| DirectoryError::Unusable { what: "data", path: data.clone(), source };
        let data = std::path::absolute(&data).map_err(unusable)?;
        let runtime = var("DESCARTES_RUNTIME_DIR")
            .or_else(|| var("RUNTIME_DIRECTORY"))
            .or_else(|| var("XDG_RUNTIME_DIR").map(|dir| dir.join("descartes")))
            .unwrap_or_else(|| data.join("run"));
        let runtime = std::path::absolute(&runtime).unwrap_or(runtime);
        Ok(Self { data, runtime })
    }

    /// Makes both where they are missing and checks whose they are.
    ///
    /// # Errors
    /// When one cannot be made, belongs to somebody else or is open to others.
    pub fn prepare(&self) -> Result<(), DirectoryError> {
        own("data", &self.data)?;
        own("runtime", &self.runtime)
    }

    /// Looks at both, without making or changing anything: what each is for, where it is, and what
    /// is there.
    pub fn inspect(&self) -> [(&'static str, &Path, Seen); 2] {
        [("data", &self.data), ("runtime", &self.runtime)]
            .map(|(what, path)| (what, path.as_path(), inspect(what, path)))
    }

    /// Where a daemon says where it listens.
    #[must_use]
    pub fn endpoints(&self) -> PathBuf {
        self.runtime.join("endpoints.json")
    }

    /// The Unix socket of ZeroMQ.
    #[must_use]
    pub fn zmq_socket(&self) -> PathBuf {
        self.runtime.join("zmq.sock")
    }

    /// The Unix socket where events are published.
    #[must_use]
    pub fn publisher_socket(&self) -> PathBuf {
        self.runtime.join("pub.sock")
    }

    /// Where what must not be seen is kept, each file for its owner alone.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// Where its Unix socket is unless it was configured elsewhere.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("descartes.sock")
    }
}

fn own(what: &'static str, path: &Path) -> Result<(), DirectoryError> {
    let unusable = |source| DirectoryError::Unusable { what, path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
    // A directory that others may only look into becomes ours alone: what follows is secret.
    if mode_of(what, path)? & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(unusable)?;
    }
    Ok(())
}

/// The permissions of a directory that is ours and not open to others.
fn mode_of(what: &'static str, path: &Path) -> Result<u32, DirectoryError> {
    let unusable = |source| DirectoryError::Unusable { what, path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(unusable)?;
    if !found.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    let (path, owner, mode) = (path.to_owned(), found.uid(), found.mode() & 0o7777);
    if owner != rustix::process::geteuid().as_raw() {
        return Err(DirectoryError::Foreign { what, path, owner });
    }
    if mode & 0o022 != 0 {
        return Err(DirectoryError::Open { path, mode });
    }
    Ok(mode)
}

fn inspect(what: &'static str, path: &Path) -> Seen {
    match mode_of(what, path) {
        Err(DirectoryError::Unusable { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            let above = path.ancestors().skip(1).find(|folder| folder.exists());
            let above = above.unwrap_or_else(|| Path::new("/"));
            let may = rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK);
            let unusable =
                |source| DirectoryError::Unusable { what, path: path.to_owned(), source };
            may.map(|()| None).map_err(|errno| unusable(errno.into()))
        }
        seen => seen.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_tried_in_their_order() {
        type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let table: &[Case<'_>] = &[
            (None, &[("HOME", "/h")], "/h/.local/share/descartes", "/h/.local/share/descartes/run"),
            (
                None,
                &[("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_RUNTIME_DIR", "/r")],
                "/d/descartes",
                "/r/descartes",
            ),
            (
                None,
                &[("XDG_DATA_HOME", "/d"), ("STATE_DIRECTORY", "/s"), ("RUNTIME_DIRECTORY", "/t")],
                "/s",
                "/t",
            ),
            (
                Some("/flag"),
                &[("STATE_DIRECTORY", "/s"), ("DESCARTES_RUNTIME_DIR", "/own")],
                "/flag",
                "/own",
            ),
        ];
        for (flag, env, data, runtime) in table {
            let found = Directories::find(flag.map(Path::new), &Surroundings::with(env)).unwrap();
            let expected = Directories { data: data.into(), runtime: runtime.into() };
            assert_eq!(found, expected);
        }
        assert!(Directories::find(None, &Surroundings::default()).is_err());
    }

    #[test]
    fn directories_are_made_private_and_open_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let both = Directories { data: dir.path().join("a/b"), runtime: dir.path().join("run") };
        both.prepare().unwrap();
        assert_eq!(fs::metadata(&both.data).unwrap().mode() & 0o777, 0o700);

        fs::set_permissions(&both.runtime, Permissions::from_mode(0o755)).unwrap();
        both.prepare().unwrap();
        assert_eq!(fs::metadata(&both.runtime).unwrap().mode() & 0o777, 0o700);

        fs::set_permissions(&both.runtime, Permissions::from_mode(0o777)).unwrap();
        let error = both.prepare().unwrap_err();
        assert_eq!(error.code(), Code::Refused, "{error}");
        assert_eq!(fs::metadata(&both.runtime).unwrap().mode() & 0o777, 0o777, "left alone");
    }

    #[test]
    fn a_look_changes_nothing_and_finds_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let both = Directories { data: dir.path().join("a/b"), runtime: dir.path().join("run") };
        let modes = || both.inspect().map(|(_, _, seen)| seen.map_err(|error| error.code()));
        assert_eq!(modes(), [Ok(None), Ok(None)]);
        assert!(!both.data.exists());
        both.prepare().unwrap();
        assert_eq!(modes(), [Ok(Some(0o700)), Ok(Some(0o700))]);
        fs::set_permissions(&both.runtime, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(modes(), [Ok(Some(0o700)), Err(Code::Refused)]);
        fs::remove_dir(&both.data).unwrap();
        fs::write(&both.data, "").unwrap();
        assert_eq!(modes()[0], Err(Code::Directory));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let both = Directories { data: file, runtime: dir.path().to_owned() };
        let error = both.prepare().unwrap_err();
        assert_eq!(error.code(), Code::Directory, "{error}");
    }
}

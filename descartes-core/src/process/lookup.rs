//! Finds the program and checks the directory, so that an error says which of the two it was.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::runner::{SpawnError, SpawnStage};

/// Where programs are looked for when nobody says: what `execvp` does without `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Checks that `cwd` can be worked in.
pub(super) fn directory(program: &str, cwd: &Path) -> Result<(), SpawnError> {
    let usable = std::fs::metadata(cwd).and_then(|found| {
        if !found.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(access(cwd, Access::EXEC_OK)?)
    });
    usable.map_err(|source| {
        let mut error = SpawnError::new(program, SpawnStage::Directory, source);
        error.cwd = Some(cwd.to_owned());
        error
    })
}

/// The absolute path of `program`: itself, from `cwd` when it has a slash, or from `path`.
///
/// A bare name must never reach the standard library: with an environment of the child's own it
/// would fork instead of using `posix_spawn`.
pub(super) fn program(
    program: &str,
    cwd: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    if program.contains('/') {
        let absolute = cwd.join(program);
        return match usable(&absolute) {
            Ok(()) => Ok(absolute),
            Err(source) => Err(failed(program, source, vec![absolute])),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    let mut searched = Vec::new();
    let mut refused = None;
    for directory in path.split(|byte| *byte == b':') {
        // An empty entry is the working directory, as for a shell.
        let directory = cwd.join(OsStr::from_bytes(directory));
        let candidate = directory.join(program);
        match usable(&candidate) {
            Ok(()) if !program.is_empty() => return Ok(candidate),
            Err(error) if is_there(&candidate) => refused = Some(error),
            // Also a directory that may not be looked into: whether it has one is not known.
            _ => searched.push(directory),
        }
    }
    Err(failed(program, refused.unwrap_or(Errno::NOENT.into()), searched))
}

/// What changes whenever the file does: where it is, when it was changed, how long it is. Package
/// managers set the time of its contents as they please.
pub(super) fn stamp(program: &Path) -> [u64; 4] {
    let Ok(found) = std::fs::metadata(program) else { return [0; 4] };
    let changed = found.ctime().wrapping_mul(1_000_000_000).wrapping_add(found.ctime_nsec());
    [found.dev(), found.ino(), changed.cast_unsigned(), found.len()]
}

fn is_there(candidate: &Path) -> bool {
    std::fs::metadata(candidate).is_ok()
}

fn usable(candidate: &Path) -> io::Result<()> {
    let found = std::fs::metadata(candidate)?;
    if !found.is_file() {
        return Err(Errno::ACCESS.into());
    }
    Ok(access(candidate, Access::EXEC_OK)?)
}

fn failed(program: &str, source: io::Error, searched: Vec<PathBuf>) -> SpawnError {
    // What is there and may not be executed was found.
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    let stage = if denied { SpawnStage::Exec } else { SpawnStage::Lookup };
    let mut error = SpawnError::new(program, stage, source);
    error.searched = searched;
    error
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn errno(error: &SpawnError) -> i32 {
        error.source.raw_os_error().unwrap()
    }

    #[test]
    fn a_bare_name_is_searched_and_the_places_are_told() {
        let found = program("sh", Path::new("/"), Some(OsStr::new("/nowhere:/bin"))).unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        let error = program("no-such", Path::new("/"), Some(OsStr::new("/nowhere:bin")));
        let error = error.unwrap_err();
        assert_eq!((error.stage, errno(&error)), (SpawnStage::Lookup, 2));
        assert_eq!(error.searched, [Path::new("/nowhere"), Path::new("/bin")]);
    }

    #[test]
    fn what_is_no_program_was_found_but_cannot_be_executed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("text"), "not a program").unwrap();
        for name in ["./text", "text"] {
            let path = directory.path().as_os_str();
            let error = program(name, directory.path(), Some(path)).unwrap_err();
            assert_eq!((error.stage, errno(&error)), (SpawnStage::Exec, 13), "{name}");
        }
    }

    #[test]
    fn a_directory_that_may_not_be_looked_into_has_no_program() {
        // Nothing is closed to root, who finds nothing in it either.
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), Permissions::from_mode(0o000)).unwrap();
        let error = program("no-such", Path::new("/"), Some(closed.path().as_os_str()));
        let error = error.unwrap_err();
        assert_eq!((error.stage, errno(&error)), (SpawnStage::Lookup, 2));
        assert_eq!(error.searched, [closed.path()]);
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        for (path, expected) in [("/no/such", 2), ("/etc/passwd", 20)] {
            let error = self::directory("sh", Path::new(path)).unwrap_err();
            assert_eq!((error.stage, errno(&error)), (SpawnStage::Directory, expected));
            assert_eq!(error.cwd.as_deref(), Some(Path::new(path)));
        }
    }
}

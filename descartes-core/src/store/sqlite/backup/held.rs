//! Holds payload files while they are copied: links to them, which retention does not know.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::store::sqlite::{open, segment};

/// Copies of one store that may be made at once.
const COPIES: usize = 16;

/// A folder beside the store, with links to its payload files. Dropping it removes it; the next copy
/// removes what a killed one has left.
pub(super) struct Held {
    pub(super) folder: PathBuf,
    _lock: File,
}

impl Held {
    /// An empty folder; an error where there may be no other names for files.
    pub(super) fn beside(dir: &Path) -> io::Result<Self> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        for number in 1..=COPIES {
            let folder = dir.with_file_name(format!("{name}.copying-{number}"));
            open::private_folder(&folder)?;
            let lock = open::private_file(&folder.join("lock"))?;
            if lock.try_lock().is_err() {
                continue;
            }
            match fs::remove_dir_all(segments(&folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => return Ok(Self { folder, _lock: lock }),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Holds every payload file that there is now.
    pub(super) fn all(&self, dir: &Path) -> io::Result<()> {
        for topic in listed(&segments(dir))? {
            for path in listed(&topic)? {
                let inside = path.strip_prefix(dir).map_err(io::Error::other)?;
                link(&path, &self.folder.join(inside))?;
            }
        }
        Ok(())
    }

    /// Holds a payload file, which may be gone, or be held already.
    pub(super) fn one(&self, dir: &Path, topic: i64, seg: u64) -> io::Result<()> {
        link(&segment::path(dir, topic, seg), &segment::path(&self.folder, topic, seg))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn segments(dir: &Path) -> PathBuf {
    dir.join("segments")
}

/// What is in a folder; nothing in one that is gone.
fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found?.map(|entry| Ok(entry?.path())).collect(),
    }
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    segment::private_parent(to)?;
    match fs::hard_link(from, to) {
        Err(error) if !is_settled(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether it is there already, or gone.
fn is_settled(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "payload").unwrap();
    }

    #[test]
    fn what_is_deleted_while_it_is_held_is_still_there_and_nothing_stays_behind() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("store");
        for seg in 0..3 {
            write(&segment::path(&dir, 7, seg));
        }
        let held = Held::beside(&dir).unwrap();
        held.all(&dir).unwrap();
        write(&segment::path(&dir, 8, 0));
        held.one(&dir, 8, 0).unwrap();
        held.one(&dir, 8, 0).unwrap();
        held.one(&dir, 9, 0).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        for (topic, seg) in [(7, 0), (7, 1), (7, 2), (8, 0)] {
            assert_eq!(fs::read(segment::path(&held.folder, topic, seg)).unwrap(), b"payload");
        }
        assert!(!segment::path(&held.folder, 9, 0).exists());
        drop(held);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn copies_that_are_made_at_once_have_folders_of_their_own_and_what_a_killed_one_left_goes() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("store");
        let left = segment::path(&parent.path().join("store.copying-1"), 3, 3);
        write(&left);
        let one = Held::beside(&dir).unwrap();
        let other = Held::beside(&dir).unwrap();
        assert!(!left.exists());
        assert_ne!(one.folder, other.folder);
        drop(one);
        assert!(other.folder.exists());
    }
}

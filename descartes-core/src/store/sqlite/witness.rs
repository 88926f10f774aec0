//! A second place that knows how far the journal has come, so that a shortened one is noticed.
//!
//! A log that is cut or damaged looks to SQLite like one that was never written any further. The
//! few bytes here are written over after each commit; when they know of more commits than the
//! database has, those are gone, and a new epoch begins.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::open::private_file;

/// The file's name, inside the store's folder.
const FILE: &str = "journal.last";
/// Its length: the store's number, its commits, its head, and the checksum of these.
const BYTES: usize = 24;

/// What is known of a store beside the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) store: u32,
    pub(super) commits: u64,
    pub(super) head: u64,
}

impl Seen {
    /// What was noted in `dir`; none when nothing was, or when that is not whole.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(dir.join(FILE)).ok()?;
        file.take(BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
        let bytes: [u8; BYTES] = bytes.try_into().ok()?;
        let seen = Self {
            store: u32::from_le_bytes(bytes[..4].try_into().ok()?),
            commits: u64::from_le_bytes(bytes[4..12].try_into().ok()?),
            head: u64::from_le_bytes(bytes[12..20].try_into().ok()?),
        };
        (seen.bytes() == bytes).then_some(seen)
    }

    /// Whether something was noted in `dir`, whole or not.
    pub(super) fn is_noted(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.store.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.commits.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.head.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// The writer's side of the file.
#[derive(Debug)]
pub(super) struct Witness {
    file: Option<File>,
}

impl Witness {
    pub(super) fn of(dir: &Path) -> Self {
        let file = private_file(&dir.join(FILE));
        let file = file.inspect_err(|error| {
            tracing::warn!(%error, "a log that is cut will not be noticed");
        });
        Self { file: file.ok() }
    }

    /// Notes a commit. It is done already, so that a failure here is only a warning less.
    pub(super) fn note(&self, seen: &Seen) {
        let Some(file) = &self.file else { return };
        if let Err(error) = file.write_all_at(&seen.bytes(), 0) {
            tracing::debug!(%error, "a commit could not be noted beside the journal");
        }
    }

    /// Notes it in `dir` for a store that is not open.
    pub(super) fn leave(dir: &Path, seen: &Seen) -> std::io::Result<()> {
        private_file(&dir.join(FILE))?.write_all_at(&seen.bytes(), 0)
    }
}

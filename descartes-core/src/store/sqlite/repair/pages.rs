//! The pages of a database, without SQLite: for one that it refuses, or of which it finds a part.
//!
//! After <https://www.sqlite.org/fileformat2.html>. What is read here is believed by nobody: a row
//! counts when its checksum says so.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::sqlite::connection::DATABASE;

/// Bytes of a page: SQLite's default, which no store of ours ever had another of.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes of the log's head, and of the head of each page in it.
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: usize = 24;
/// Where page 1 says which is the first page of the list of free ones, and how many those are.
const FREE: usize = 32;

/// A database and its log.
pub(super) struct Pages {
    file: File,
    log: Option<File>,
    /// Where in the log the newest committed form of a page is.
    newer: HashMap<u32, u64>,
    /// The number of the last page.
    pub(super) last: u32,
    /// Pages that are not in use: what they hold is what was once deleted.
    free: HashSet<u32>,
}

impl Pages {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir.join(DATABASE))?;
        let pages = file.metadata()?.len().div_ceil(PAGE_BYTES as u64);
        let last = u32::try_from(pages).unwrap_or(u32::MAX);
        let log = File::open(dir.join(format!("{DATABASE}-wal"))).ok();
        let mut found = Self { file, log, newer: HashMap::new(), last, free: HashSet::new() };
        found.read_log();
        found.read_free();
        Ok(found)
    }

    /// The pages that may hold what is in use.
    pub(super) fn used(&self) -> impl Iterator<Item = u32> {
        (1..=self.last).filter(|number| !self.free.contains(number))
    }

    /// The bytes of a page; none behind the end. The last one may be cut: zeros follow.
    pub(super) fn read(&self, number: u32) -> Option<Vec<u8>> {
        let mut bytes = vec![0; PAGE_BYTES];
        let (file, at) = match (&self.log, self.newer.get(&number)) {
            (Some(log), Some(at)) => (log, *at),
            _ => (&self.file, u64::from(number.checked_sub(1)?) * PAGE_BYTES as u64),
        };
        let mut filled = 0;
        while filled < PAGE_BYTES {
            match file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        (filled > 0).then_some(bytes)
    }

    /// Notes what the log has of pages, up to its last commit.
    fn read_log(&mut self) {
        let Some(log) = &self.log else { return };
        let mut head = [0; LOG_HEAD as usize];
        if log.read_exact_at(&mut head, 0).is_err() {
            return;
        }
        let (mut at, mut pending) = (LOG_HEAD, Vec::new());
        let mut frame = [0; FRAME_HEAD];
        // A frame of an earlier turn of the log has other salts.
        while log.read_exact_at(&mut frame, at).is_ok() && frame[8..16] == head[16..24] {
            pending.push((word(&frame, 0), at + FRAME_HEAD as u64));
            let committed = word(&frame, 4);
            if committed > 0 {
                self.newer.extend(pending.drain(..));
                self.last = self.last.max(committed);
            }
            at += (FRAME_HEAD + PAGE_BYTES) as u64;
        }
    }

    /// Follows the list of free pages as far as it can be read.
    fn read_free(&mut self) {
        let Some(first) = self.read(1) else { return };
        let mut trunk = word(&first, FREE);
        while trunk > 1 && trunk <= self.last && self.free.insert(trunk) {
            let Some(bytes) = self.read(trunk) else { return };
            let count = word(&bytes, 4) as usize;
            let leaves = bytes[8..].chunks_exact(4).take(count);
            self.free.extend(leaves.map(|leaf| word(leaf, 0)));
            trunk = word(&bytes, 0);
        }
    }
}

/// Four bytes of `bytes` as a number; zero behind their end.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    found.map_or(0, u32::from_be_bytes)
}

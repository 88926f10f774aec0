//! Segment files: payloads beside the rows, one sequence of files for each topic.
//!
//! A record is the payload's length and CRC-32 (both little-endian, four bytes) and its bytes. It
//! is written before the row that names it is committed; what lies behind the last committed
//! record is cut when the file is next opened for writing.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::topics::TopicRow;

/// Bytes of one segment file: what retention gives back at once.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes before each payload.
pub(super) const RECORD_HEAD: usize = 8;
/// Segment files that are held open for writing.
const OPEN_SEGMENTS: usize = 32;

/// Where a payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: i64,
    pub(super) seg: u64,
    pub(super) off: u64,
    pub(super) len: u32,
}

impl Place {
    pub(super) fn end(&self) -> u64 {
        self.off + RECORD_HEAD as u64 + u64::from(self.len)
    }
}

pub(super) fn path(dir: &Path, topic: i64, seg: u64) -> PathBuf {
    dir.join("segments").join(topic.to_string()).join(format!("{seg}.seg"))
}

/// The writer's side of the segment files.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    open: HashMap<i64, Open>,
    clock: u64,
    /// Topics that this transaction has appended to.
    touched: Vec<i64>,
    /// Makes the next append fail, for tests of a full disk.
    #[cfg(test)]
    pub(super) full: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    seg: u64,
    end: u64,
    /// Where the last committed record ends.
    committed: (u64, u64),
    touched: bool,
    used: u64,
}

impl Segments {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            open: HashMap::new(),
            clock: 0,
            touched: Vec::new(),
            #[cfg(test)]
            full: false,
        }
    }

    /// Appends `payload` to the segment of `topic` and moves the row's end behind it.
    pub(super) fn append(&mut self, row: &mut TopicRow, payload: &[u8]) -> Result<Place, Failure> {
        let len = u32::try_from(payload.len())
            .map_err(|error| Failure::Corrupt(format!("a payload is too long: {error}")))?;
        let committed = (row.seg, row.seg_end);
        let record = RECORD_HEAD as u64 + u64::from(len);
        if row.seg_end > 0 && row.seg_end + record > SEGMENT_BYTES {
            (row.seg, row.seg_end) = (row.seg + 1, 0);
        }
        let open = self.opened(row, committed)?;
        let place = Place { topic: row.id, seg: row.seg, off: row.seg_end, len };
        let mut head = [0; RECORD_HEAD];
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        write_all(&open.file, [&head, payload], place.off)?;
        open.end = place.end();
        row.seg_end = place.end();
        row.seg_bytes += record;
        Ok(place)
    }

    /// The file that the row's end is in, cut to that end.
    fn opened(&mut self, row: &mut TopicRow, committed: (u64, u64)) -> Result<&mut Open, Failure> {
        self.clock += 1;
        #[cfg(test)]
        if self.full {
            return Err(io::Error::from(rustix::io::Errno::NOSPC).into());
        }
        let fits = |open: &Open| open.seg == row.seg && open.end == row.seg_end;
        let kept = self.open.get(&row.id).filter(|open| open.touched).map(|open| open.committed);
        if !self.open.get(&row.id).is_some_and(fits) {
            self.make_room(row.id);
            let (file, seg) = open_for_append(&self.dir, row)?;
            if seg != row.seg {
                (row.seg, row.seg_end) = (seg, 0);
            }
            let open = Open {
                file,
                seg: row.seg,
                end: row.seg_end,
                committed: kept.unwrap_or(committed),
                touched: kept.is_some(),
                used: self.clock,
            };
            self.open.insert(row.id, open);
        }
        let clock = self.clock;
        let Some(open) = self.open.get_mut(&row.id) else {
            return Err(Failure::Disk("a segment was not opened".to_owned()));
        };
        open.used = clock;
        if !open.touched {
            (open.touched, open.committed) = (true, committed);
            self.touched.push(row.id);
        }
        Ok(open)
    }

    /// Closes the files that were not used for longest, unless this transaction used them.
    fn make_room(&mut self, keep: i64) {
        while self.open.len() >= OPEN_SEGMENTS && !self.open.contains_key(&keep) {
            let idle = self.open.iter().filter(|(_, open)| !open.touched);
            let Some(id) = idle.min_by_key(|(_, open)| open.used).map(|(id, _)| *id) else {
                return;
            };
            self.open.remove(&id);
        }
    }

    /// Makes what this transaction appended safe against a loss of power.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        for open in self.touched.iter().filter_map(|id| self.open.get(id)) {
            open.file.sync_data().map_err(|error| Failure::Disk(error.to_string()))?;
        }
        Ok(())
    }

    /// The transaction was committed.
    pub(super) fn keep(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(open) = self.open.get_mut(&id) {
                open.touched = false;
            }
        }
    }

    /// The transaction was not committed: gives the space of what it appended back.
    pub(super) fn undo(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            let Some(open) = self.open.remove(&id) else { continue };
            let (seg, end) = open.committed;
            for later in seg + 1..=open.seg {
                // What cannot be removed now is cut when the file is opened again.
                drop(std::fs::remove_file(path(&self.dir, id, later)));
            }
            if let Err(error) = cut(&path(&self.dir, id, seg), end) {
                tracing::debug!(%error, "uncommitted bytes stay in a segment until it is opened");
            }
        }
    }

    /// Deletes the files `from..to` of a topic; those that are gone are no error.
    pub(super) fn delete(&mut self, topic: i64, from: u64, to: u64) -> Result<(), Failure> {
        self.open.retain(|id, open| *id != topic || open.seg >= to);
        for seg in from..to {
            match std::fs::remove_file(path(&self.dir, topic, seg)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Closes every file: after a failure, what the kernel has of them is not known.
    pub(super) fn close(&mut self) {
        self.open.clear();
        self.touched.clear();
    }
}

/// Opens the file of the row's end and cuts what was never committed.
///
/// When the file is shorter than what was committed (a restored backup, a loss of power), its
/// records stay unreadable and the next file is begun, so that no new record hides the loss.
fn open_for_append(dir: &Path, row: &TopicRow) -> Result<(File, u64), Failure> {
    let file = open_file(&path(dir, row.id, row.seg))?;
    let len = file.metadata()?.len();
    if len < row.seg_end {
        tracing::error!(topic = row.id, segment = row.seg, "a segment is shorter than committed");
        let file = open_file(&path(dir, row.id, row.seg + 1))?;
        file.set_len(0)?;
        return Ok((file, row.seg + 1));
    }
    if len > row.seg_end {
        file.set_len(row.seg_end)?;
    }
    Ok((file, row.seg))
}

fn cut(path: &Path, end: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() > end { file.set_len(end) } else { Ok(()) }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_parent(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// Makes the folder that a segment's file lies in.
pub(super) fn private_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| DirBuilder::new().recursive(true).mode(0o700).create(dir))
}

fn write_all(file: &File, parts: [&[u8]; 2], mut off: u64) -> Result<(), Failure> {
    let [mut head, mut body] = parts;
    while !head.is_empty() || !body.is_empty() {
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let written = match rustix::io::pwritev(file, &slices, off) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            written => written?,
        };
        off += written as u64;
        let of_head = written.min(head.len());
        head = &head[of_head..];
        body = &body[written - of_head..];
    }
    Ok(())
}

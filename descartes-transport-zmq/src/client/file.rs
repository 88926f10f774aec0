//! The file in which commands outlive their client (`queue_path`).
//!
//! After eight bytes that say what it is there are only records, appended: length and CRC-32 (both
//! little-endian, four bytes), then JSON: a command that was taken, or one that is done. What is
//! not whole at the end was never promised to anybody and is cut. When little of the file is still
//! needed, that is written anew beside it and takes its place.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    limits::{QUEUE_FILE_BYTES, QUEUE_FILE_SMALL},
    queue::{Command, Ticket},
};

/// What the file begins with: its kind and version.
const MAGIC: &[u8; 8] = b"DSCQUE1\n";
/// Bytes before each record.
const HEAD: usize = 8;
/// Written anew when less than one part in so many is needed.
const SHARE: u64 = 4;
/// Attempts to lock a file that others replace meanwhile.
const LOCK_ATTEMPTS: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record<'a> {
    /// A command was taken.
    #[serde(borrow)]
    Taken(Taken<'a>),
    /// It is answered, or nobody waits for it.
    Done(Ticket),
}

#[derive(Serialize, Deserialize)]
struct Taken<'a> {
    ticket: Ticket,
    method: String,
    #[serde(borrow)]
    params: &'a RawValue,
    key: String,
    control: bool,
    waits: bool,
    deadline_ms: u64,
    /// When it was taken, in milliseconds of Unix time.
    taken_at: u64,
}

/// A command that was taken in an earlier life.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) ticket: Ticket,
    pub(super) command: Command,
    /// How long ago it was taken.
    pub(super) age: Duration,
}

/// The open file; locked, so that one client uses it.
#[derive(Debug)]
pub(super) struct QueueFile {
    path: PathBuf,
    file: File,
    end: u64,
    /// Where each record lies that is still needed, and how long it is.
    live: BTreeMap<Ticket, (u64, u64)>,
    live_bytes: u64,
    /// Nobody knows what is on the disk after a write that failed halfway.
    broken: bool,
    /// Makes appending fail, for tests of a full disk.
    #[cfg(test)]
    pub(super) full: bool,
}

impl QueueFile {
    /// Opens or makes the file at `path` and reads what it holds, oldest first.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Recovered>)> {
        let file = locked(path)?;
        let mut file = Self {
            path: path.to_owned(),
            file,
            end: 0,
            live: BTreeMap::new(),
            live_bytes: 0,
            broken: false,
            #[cfg(test)]
            full: false,
        };
        let recovered = file.read()?;
        Ok((file, recovered))
    }

    fn read(&mut self) -> io::Result<Vec<Recovered>> {
        let length = self.file.metadata()?.len();
        if length > QUEUE_FILE_BYTES {
            return Err(invalid("it is longer than any queue"));
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.file).take(QUEUE_FILE_BYTES).read_to_end(&mut bytes)?;
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            self.file.set_len(0)?;
            self.file.write_all_at(MAGIC, 0)?;
            self.file.sync_all()?;
            sync_folder(&self.path)?;
            bytes = MAGIC.to_vec();
        }
        if !bytes.starts_with(MAGIC) {
            return Err(invalid("it is something else"));
        }
        let mut found = BTreeMap::new();
        let now = unix_millis();
        let mut at = MAGIC.len();
        while let Some(body) = body_at(&bytes, at) {
            let Ok(record) = serde_json::from_slice::<Record<'_>>(body) else { break };
            let place = (offset(at), offset(HEAD + body.len()));
            match record {
                Record::Taken(taken) => {
                    self.keep(taken.ticket, place);
                    found.insert(taken.ticket, taken.recovered(now));
                }
                Record::Done(ticket) => {
                    self.forget(ticket);
                    found.remove(&ticket);
                }
            }
            at += HEAD + body.len();
        }
        self.end = offset(at);
        if at < bytes.len() {
            let lost = bytes.len() - at;
            tracing::warn!(path = %self.path.display(), bytes = lost, "the queue's file ends in a half record, which is cut");
            self.file.set_len(self.end)?;
            self.file.sync_all()?;
        }
        Ok(found.into_values().collect())
    }

    /// Writes down that commands were taken and that others are done. When commands were taken
    /// they are on the disk when this returns.
    pub(super) fn append(
        &mut self,
        taken: &[(Ticket, &Command)],
        done: &[Ticket],
    ) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write of it failed"));
        }
        let mut batch = Vec::new();
        let mut places = Vec::with_capacity(taken.len());
        let taken_at = unix_millis();
        for (ticket, command) in taken {
            let Some(key) = command.key.clone() else { continue };
            let begin = batch.len();
            let deadline_ms = u64::try_from(command.deadline.as_millis()).unwrap_or(u64::MAX);
            let record = Taken {
                ticket: *ticket,
                method: command.method.clone(),
                params: &command.params,
                key,
                control: command.control,
                waits: command.waits,
                deadline_ms,
                taken_at,
            };
            put(&mut batch, &Record::Taken(record))?;
            places.push((*ticket, offset(begin), offset(batch.len() - begin)));
        }
        let known = done.iter().filter(|ticket| self.live.contains_key(ticket));
        let known: Vec<Ticket> = known.copied().collect();
        for ticket in &known {
            put(&mut batch, &Record::Done(*ticket))?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.compact(offset(batch.len()))?;
        self.write(&batch, !places.is_empty())?;
        for (ticket, begin, length) in places {
            self.keep(ticket, (self.end + begin, length));
        }
        known.into_iter().for_each(|ticket| self.forget(ticket));
        self.end += offset(batch.len());
        Ok(())
    }

    fn write(&mut self, batch: &[u8], sync: bool) -> io::Result<()> {
        let written = self.file_write(batch).and_then(|()| match sync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        if written.is_err() {
            // Half a record would hide what is appended after it.
            self.broken = self.file.set_len(self.end).is_err() || self.file.sync_data().is_err();
        }
        written
    }

    fn file_write(&self, batch: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.full {
            self.file.write_all_at(&batch[..batch.len() / 2], self.end)?;
            return Err(ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(batch, self.end)
    }

    /// Writes what is needed anew if that is little of the file, or if there is no room for
    /// `more`.
    fn compact(&mut self, more: u64) -> io::Result<()> {
        let whole = self.end + more;
        let little = whole > QUEUE_FILE_SMALL && self.live_bytes < whole / SHARE;
        if !little && whole <= QUEUE_FILE_BYTES {
            return Ok(());
        }
        if self.live_bytes + more > QUEUE_FILE_BYTES / 2 {
            return Err(ErrorKind::StorageFull.into());
        }
        let beside = beside(&self.path);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = made(&beside, true)?;
        new.try_lock().map_err(io::Error::from)?;
        new.write_all(MAGIC)?;
        let mut live = BTreeMap::new();
        let mut end = offset(MAGIC.len());
        for (ticket, (begin, length)) in &self.live {
            self.file.seek(SeekFrom::Start(*begin))?;
            io::copy(&mut Read::by_ref(&mut self.file).take(*length), &mut new)?;
            live.insert(*ticket, (end, *length));
            end += length;
        }
        new.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        // From here on the old file is nobody's, whatever else fails.
        (self.file, self.live, self.end) = (new, live, end);
        sync_folder(&self.path)
    }

    fn keep(&mut self, ticket: Ticket, place: (u64, u64)) {
        self.forget(ticket);
        self.live_bytes += place.1;
        self.live.insert(ticket, place);
    }

    fn forget(&mut self, ticket: Ticket) {
        if let Some((_, length)) = self.live.remove(&ticket) {
            self.live_bytes -= length;
        }
    }
}

impl Taken<'_> {
    fn recovered(self, now: u64) -> Recovered {
        let command = Command {
            method: self.method,
            params: self.params.to_owned(),
            key: Some(self.key),
            control: self.control,
            waits: self.waits,
            deadline: Duration::from_millis(self.deadline_ms),
        };
        // A clock that was set back makes nothing older.
        let age = Duration::from_millis(now.saturating_sub(self.taken_at));
        Recovered { ticket: self.ticket, command, age }
    }
}

/// The whole record that begins at `at`, without its head.
fn body_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(HEAD)?;
    let (length, sum) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let body = rest.get(..usize::try_from(length).ok()?)?;
    (crc32fast::hash(body).to_le_bytes() == sum).then_some(body)
}

fn put(batch: &mut Vec<u8>, record: &Record<'_>) -> io::Result<()> {
    let body = serde_json::to_vec(record)?;
    let length = u32::try_from(body.len()).ok();
    let length = length.ok_or_else(|| invalid("a record beyond all bounds"))?;
    batch.extend_from_slice(&length.to_le_bytes());
    batch.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    batch.extend_from_slice(&body);
    Ok(())
}

/// Opens the file for this client alone.
fn locked(path: &Path) -> io::Result<File> {
    for _ in 0..LOCK_ATTEMPTS {
        let file = made(path, false)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(invalid("it is not a file"));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            let what = "it belongs to another user";
            return Err(io::Error::new(ErrorKind::PermissionDenied, what));
        }
        if about.mode() & 0o077 != 0 {
            let what = "others may read or write it; it holds secrets and needs mode 0600";
            return Err(io::Error::new(ErrorKind::PermissionDenied, what));
        }
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::WouldBlock, "another client uses it")
            }
            std::fs::TryLockError::Error(error) => error,
        })?;
        // Another client may have written it anew between our opening and our lock.
        let is_there =
            |now: std::fs::Metadata| (now.dev(), now.ino()) == (about.dev(), about.ino());
        if std::fs::symlink_metadata(path).is_ok_and(is_there) {
            return Ok(file);
        }
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "another client uses it, or it is a link"))
}

fn made(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .create_new(new)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Where the file is written anew.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Makes a file's name as durable as its bytes.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn offset(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

//! A copy of a store that may be in use: the database first, then the payloads that it names.
//!
//! SQLite copies the database as it is at one moment, beside whoever writes it. Payloads that it
//! names are written already and never change; only retention may delete them before they are
//! copied. So they get a second name first; one that is gone before it has that makes that the
//! database is copied again.

mod held;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::check::{self, StoreReport};
use super::failure::Failure;
use super::open::{self, OpenError, set_meta};
use super::segment;
use super::topics::TopicRow;
use super::witness::{Seen, Witness};
use super::{connection, schema};

use self::held::Held;

/// How often the database is copied because retention has deleted payloads that it names.
const TRIES: usize = 8;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// Documents in the copy.
    pub documents: u64,
    /// Events in the copy.
    pub events: u64,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// Why there is no copy.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The place for the copy cannot be used.
    #[error("could not write the copy to `{path}`: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Payloads were deleted faster than they could be copied.
    #[error("old output is deleted faster than it can be copied; try again")]
    Moving,
    /// What was copied is damaged, because the store is.
    #[error("the store is damaged ({place}: {what}): check it, and repair it first")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong there.
        what: String,
    },
}

/// Copies the store in `dir` to the new folder `to`.
pub(super) fn backup(dir: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    // Checked first: a folder that holds something is nobody's to remove.
    let refused = |source: io::Error| BackupError::Io { path: to.into(), source: source.into() };
    if to.exists() {
        return Err(refused(io::ErrorKind::AlreadyExists.into()));
    }
    check::look(dir, &mut StoreReport::default())?;
    open::private_folder(to).map_err(refused)?;
    let done = copy(dir, to);
    if done.is_err() {
        drop(fs::remove_dir_all(to));
    }
    done
}

fn copy(dir: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    let failed = |failure: Failure| BackupError::Open(open::open_error(dir, failure));
    let mut copied = false;
    // Where files cannot have two names, those that are still there are copied.
    let held = Held::beside(dir).and_then(|held| held.all(dir).map(|()| held)).ok();
    for _ in 0..TRIES {
        database(dir, to).map_err(failed)?;
        match payloads(dir, held.as_ref(), to) {
            Ok(()) => copied = true,
            Err(Failure::Moved) => continue,
            Err(failure) => return Err(failed(failure)),
        }
        break;
    }
    drop(held);
    if !copied {
        return Err(BackupError::Moving);
    }
    let report = check::check(to, None)?;
    if let Some(damage) = report.damages.first() {
        let (place, what) = (damage.place.clone(), damage.what.clone());
        return Err(BackupError::Damaged { place, what });
    }
    let bytes =
        size(to).map_err(|source| BackupError::Io { path: to.into(), source: source.into() });
    Ok(BackedUp { documents: report.documents, events: report.events, bytes: bytes? })
}

/// The database as it is now, and marked as a copy.
fn database(dir: &Path, to: &Path) -> Result<(), Failure> {
    let path = to.join(connection::DATABASE);
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        match fs::remove_file(to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    // Made by us, so that nobody else may read it; SQLite takes an empty file as none.
    open::private_file(&path)?;
    let from = connection::copier(dir)?;
    let name = path.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    from.execute("VACUUM INTO ?1", [name])?;
    drop(from);
    let conn = connection::first(to)?;
    schema::structure(&conn)?;
    mark(&conn, to)?;
    let mut fold = conn.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
    fold.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(File::open(path)?.sync_all()?)
}

/// Who opens it begins an epoch, and knows no processes of the original.
fn mark(conn: &Connection, to: &Path) -> Result<(), Failure> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    for (key, value) in [("clean", "0"), ("boot", ""), ("durability", ""), ("restored", "1")] {
        set_meta(conn, key, value)?;
    }
    let mut journal = TopicRow::journal(conn)?;
    journal.next_off += 1;
    journal.count(conn)?;
    conn.execute_batch("COMMIT")?;
    let store = open::meta(conn, "store")?.and_then(|store| store.parse().ok());
    let seen = Seen {
        store: store.unwrap_or_default(),
        commits: journal.next_off,
        head: journal.last_seq,
    };
    Ok(Witness::leave(to, &seen)?)
}

fn payloads(dir: &Path, held: Option<&Held>, to: &Path) -> Result<(), Failure> {
    let conn = connection::reader(to)?;
    let topics = TopicRow::all(&conn, "WHERE id > 0 AND (seg > 0 OR seg_end > 0)", [])?;
    let mut files = Vec::new();
    for row in topics {
        for (seg, end) in named(&conn, &row)? {
            if let Some(held) = held {
                held.one(dir, row.id, seg)?;
            }
            files.push((row.id, seg, end));
        }
    }
    let dir = held.map_or(dir, |held| &held.folder);
    for (topic, seg, end) in files {
        payload(&segment::path(dir, topic, seg), &segment::path(to, topic, seg), end)?;
    }
    Ok(())
}

/// The files that events of a topic name, and how long each must be.
fn named(conn: &Connection, row: &TopicRow) -> Result<Vec<(u64, u64)>, Failure> {
    let head = segment::RECORD_HEAD;
    let mut select = conn.prepare_cached(&format!(
        "SELECT seg, max(seg_off + len + {head}) FROM events \
         WHERE topic = ?1 AND seg IS NOT NULL GROUP BY seg ORDER BY seg",
    ))?;
    let ends = select.query_map([row.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ends.collect::<Result<_, _>>()?)
}

/// Copies the first `end` bytes of a file, unless they are there from an earlier try.
fn payload(from: &Path, to: &Path, end: u64) -> Result<(), Failure> {
    if to.metadata().is_ok_and(|meta| meta.len() >= end) {
        return Ok(());
    }
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::Moved),
        opened => io::Read::take(opened?, end),
    };
    segment::private_parent(to)?;
    let mut target = open::private_file(to)?;
    target.set_len(0)?;
    if io::copy(&mut source, &mut target)? < end {
        return Err(Failure::Corrupt(format!("`{}` was cut", from.display())));
    }
    Ok(target.sync_all()?)
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

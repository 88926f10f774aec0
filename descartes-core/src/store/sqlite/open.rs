//! Opening: whose the files are, which epoch this is, and how the one before ended.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use super::failure::Failure;
use super::schema::{self, Found};
use super::sums::{self, EPOCHS, META, number, summed, text};
use super::topics::TopicRow;
use super::witness::{Seen, Witness};
use super::{Durability, connection};
use crate::cursor::Position;
use crate::event::PreviousEnd;
use crate::store::StoreIdentity;

/// Bytes of a database whose structure and rows are checked whenever it is opened: that takes about
/// 50 ms. In a larger one readers notice rows that are missing, as far as their keys tell, and
/// `check` looks at everything.
const CHECKED_BYTES: u64 = 8 << 20;

/// Why a store could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or folder could not be made or opened.
    #[error("could not open `{path}`")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Somebody has this store open.
    #[error("the store in `{path}` is in use")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// A later version of this library wrote it.
    #[error(
        "the store in `{path}` has format {found}; this version reads up to {known}: start the \
         version that wrote it, or restore a backup of before"
    )]
    TooNew {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The last format that is known here.
        known: i32,
    },
    /// An earlier version of this library wrote it, and it has not been brought up to date yet.
    #[error(
        "the store in `{path}` has format {found}: a start of the daemon brings it to {known}, and \
         only then it can be checked, repaired or copied; if that start finds it damaged, restore a \
         backup"
    )]
    Older {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The format that is written now.
        known: i32,
    },
    /// It is not a store, or not whole.
    #[error("the store in `{path}` is damaged: {what}")]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What is wrong.
        what: Arc<str>,
    },
    /// It could not be written or read.
    #[error("the store in `{path}` does not work: {what}")]
    Unavailable {
        /// The store's folder.
        path: PathBuf,
        /// What does not work.
        what: Arc<str>,
    },
}

/// What the writer begins with.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) identity: StoreIdentity,
    /// How many commits it had.
    pub(super) commits: u64,
    pub(super) witness: Witness,
    /// Held as long as the store is open.
    pub(super) lock: StoreLock,
}

/// Opens or makes the store in `dir`. What is inside is looked at only where that is little.
pub(super) fn open(dir: &Path, durability: Durability) -> Result<Opened, OpenError> {
    let lock = lock(dir)?;
    let database = dir.join(connection::DATABASE);
    private_file(&database).map_err(|source| io_error(&database, source))?;
    let failed = |failure: Failure| open_error(dir, failure);
    prepare(dir)?;
    let mut conn = connection::writer(dir, durability).map_err(|error| failed(error.into()))?;
    let is_small = database.metadata().is_ok_and(|meta| meta.len() <= CHECKED_BYTES);
    if is_small {
        schema::structure(&conn).map_err(failed)?;
    }
    schema::check(&conn).map_err(failed)?;
    if is_small {
        sums::verify_all(&conn).map_err(failed)?;
    }
    let seen = Seen::read(dir);
    let (identity, commits) = identify(&mut conn, durability, seen).map_err(failed)?;
    let witness = Witness::of(dir);
    witness.note(&Seen { store: identity.store, commits, head: identity.opened_at.0 });
    Ok(Opened { conn, identity, commits, witness, lock })
}

pub(super) fn open_error(dir: &Path, failure: Failure) -> OpenError {
    let path = dir.to_owned();
    match failure {
        Failure::Full(source) => OpenError::Io { path, source: Arc::new(source) },
        Failure::Corrupt(what) => OpenError::Damaged { path, what: what.into() },
        Failure::Disk(what) => OpenError::Unavailable { path, what: what.into() },
        Failure::Conflict { .. } | Failure::Moved => {
            OpenError::Damaged { path, what: "its own records contradict each other".into() }
        }
    }
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source: Arc::new(source) }
}

pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

pub(super) fn private_folder(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Its holder is the only one who may have a store open.
///
/// It is given back when it is dropped, and not when the last copy of its descriptor is closed: a
/// child that another thread has begun to start has one until it becomes its program.
#[derive(Debug)]
pub(super) struct StoreLock(File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the lock of the store goes with its descriptor");
        }
    }
}

/// Becomes the only one who may have the store in `dir` open.
pub(super) fn lock(dir: &Path) -> Result<StoreLock, OpenError> {
    let made = private_folder(dir);
    made.map_err(|source| io_error(dir, source))?;
    let path = dir.join("store.lock");
    let file = private_file(&path).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(StoreLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

/// Makes or migrates the tables; refuses what is not ours or too new.
fn prepare(dir: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| open_error(dir, error.into());
    let mut conn = connection::first(dir).map_err(failed)?;
    match schema::look(&conn).map_err(failed)? {
        Found::Empty => {
            let begun = conn.transaction_with_behavior(TransactionBehavior::Immediate);
            let tx = begun.map_err(failed)?;
            schema::create(&tx).and_then(|()| tx.commit()).map_err(failed)
        }
        Found::Store(schema::VERSION) => Ok(()),
        Found::Store(found) if found > schema::VERSION => {
            Err(OpenError::TooNew { path: dir.to_owned(), found, known: schema::VERSION })
        }
        Found::Store(found) => {
            let begun = conn.transaction_with_behavior(TransactionBehavior::Immediate);
            let tx = begun.map_err(failed)?;
            match schema::migrate(&tx, found).map_err(|failure| open_error(dir, failure))? {
                true => tx.commit().map_err(failed),
                false => Err(damaged(dir, format!("no version has written format {found}"))),
            }
        }
        Found::Foreign => Err(damaged(dir, "another program's database lies there".to_owned())),
    }
}

fn damaged(dir: &Path, what: String) -> OpenError {
    OpenError::Damaged { path: dir.to_owned(), what: what.into() }
}

/// Tells which store and epoch this is, and marks it as open.
fn identify(
    conn: &mut Connection,
    durability: Durability,
    seen: Option<Seen>,
) -> Result<(StoreIdentity, u64), Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let boot = boot_id();
    if meta(&tx, "store")?.is_none() {
        // A store whose first commits are gone is that store still, in a new epoch.
        let store = seen.map_or_else(|| uuid::Uuid::new_v4().as_u128() as u32, |seen| seen.store);
        set_meta(&tx, "store", &store.to_string())?;
        add_epoch(&tx, 1, 0)?;
        set_meta(&tx, "clean", if seen.is_none() { "1" } else { "0" })?;
        set_meta(&tx, "boot", &boot)?;
    }
    let store = meta(&tx, "store")?.unwrap_or_default();
    let store = store.parse().map_err(|error| Failure::Corrupt(format!("its number: {error}")))?;
    let mut journal = TopicRow::journal(&tx)?;
    let before = journal.clone();
    if meta(&tx, "restored")?.is_some_and(|restored| restored == "1") {
        set_meta(&tx, "instance", &(uuid::Uuid::new_v4().as_u128() as u32).to_string())?;
        set_meta(&tx, "restored", "0")?;
    }
    let identity = known(&tx, &mut journal, (store, &boot), seen)?;
    journal.last_seq = identity.opened_at.0;
    let mut changed = (journal.last_seq, journal.next_off) != (before.last_seq, before.next_off);
    for (key, value) in [("clean", "0"), ("boot", &*boot), ("durability", durability.as_str())] {
        // Nothing is written that is there: a full disk shall not keep a daemon from starting.
        if meta(&tx, key)?.as_deref() != Some(value) {
            set_meta(&tx, key, value)?;
            changed = true;
        }
    }
    if changed {
        journal.next_off += 1;
        journal.count(&tx)?;
    }
    tx.commit()?;
    Ok((identity, journal.next_off))
}

fn known(
    conn: &Connection,
    journal: &mut TopicRow,
    (store, boot): (u32, &str),
    seen: Option<Seen>,
) -> Result<StoreIdentity, Failure> {
    let mut identity = StoreIdentity::fresh(store);
    let clean = meta(conn, "clean")?.is_some_and(|clean| clean == "1");
    identity.previous = if clean { PreviousEnd::Clean } else { PreviousEnd::Crashed };
    let instance = meta(conn, "instance")?.and_then(|instance| instance.parse().ok());
    identity.instance = instance.unwrap_or(store);
    let (counted, commits) = (journal.last_seq, journal.next_off);
    let highest: u64 = conn.query_row("SELECT coalesce(max(seq), 0) FROM events", [], get)?;
    let head = counted.max(highest);
    identity.opened_at = Position(head);
    let gone = seen.filter(|seen| seen.store == store && seen.commits > commits);
    if let Some(seen) = gone {
        journal.next_off = seen.commits;
        let commits = seen.commits - commits;
        tracing::error!(commits, from = head, to = seen.head, "the end of the journal is gone");
    }
    // A host that is killed loses nothing. Without power, the last commits may be gone.
    let same_boot = !boot.is_empty() && meta(conn, "boot")?.is_some_and(|last| last == boot);
    let safe = meta(conn, "durability")?.is_some_and(|last| last == Durability::Power.as_str());
    identity.epochs = epochs(conn)?;
    let last = identity.epochs.last().map_or(0, |(epoch, _)| *epoch);
    if gone.is_some() || head > counted || !(clean || same_boot || safe) {
        add_epoch(conn, last + 1, head)?;
        identity.epochs.push((last + 1, Position(head)));
    }
    let last = identity.epochs.last().ok_or_else(|| Failure::Corrupt("no epoch".to_owned()))?;
    identity.epoch = last.0;
    Ok(identity)
}

/// The epochs and the positions after which they begin, oldest first.
pub(super) fn epochs(conn: &Connection) -> Result<Vec<(u32, Position)>, Failure> {
    let mut select = conn.prepare(&format!("{} ORDER BY epoch", EPOCHS.select()))?;
    let mut rows = select.query([])?;
    let mut epochs = Vec::new();
    while let Some(row) = rows.next()? {
        EPOCHS.verify(row)?;
        epochs.push((row.get(0)?, Position(row.get(1)?)));
    }
    Ok(epochs)
}

pub(super) fn add_epoch(conn: &Connection, epoch: u32, start: u64) -> rusqlite::Result<()> {
    let cells = [number(u64::from(epoch)), number(start)];
    conn.execute(&EPOCHS.replace(), summed(&EPOCHS, cells))?;
    Ok(())
}

fn get<T: rusqlite::types::FromSql>(row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

pub(super) fn meta(conn: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let mut select = conn.prepare(&format!("{} WHERE key = ?1", META.select()))?;
    let mut rows = select.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    META.verify(row)?;
    Ok(Some(row.get(1)?))
}

pub(super) fn set_meta(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    conn.execute(&META.replace(), summed(&META, [text(key), text(value)]))?;
    Ok(())
}

/// The kernel's name of this boot; empty where it has none, which counts as another one.
pub(super) fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_given_back_is_free_whoever_has_a_copy_of_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(matches!(lock(dir.path()), Err(OpenError::InUse { .. })));
        // What a child has that is being started.
        let copy = held.0.try_clone().unwrap();
        drop(held);
        let again = lock(dir.path()).unwrap();
        drop(copy);
        assert!(matches!(lock(dir.path()), Err(OpenError::InUse { .. })));
        drop(again);
    }
}

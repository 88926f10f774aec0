//! Opening: whose the files are, which epoch this is, and how the one before ended.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::failure::Failure;
use super::schema::{self, Found};
use super::{Durability, connection};
use crate::cursor::Position;
use crate::event::PreviousEnd;
use crate::store::StoreIdentity;

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
    #[error("the store in `{path}` has format {found}; this version reads up to {known}")]
    TooNew {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The last format that is known here.
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
    /// Held as long as the store is open.
    pub(super) lock: File,
}

/// Opens or makes the store in `dir`: no scan, no check of what is inside.
pub(super) fn open(dir: &Path, durability: Durability) -> Result<Opened, OpenError> {
    let lock = lock(dir)?;
    let database = dir.join(connection::DATABASE);
    private_file(&database).map_err(|source| io_error(&database, source))?;
    let failed = |failure: Failure| open_error(dir, failure);
    prepare(dir)?;
    let mut conn = connection::writer(dir, durability).map_err(|error| failed(error.into()))?;
    let identity = identify(&mut conn, durability).map_err(failed)?;
    Ok(Opened { conn, identity, lock })
}

fn open_error(dir: &Path, failure: Failure) -> OpenError {
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

fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source: Arc::new(source) }
}

fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| io_error(dir, source))?;
    let path = dir.join("store.lock");
    let file = private_file(&path).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
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
        Found::Store(found) => match schema::migrate(&conn, found).map_err(failed)? {
            true => Ok(()),
            false => Err(damaged(dir, format!("no version has written format {found}"))),
        },
        Found::Foreign => Err(damaged(dir, "another program's database lies there".to_owned())),
    }
}

fn damaged(dir: &Path, what: String) -> OpenError {
    OpenError::Damaged { path: dir.to_owned(), what: what.into() }
}

/// Tells which store and epoch this is, and marks it as open.
fn identify(conn: &mut Connection, durability: Durability) -> Result<StoreIdentity, Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let boot = boot_id();
    let identity = match meta(&tx, "store")? {
        None => {
            let identity = StoreIdentity::fresh(uuid::Uuid::new_v4().as_u128() as u32);
            set_meta(&tx, "store", &identity.store.to_string())?;
            tx.execute("INSERT INTO epochs (epoch, start) VALUES (1, 0)", [])?;
            identity
        }
        Some(store) => {
            let wrong = |error| Failure::Corrupt(format!("its number: {error}"));
            let store = store.parse().map_err(wrong)?;
            known(&tx, store, &boot)?
        }
    };
    set_meta(&tx, "clean", "0")?;
    set_meta(&tx, "boot", &boot)?;
    set_meta(&tx, "durability", durability.as_str())?;
    tx.commit()?;
    Ok(identity)
}

fn known(conn: &Connection, store: u32, boot: &str) -> Result<StoreIdentity, Failure> {
    let mut identity = StoreIdentity::fresh(store);
    let clean = meta(conn, "clean")?.is_some_and(|clean| clean == "1");
    identity.previous = if clean { PreviousEnd::Clean } else { PreviousEnd::Crashed };
    let counted: u64 = conn.query_row("SELECT last_seq FROM topics WHERE id = 0", [], get)?;
    let highest: u64 = conn.query_row("SELECT coalesce(max(seq), 0) FROM events", [], get)?;
    let head = counted.max(highest);
    if head > counted {
        conn.execute("UPDATE topics SET last_seq = ?1 WHERE id = 0", [head])?;
    }
    identity.opened_at = Position(head);
    // A host that is killed loses nothing. Without power, the last commits may be gone.
    let same_boot = !boot.is_empty() && meta(conn, "boot")?.is_some_and(|last| last == boot);
    let safe = meta(conn, "durability")?.is_some_and(|last| last == Durability::Power.as_str());
    if head > counted || !(clean || same_boot || safe) {
        conn.execute(
            "INSERT INTO epochs (epoch, start) SELECT max(epoch) + 1, ?1 FROM epochs",
            [head],
        )?;
    }
    let mut epochs = conn.prepare("SELECT epoch, start FROM epochs ORDER BY epoch")?;
    let epochs = epochs.query_map([], |row| Ok((row.get(0)?, Position(row.get(1)?))))?;
    identity.epochs = epochs.collect::<Result<_, _>>()?;
    let last = identity.epochs.last().ok_or_else(|| Failure::Corrupt("no epoch".to_owned()))?;
    identity.epoch = last.0;
    Ok(identity)
}

fn get<T: rusqlite::types::FromSql>(row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], get).optional()
}

pub(super) fn set_meta(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", [key, value])?;
    Ok(())
}

/// The kernel's name of this boot; empty where it has none, which counts as another one.
fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}

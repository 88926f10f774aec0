//! How connections to the database are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Durability;

/// The name of the database in the store's directory.
pub(super) const DATABASE: &str = "journal.db";
/// How long one connection waits for another that checkpoints.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 48;
/// KiB of pages that the writer keeps: the inner pages and the ends of all trees.
const WRITER_CACHE_KIB: i64 = 1024;
/// KiB of pages that a reader keeps.
const READER_CACHE_KIB: i64 = 512;
/// Bytes of the write-ahead log's file that stay when it begins anew.
const WAL_KEPT_BYTES: i64 = 8 << 20;

fn open(dir: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let conn = Connection::open_with_flags(dir.join(DATABASE), flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// The connection of the writer. Checkpoints are made by another one, beside the commits.
pub(super) fn writer(dir: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let conn = open(dir)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    Ok(conn)
}

/// A connection of a reader.
pub(super) fn reader(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = open(dir)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// A connection that copies a store which others may have open.
pub(super) fn copier(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = open(dir)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

/// A connection that only looks, also at a store that is damaged: it leaves every file as it is.
pub(super) fn inspector(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = reader(dir)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

/// The connection that checkpoints.
pub(super) fn checkpointer(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = open(dir)?;
    conn.pragma_update(None, "cache_size", -64)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

/// Makes the file of a new database, which nobody else may read, and its mode.
///
/// Nothing is synced: a power failure before the first commit leaves nothing worth keeping.
pub(super) fn first(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = open(dir)?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    Ok(conn)
}

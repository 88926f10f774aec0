//! The tables, and how older ones become the current ones.

use rusqlite::Connection;

/// Says in the file's header that it is a store of ours.
const APPLICATION: i32 = 0x4453_4301;
/// The version of the tables that this library writes.
pub(super) const VERSION: i32 = 1;

/// `topics` holds, beside the topics, row 0: the journal itself, whose `last_seq` is its head. It
/// is a row there, and not a table of its own, so that a commit dirties one page less.
///
/// Of a topic, offsets below `first_off` are gone for readers, those below `gone_off` also from
/// `events`. Its segment files are `seg_first` to `seg`; those below `seg_free` are to be deleted.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, start INTEGER NOT NULL);
CREATE TABLE documents (
    space TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, version INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (space, id)
) WITHOUT ROWID;
CREATE TABLE topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, output INTEGER NOT NULL,
    first_off INTEGER NOT NULL DEFAULT 0, gone_off INTEGER NOT NULL DEFAULT 0,
    next_off INTEGER NOT NULL DEFAULT 0,
    first_seq INTEGER NOT NULL DEFAULT 0, first_at INTEGER NOT NULL DEFAULT 0,
    last_seq INTEGER NOT NULL DEFAULT 0, lost_seq INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    seg_first INTEGER NOT NULL DEFAULT 0, seg_free INTEGER NOT NULL DEFAULT 0,
    seg INTEGER NOT NULL DEFAULT 0, seg_end INTEGER NOT NULL DEFAULT 0,
    seg_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX topics_lost ON topics (lost_seq) WHERE lost_seq > 0;
CREATE INDEX topics_forgotten ON topics (id) WHERE gone_off < first_off;
CREATE INDEX topics_sweep ON topics (id) WHERE seg_first < seg_free;
INSERT INTO topics (id, name, output) VALUES (0, '', 0);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, off INTEGER NOT NULL, kind TEXT NOT NULL,
    by TEXT NOT NULL, at INTEGER NOT NULL, shape INTEGER NOT NULL,
    seg INTEGER, seg_off INTEGER, len INTEGER, body BLOB NOT NULL, payload BLOB
);
CREATE INDEX events_topic ON events (topic, off);
CREATE TABLE lost (
    topic INTEGER NOT NULL, first_off INTEGER NOT NULL, count INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, steps BLOB NOT NULL,
    PRIMARY KEY (topic, first_off)
) WITHOUT ROWID;
";

/// What was found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    Empty,
    /// A store of this version of the tables.
    Store(i32),
    /// A database of somebody else.
    Foreign,
}

/// Looks at the header of a database.
pub(super) fn look(conn: &Connection) -> rusqlite::Result<Found> {
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = conn.query_row(tables, [], |row| row.get(0))?;
    Ok(match (application, version) {
        (APPLICATION, version) => Found::Store(version),
        (0, 0) if tables == 0 => Found::Empty,
        _ => Found::Foreign,
    })
}

/// Makes the tables of a new store, inside the caller's transaction.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLES)?;
    conn.pragma_update(None, "application_id", APPLICATION)?;
    conn.pragma_update(None, "user_version", VERSION)
}

/// Brings the tables of `version`, which is an older one, to the current version, step by step.
///
/// There is only one version so far, so that anything older is damage.
pub(super) fn migrate(_conn: &Connection, version: i32) -> rusqlite::Result<bool> {
    Ok(version == VERSION)
}

//! The tables, and how older ones become the current ones.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::failure::Failure;
use super::sums::{META, TABLES as SUMMED, Table, summed, text};
use super::topics::TopicRow;
use crate::event::Topic;

/// Says in the file's header that it is a store of ours.
const APPLICATION: i32 = 0x4453_4301;
/// The version of the tables that this library writes.
///
/// 1: without checksums. 2: a checksum in every row (`sums.rs`), and one of the tables themselves.
pub(super) const VERSION: i32 = 2;
/// The entry of `meta` with the checksum of the tables' definitions.
const SCHEMA: &str = "schema";

/// `topics` holds, beside the topics, row 0: the journal itself, whose `last_seq` is its head and
/// whose `next_off` counts its commits. It is a row there, and not a table of its own, so that a
/// commit dirties one page less.
///
/// Of a topic, offsets below `first_off` are gone for readers, those below `gone_off` also from
/// `events`. Its segment files are `seg_first` to `seg`; those below `seg_free` are to be deleted.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value, sum INTEGER) WITHOUT ROWID;
CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, start INTEGER NOT NULL, sum INTEGER);
CREATE TABLE documents (
    space TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, version INTEGER NOT NULL,
    body BLOB NOT NULL, sum INTEGER, PRIMARY KEY (space, id)
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
    seg_bytes INTEGER NOT NULL DEFAULT 0, sum INTEGER
);
CREATE INDEX topics_lost ON topics (lost_seq) WHERE lost_seq > 0;
CREATE INDEX topics_forgotten ON topics (id) WHERE gone_off < first_off;
CREATE INDEX topics_sweep ON topics (id) WHERE seg_first < seg_free;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, off INTEGER NOT NULL, kind TEXT NOT NULL,
    by TEXT NOT NULL, at INTEGER NOT NULL, shape INTEGER NOT NULL,
    seg INTEGER, seg_off INTEGER, len INTEGER, body BLOB NOT NULL, payload BLOB,
    sum INTEGER
);
CREATE INDEX events_topic ON events (topic, off);
CREATE TABLE lost (
    topic INTEGER NOT NULL, first_off INTEGER NOT NULL, count INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, steps BLOB NOT NULL, sum INTEGER,
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
    TopicRow::new(0, Topic::new("")).insert(conn)?;
    seal(conn)?;
    conn.pragma_update(None, "application_id", APPLICATION)?;
    conn.pragma_update(None, "user_version", VERSION)
}

/// Brings the tables of `version`, which is an older one, to the current version, step by step,
/// inside the caller's transaction. Tells whether there was such a version.
pub(super) fn migrate(conn: &Connection, version: i32) -> Result<bool, Failure> {
    if version != 1 {
        return Ok(false);
    }
    structure(conn)?;
    for table in SUMMED {
        conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN sum INTEGER", table.name))?;
        add_sums(conn, table)?;
    }
    seal(conn)?;
    conn.pragma_update(None, "user_version", VERSION)?;
    Ok(true)
}

/// Rows that are read at once while they get their checksums.
const MIGRATED_ROWS: usize = 256;

fn add_sums(conn: &Connection, table: &Table) -> rusqlite::Result<()> {
    let sql = format!("{} WHERE sum IS NULL LIMIT {MIGRATED_ROWS}", table.select());
    // Rows that have theirs are passed over by their key, not looked at again.
    let keys: Vec<&str> = table.columns.split(", ").take(table.keys).collect();
    let order = keys.join(", ");
    let behind = vec!["?"; table.keys].join(", ");
    let sql = sql.replace("LIMIT", &format!("ORDER BY {order} LIMIT"));
    let next = sql.replace("WHERE", &format!("WHERE ({order}) > ({behind}) AND"));
    let mut last: Vec<Value> = Vec::new();
    loop {
        let mut select = conn.prepare_cached(if last.is_empty() { &sql } else { &next })?;
        let mut rows = select.query(rusqlite::params_from_iter(&last))?;
        let mut page: Vec<Vec<Value>> = Vec::new();
        while let Some(row) = rows.next()? {
            page.push((0..table.count).map(|column| row.get(column)).collect::<Result<_, _>>()?);
        }
        drop(rows);
        let Some(end) = page.last() else { return Ok(()) };
        last = end[..table.keys].to_vec();
        let mut write = conn.prepare_cached(&table.replace())?;
        for cells in &page {
            let cells: Vec<ValueRef<'_>> = cells.iter().map(ValueRef::from).collect();
            let sum = Value::Integer(i64::from(table.sum(&cells)));
            let sum = ValueRef::from(&sum);
            let bound = cells.into_iter().chain([sum]).map(rusqlite::types::ToSqlOutput::Borrowed);
            write.execute(rusqlite::params_from_iter(bound))?;
        }
    }
}

/// Notes what the tables' definitions are.
fn seal(conn: &Connection) -> rusqlite::Result<()> {
    let definitions = definitions(conn)?.to_string();
    conn.execute(&META.replace(), summed(&META, [text(SCHEMA), text(&definitions)]))?;
    Ok(())
}

/// Refuses tables whose definitions are not those that were made: a default, a key or the name of a
/// column may be another one after damage, and rows that are written then would be wrong.
pub(super) fn check(conn: &Connection) -> Result<(), Failure> {
    let noted = super::open::meta(conn, SCHEMA)?;
    if noted == Some(definitions(conn)?.to_string()) {
        return Ok(());
    }
    Err(Failure::Corrupt("its tables are not defined as they were made".to_owned()))
}

fn definitions(conn: &Connection) -> rusqlite::Result<u32> {
    let mut select = conn.prepare(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name",
    )?;
    let mut rows = select.query([])?;
    let mut hasher = crc32fast::Hasher::new();
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            hasher.update(row.get_ref(column)?.as_bytes().unwrap_or_default());
            hasher.update(&[0]);
        }
    }
    Ok(hasher.finalize())
}

/// Lets SQLite look for contradictions between the pages of the database, its trees and indexes.
pub(super) fn structure(conn: &Connection) -> Result<(), Failure> {
    match contradictions(conn, 1)?.pop() {
        None => Ok(()),
        Some(found) => Err(Failure::Corrupt(found)),
    }
}

/// The first `most` contradictions that SQLite finds.
pub(super) fn contradictions(conn: &Connection, most: usize) -> Result<Vec<String>, Failure> {
    let mut check = conn.prepare(&format!("PRAGMA integrity_check({most})"))?;
    let found = check.query_map([], |row| row.get::<_, String>(0))?;
    let found = found.filter(|line| !matches!(line, Ok(line) if line == "ok"));
    Ok(found.collect::<Result<_, _>>()?)
}

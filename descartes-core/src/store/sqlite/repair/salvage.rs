//! Finds the rows of a database that SQLite cannot open or walk through: page by page, by their
//! checksums.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::cells;
use super::pages::{Pages, word};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::open::private_folder;
use crate::store::sqlite::sums::{DOCUMENTS, EVENTS, LOST, TABLES, TOPICS, Table};
use crate::store::sqlite::{connection, open, schema};

/// Most contradictions that are looked at.
const CONTRADICTIONS: usize = 100;
/// Where page 1 says which version of the tables it is.
const VERSION: usize = 60;

/// A database of the rows that were found, in a folder of its own.
pub(super) struct Salvaged {
    pub(super) conn: Connection,
    /// Where it lies, until the repair is done.
    pub(super) folder: PathBuf,
    /// Names of topics by their number, from the index of names, which has no checksums.
    pub(super) names: HashMap<i64, String>,
}

/// Whether SQLite does not reach everything in the database, though it opens it.
///
/// With a list of free pages that is damaged nobody knows what was deleted: then SQLite's word
/// stands.
pub(super) fn is_needed(conn: &Connection) -> bool {
    match schema::contradictions(conn, CONTRADICTIONS) {
        Ok(found) => !found.is_empty() && !found.iter().any(|line| line.contains("reelist")),
        Err(_) => true,
    }
}

/// The version of the tables as the file's head has it.
pub(super) fn version(dir: &Path) -> Option<u32> {
    Some(word(&Pages::open(dir).ok()?.read(1)?, VERSION))
}

/// Every row in the pages of the store in `dir` that is as it was written; none when there is no
/// document, topic or event among them. `beside` is a folder for them.
pub(super) fn rows(dir: &Path, beside: &Path) -> Result<Option<Salvaged>, Failure> {
    let folder = beside.join("salvaged");
    private_folder(&folder)?;
    drop(open::private_file(&folder.join(connection::DATABASE)));
    let conn = connection::first(&folder)?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    schema::create(&conn)?;
    let pages = Pages::open(dir)?;
    let (mut found, mut names) = (0_u64, HashMap::new());
    for number in pages.used() {
        for values in cells::rows(&pages, number) {
            if let [Value::Text(name), Value::Integer(id)] = &values[..] {
                names.insert(*id, name.clone());
            }
            found += u64::from(save(&conn, &values)?);
        }
    }
    conn.execute_batch("COMMIT")?;
    if found > 0 {
        return Ok(Some(Salvaged { conn, folder, names }));
    }
    drop(conn);
    fs::remove_dir_all(&folder)?;
    Ok(None)
}

/// Keeps a row if it is one of ours and whole; tells whether it is a document or a topic.
fn save(conn: &Connection, values: &[Value]) -> Result<bool, Failure> {
    let Some((Value::Integer(sum), row)) = values.split_last() else { return Ok(false) };
    let cells: Vec<ValueRef<'_>> = row.iter().map(ValueRef::from).collect();
    let fits = |table: &&&Table| table.count == cells.len() && i64::from(table.sum(&cells)) == *sum;
    let Some(table) = TABLES.iter().find(fits) else { return Ok(false) };
    let all = values.iter().map(ValueRef::from).map(ToSqlOutput::Borrowed);
    conn.prepare_cached(&newest(table))?.execute(params_from_iter(all))?;
    Ok([DOCUMENTS.name, TOPICS.name, EVENTS.name].contains(&table.name))
}

/// Inserts a row unless there is a newer one with its key: a page that a tree no longer had may
/// hold what a row was before.
fn newest(table: &Table) -> String {
    let newer = match table.name {
        name if name == DOCUMENTS.name => Some("version"),
        name if name == TOPICS.name || name == LOST.name => Some("last_seq"),
        _ => None,
    };
    let insert = table.insert();
    let Some(newer) = newer else { return format!("{insert} ON CONFLICT DO NOTHING") };
    let names: Vec<&str> = table.columns.split(", ").map(str::trim).collect();
    let keys = names[..table.keys].join(", ");
    let set = names[table.keys..].iter().chain([&"sum"]);
    let set = set.map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
    let name = table.name;
    format!(
        "{insert} ON CONFLICT ({keys}) DO UPDATE SET {set} \
         WHERE excluded.{newer} > {name}.{newer} ON CONFLICT DO NOTHING"
    )
}

//! Looks at every byte of a store that nobody has open, and says what is wrong with it.

mod documents;
mod events;
mod secrets;

use std::path::Path;

use rusqlite::Connection;

use super::failure::Failure;
use super::open::{OpenError, io_error, lock, open_error};
use super::schema::{self, Found};
use super::sums::{EPOCHS, LOST, META, TOPICS, Table};
use super::topics::TopicRow;
use super::witness::Seen;
use super::{connection, open};

pub(super) use documents::trouble;
pub(super) use events::trouble as event_trouble;

/// Damages that a report names; more are counted.
const NAMED_DAMAGES: usize = 1000;

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreReport {
    /// The version of its tables.
    pub format: i32,
    /// Documents that could be read.
    pub documents: u64,
    /// Topics that could be read.
    pub topics: u64,
    /// Events that could be read, payloads included.
    pub events: u64,
    /// Bytes of payloads that were read and are as they were written.
    pub payload_bytes: u64,
    /// What is damaged: the first thousand.
    pub damages: Vec<Damage>,
    /// How many damages there are beyond those.
    pub more_damages: u64,
    /// What is worth to know and no damage.
    pub notes: Vec<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Where.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl StoreReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }

    pub(super) fn damage(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.damages.len() < NAMED_DAMAGES {
            self.damages.push(Damage { place: place.into(), what: what.into() });
        } else {
            self.more_damages += 1;
        }
    }
}

/// Checks the store in `dir`, and that `secrets` holds what its agents need and nothing else.
pub(super) fn check(dir: &Path, secrets: Option<&Path>) -> Result<StoreReport, OpenError> {
    let mut report = StoreReport::default();
    let database = dir.join(connection::DATABASE);
    let length = database.metadata().map_err(|source| io_error(&database, source))?.len();
    let _lock = lock(dir)?;
    if length == 0 {
        report.damage(connection::DATABASE, "it is empty");
        return Ok(report);
    }
    match look(dir, &mut report) {
        Ok(Some(conn)) => everything(&conn, dir, secrets, &mut report),
        // SQLite takes a file that was cut to less than a head for an empty one.
        Ok(None) if Seen::read(dir).is_some_and(|seen| seen.commits > 0) => {
            report.damage(connection::DATABASE, "everything that was written to it is gone");
        }
        Ok(None) => report.notes.push("nothing was ever written to it".to_owned()),
        Err(open_failed) => {
            if let OpenError::TooNew { .. } | OpenError::Older { .. } = open_failed {
                return Err(open_failed);
            }
            report.damage(connection::DATABASE, open_failed.to_string());
        }
    }
    Ok(report)
}

/// Opens the database of a store of this version, only to look at it; none when it is empty.
pub(super) fn look(dir: &Path, report: &mut StoreReport) -> Result<Option<Connection>, OpenError> {
    let failed = |error: rusqlite::Error| open_error(dir, error.into());
    let conn = connection::inspector(dir).map_err(failed)?;
    match schema::look(&conn).map_err(failed)? {
        Found::Store(schema::VERSION) => {
            report.format = schema::VERSION;
            Ok(Some(conn))
        }
        Found::Store(found) if found > schema::VERSION => {
            Err(OpenError::TooNew { path: dir.to_owned(), found, known: schema::VERSION })
        }
        Found::Store(found) if found > 0 => {
            Err(OpenError::Older { path: dir.to_owned(), found, known: schema::VERSION })
        }
        Found::Empty => Ok(None),
        _ => Err(open_error(dir, Failure::Corrupt("another program's database".to_owned()))),
    }
}

fn everything(conn: &Connection, dir: &Path, secrets: Option<&Path>, report: &mut StoreReport) {
    match schema::contradictions(conn, NAMED_DAMAGES) {
        Ok(found) => {
            for line in found {
                report.damage(connection::DATABASE, line);
            }
        }
        Err(failure) => report.damage(connection::DATABASE, told(&failure)),
    }
    if conn.is_readonly("main").unwrap_or(false) {
        report.damage(connection::DATABASE, "its head says that it may not be written");
    }
    if let Err(failure) = schema::check(conn) {
        report.damage(connection::DATABASE, told(&failure));
    }
    for table in [&META, &EPOCHS, &TOPICS, &LOST] {
        sums(conn, table, report);
    }
    documents::look(conn, report);
    events::look(conn, dir, report);
    end(conn, dir, report);
    if let Some(folder) = secrets {
        secrets::look(conn, folder, report);
    }
}

/// Every row of a table is as it was written.
fn sums(conn: &Connection, table: &Table, report: &mut StoreReport) {
    let looked = (|| {
        let mut select = conn.prepare(&table.select())?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if !table.holds(row)? {
                report.damage(table.place(row), "it is not as it was written");
            }
        }
        Ok::<_, rusqlite::Error>(())
    })();
    if let Err(error) = looked {
        report.damage(table.name, error.to_string());
    }
}

/// The journal goes as far as it is known to have gone.
fn end(conn: &Connection, dir: &Path, report: &mut StoreReport) {
    let known = (|| {
        let store = open::meta(conn, "store")?.and_then(|store| store.parse::<u32>().ok());
        Ok::<_, Failure>((store, TopicRow::journal(conn)?))
    })();
    // What cannot be read here was told above.
    let Ok((store, journal)) = known else { return };
    match Seen::read(dir) {
        None if !Seen::is_noted(dir) => {
            report.notes.push("nothing beside the journal says how far it went".to_owned());
        }
        None => report.damage("journal.last", "it is not as it was written"),
        Some(seen) if store.is_some_and(|store| store != seen.store) => {
            report.damage("journal.last", "it belongs to another store");
        }
        Some(seen) if seen.commits > journal.next_off => {
            let gone = seen.commits - journal.next_off;
            let (from, to) = (journal.last_seq, seen.head);
            let what = format!("the last {gone} commits are gone: it went to {to}, not {from}");
            report.damage("journal", what);
        }
        Some(_) => {}
    }
}

/// What a failure means, for people.
pub(super) fn told(failure: &Failure) -> String {
    match failure {
        Failure::Corrupt(what) | Failure::Disk(what) => what.clone(),
        Failure::Full(error) => error.to_string(),
        Failure::Conflict { .. } => "its records contradict each other".to_owned(),
        Failure::Moved => "a segment file is missing".to_owned(),
    }
}

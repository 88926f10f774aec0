//! Documents: from the front, from the back, and those whose names are known otherwise.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

use super::topics::Saved;
use super::{Repaired, Work};
use crate::store::Space;
use crate::store::sqlite::check::trouble;
use crate::store::sqlite::sums::{DOCUMENTS, summed};

type Name = (String, String);

pub(super) fn save(
    work: &Work<'_>,
    saved: &Saved,
    repaired: &mut Repaired,
) -> rusqlite::Result<()> {
    let Some(conn) = &work.from else { return Ok(()) };
    let mut copy = Copy { to: &work.to, kept: BTreeSet::new(), repaired };
    if !copy.rows(conn, "ORDER BY space, id", [])? {
        // Something on the way cannot be read: what lies behind it is reached from the other end.
        copy.rows(conn, "ORDER BY space DESC, id DESC", [])?;
        for (space, id) in known(saved) {
            copy.rows(conn, "WHERE space = ?1 AND id = ?2", [space.0, &id])?;
        }
        copy.repaired.lose("documents that could not be read (table documents)");
    }
    Ok(())
}

/// Documents that there must have been, because their topics are there.
fn known(saved: &Saved) -> Vec<(Space, String)> {
    let mut known = Vec::new();
    for topic in saved.topics.values() {
        let mut parts = topic.row.name.as_str().split('/');
        match (parts.next(), parts.next()) {
            (Some("agent"), Some(id)) => {
                known.push((Space::AGENT, id.to_owned()));
                known.push((Space::OUTPUT, id.to_owned()));
            }
            (Some("chat"), Some(id)) => {
                known.push((Space::CHAT, id.to_owned()));
                known.push((Space::COST, id.to_owned()));
            }
            (Some("approval"), Some(id)) => known.push((Space::APPROVAL, id.to_owned())),
            _ => {}
        }
    }
    known
}

struct Copy<'a> {
    to: &'a Connection,
    kept: BTreeSet<Name>,
    repaired: &'a mut Repaired,
}

impl Copy<'_> {
    /// Copies the rows that can be read; tells whether that were all.
    fn rows(
        &mut self,
        conn: &Connection,
        condition: &str,
        bounds: impl Params,
    ) -> rusqlite::Result<bool> {
        let sql = format!("{} {condition}", DOCUMENTS.select());
        let Ok(mut select) = conn.prepare_cached(&sql) else { return Ok(false) };
        let Ok(mut rows) = select.query(bounds) else { return Ok(false) };
        loop {
            match rows.next() {
                Ok(Some(row)) => self.one(row)?,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    fn one(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let damage = trouble(row).unwrap_or_else(|error| Some(error.to_string()));
        if let Some(what) = damage {
            self.repaired.lose(format!("{}: {what}", DOCUMENTS.place(row)));
            return Ok(());
        }
        if !self.kept.insert((row.get(0)?, row.get(1)?)) {
            return Ok(());
        }
        let mut cells = [ValueRef::Null; 5];
        for (column, cell) in cells.iter_mut().enumerate() {
            *cell = row.get_ref(column)?;
        }
        self.to.prepare_cached(&DOCUMENTS.replace())?.execute(summed(&DOCUMENTS, cells))?;
        self.repaired.documents += 1;
        Ok(())
    }
}

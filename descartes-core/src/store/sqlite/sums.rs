//! A checksum in each row, so that a damaged one is noticed whatever the damage looks like.
//!
//! SQLite notices when its pages contradict each other, but not when a byte inside a value is
//! another one. So the last column of every table is the CRC-32 of the others.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::failure::Failure;

/// A table whose rows have a checksum.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Every column but the checksum, in the order in which they are summed up.
    pub(super) columns: &'static str,
    /// How many those are.
    pub(super) count: usize,
    /// The columns that tell its rows apart; they come first.
    pub(super) keys: usize,
}

pub(super) const META: Table = Table { name: "meta", columns: "key, value", count: 2, keys: 1 };
pub(super) const EPOCHS: Table =
    Table { name: "epochs", columns: "epoch, start", count: 2, keys: 1 };
pub(super) const DOCUMENTS: Table =
    Table { name: "documents", columns: "space, id, owner, version, body", count: 5, keys: 2 };
pub(super) const TOPICS: Table = Table {
    name: "topics",
    columns: "id, name, output, first_off, gone_off, next_off, first_seq, first_at, last_seq, \
              lost_seq, bytes, seg_first, seg_free, seg, seg_end, seg_bytes",
    count: 16,
    keys: 1,
};
pub(super) const EVENTS: Table = Table {
    name: "events",
    columns: "seq, topic, off, kind, by, at, shape, seg, seg_off, len, body, payload",
    count: 12,
    keys: 1,
};
pub(super) const LOST: Table = Table {
    name: "lost",
    columns: "topic, first_off, count, first_seq, last_seq, steps",
    count: 6,
    keys: 2,
};
/// Every table.
pub(super) const TABLES: [&Table; 6] = [&META, &EPOCHS, &DOCUMENTS, &TOPICS, &EVENTS, &LOST];

/// Refuses a database in which a row is not as it was written: where the damage is in a key that
/// still fits between its neighbours, nobody who looks for that row would find it, or miss it.
pub(super) fn verify_all(conn: &Connection) -> Result<(), Failure> {
    for table in TABLES {
        let mut select = conn.prepare(&table.select())?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            table.verify(row)?;
        }
    }
    Ok(())
}

impl Table {
    /// Selects whole rows with their checksums; a condition may follow.
    pub(super) fn select(&self) -> String {
        format!("SELECT {}, sum FROM {}", self.columns, self.name)
    }

    /// Inserts a whole row, or puts it in the place of the one with the same key.
    pub(super) fn replace(&self) -> String {
        self.insert().replacen("INSERT", "INSERT OR REPLACE", 1)
    }

    /// Inserts a whole row.
    pub(super) fn insert(&self) -> String {
        let marks = vec!["?"; self.count + 1].join(", ");
        format!("INSERT INTO {} ({}, sum) VALUES ({marks})", self.name, self.columns)
    }

    /// The checksum of a row of these cells.
    pub(super) fn sum(&self, cells: &[ValueRef<'_>]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.name.as_bytes());
        for cell in cells {
            add(&mut hasher, *cell);
        }
        hasher.finalize()
    }

    /// Refuses a row, selected by [`Self::select`], that is not as it was written.
    pub(super) fn verify(&self, row: &Row<'_>) -> Result<(), Failure> {
        match self.holds(row) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.damaged(row)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a row, selected by [`Self::select`], is as it was written.
    pub(super) fn holds(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.name.as_bytes());
        for column in 0..self.count {
            add(&mut hasher, row.get_ref(column)?);
        }
        Ok(row.get_ref(self.count)? == ValueRef::Integer(i64::from(hasher.finalize())))
    }

    /// The names of a row's keys and their values, for people.
    pub(super) fn place(&self, row: &Row<'_>) -> String {
        let names = self.columns.split(", ").take(self.keys);
        let keys = names.enumerate().map(|(column, name)| match row.get_ref(column) {
            Ok(ValueRef::Integer(number)) => format!("{name} {number}"),
            Ok(ValueRef::Text(text)) => format!("{name} {}", String::from_utf8_lossy(text)),
            _ => format!("{name} ?"),
        });
        format!("{}: {}", self.name, keys.collect::<Vec<_>>().join(", "))
    }

    pub(super) fn damaged(&self, row: &Row<'_>) -> Failure {
        Failure::Corrupt(format!("a row is not as it was written ({})", self.place(row)))
    }
}

/// What a statement of [`Table::replace`] is given: the cells and their checksum.
pub(super) fn summed<'a, const N: usize>(
    table: &Table,
    cells: [ValueRef<'a>; N],
) -> rusqlite::ParamsFromIter<impl Iterator<Item = impl ToSql + 'a> + 'a> {
    let sum = ValueRef::Integer(i64::from(table.sum(&cells)));
    params_from_iter(cells.into_iter().chain([sum]).map(ToSqlOutput::Borrowed))
}

fn add(hasher: &mut crc32fast::Hasher, cell: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match cell {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => {
            hasher.update(&[1]);
            return hasher.update(&number.to_le_bytes());
        }
        ValueRef::Real(number) => {
            hasher.update(&[2]);
            return hasher.update(&number.to_le_bytes());
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    hasher.update(&[kind]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// A whole number as a cell. What is counted here never comes near the end of the range.
pub(super) fn number(value: u64) -> ValueRef<'static> {
    ValueRef::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A number that may be absent as a cell.
pub(super) fn maybe(value: Option<u64>) -> ValueRef<'static> {
    value.map_or(ValueRef::Null, number)
}

/// Text as a cell.
pub(super) fn text(value: &str) -> ValueRef<'_> {
    ValueRef::Text(value.as_bytes())
}

//! The rows of `topics`, and the writer's copy of those in use.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Failure;
use crate::event::Topic;

/// Topics whose rows the writer keeps in memory, a few hundred bytes each.
const TOPICS_CACHED: usize = 2048;

/// One topic as it is stored. `schema.rs` says what the columns mean.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) first_off: u64,
    pub(super) gone_off: u64,
    pub(super) next_off: u64,
    pub(super) first_seq: u64,
    pub(super) first_at: i64,
    pub(super) last_seq: u64,
    pub(super) lost_seq: u64,
    pub(super) bytes: u64,
    pub(super) seg_first: u64,
    pub(super) seg_free: u64,
    pub(super) seg: u64,
    pub(super) seg_end: u64,
    pub(super) seg_bytes: u64,
    /// What differs from the table.
    pub(super) changed: Changed,
}

/// Which part of a row must be written; the rare part is in indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    #[default]
    No,
    Appended,
    Trimmed,
}

pub(super) const COLUMNS: &str = "id, first_off, gone_off, next_off, first_seq, first_at, \
     last_seq, lost_seq, bytes, seg_first, seg_free, seg, seg_end, seg_bytes";

impl TopicRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            first_off: row.get(1)?,
            gone_off: row.get(2)?,
            next_off: row.get(3)?,
            first_seq: row.get(4)?,
            first_at: row.get(5)?,
            last_seq: row.get(6)?,
            lost_seq: row.get(7)?,
            bytes: row.get(8)?,
            seg_first: row.get(9)?,
            seg_free: row.get(10)?,
            seg: row.get(11)?,
            seg_end: row.get(12)?,
            seg_bytes: row.get(13)?,
            changed: Changed::No,
        })
    }

    pub(super) fn load(conn: &Connection, topic: &Topic) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {COLUMNS} FROM topics WHERE name = ?1 AND id > 0");
        conn.prepare_cached(&sql)?.query_row([topic.as_str()], Self::read).optional()
    }

    pub(super) fn change(&mut self, changed: Changed) {
        self.changed = self.changed.max(changed);
    }

    fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.changed == Changed::No {
            return Ok(());
        }
        let mut appended = conn.prepare_cached(
            "UPDATE topics SET next_off = ?2, first_seq = ?3, first_at = ?4, last_seq = ?5, \
             bytes = ?6, seg = ?7, seg_end = ?8, seg_bytes = ?9 WHERE id = ?1",
        )?;
        appended.execute(params![
            self.id,
            self.next_off,
            self.first_seq,
            self.first_at,
            self.last_seq,
            self.bytes,
            self.seg,
            self.seg_end,
            self.seg_bytes,
        ])?;
        if self.changed == Changed::Trimmed {
            let mut trimmed = conn.prepare_cached(
                "UPDATE topics SET first_off = ?2, gone_off = ?3, lost_seq = ?4, \
                 seg_first = ?5, seg_free = ?6 WHERE id = ?1",
            )?;
            trimmed.execute(params![
                self.id,
                self.first_off,
                self.gone_off,
                self.lost_seq,
                self.seg_first,
                self.seg_free,
            ])?;
        }
        self.changed = Changed::No;
        Ok(())
    }
}

/// The rows that the writer works with. After a failed transaction it is emptied.
#[derive(Debug, Default)]
pub(super) struct Topics {
    rows: HashMap<Topic, TopicRow>,
}

impl Topics {
    /// The row of `topic`, if there is one.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        topic: &Topic,
    ) -> Result<Option<&mut TopicRow>, Failure> {
        if !self.rows.contains_key(topic) {
            let Some(row) = TopicRow::load(conn, topic)? else { return Ok(None) };
            self.rows.insert(topic.clone(), row);
        }
        Ok(self.rows.get_mut(topic))
    }

    /// The row of `topic`, made when there is none.
    pub(super) fn of(
        &mut self,
        conn: &Connection,
        topic: &Topic,
    ) -> Result<&mut TopicRow, Failure> {
        if self.find(conn, topic)?.is_none() {
            let mut insert =
                conn.prepare_cached("INSERT INTO topics (name, output) VALUES (?1, ?2)")?;
            insert.execute(params![topic.as_str(), topic.is_output()])?;
            let row = TopicRow { id: conn.last_insert_rowid(), ..TopicRow::default() };
            self.rows.insert(topic.clone(), row);
        }
        Ok(self.rows.entry(topic.clone()).or_default())
    }

    /// Writes every changed row, inside the caller's transaction.
    pub(super) fn save(&mut self, conn: &Connection, batch: &[Topic]) -> Result<(), Failure> {
        for topic in batch {
            if let Some(row) = self.rows.get_mut(topic) {
                row.save(conn)?;
            }
        }
        Ok(())
    }

    /// Forgets what is in memory: after a failure, and when there is too much of it.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    pub(super) fn shrink(&mut self) {
        if self.rows.len() > TOPICS_CACHED {
            self.rows.clear();
        }
    }
}

//! The rows of `topics`, and the writer's copy of those in use.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::failure::Failure;
use super::sums::{TOPICS, number, summed, text};
use crate::event::Topic;

/// Topics whose rows the writer keeps in memory, a few hundred bytes each.
const TOPICS_CACHED: usize = 2048;

/// One topic as it is stored. `schema.rs` says what the columns mean.
#[derive(Clone, Debug)]
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) name: Topic,
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

impl TopicRow {
    /// A topic of which nothing is kept.
    pub(super) fn new(id: i64, name: Topic) -> Self {
        Self {
            id,
            name,
            first_off: 0,
            gone_off: 0,
            next_off: 0,
            first_seq: 0,
            first_at: 0,
            last_seq: 0,
            lost_seq: 0,
            bytes: 0,
            seg_first: 0,
            seg_free: 0,
            seg: 0,
            seg_end: 0,
            seg_bytes: 0,
            changed: Changed::No,
        }
    }

    /// Reads a whole row, which must be as it was written.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, Failure> {
        TOPICS.verify(row)?;
        Ok(Self {
            id: row.get(0)?,
            name: Topic::new(row.get::<_, String>(1)?),
            first_off: row.get(3)?,
            gone_off: row.get(4)?,
            next_off: row.get(5)?,
            first_seq: row.get(6)?,
            first_at: row.get(7)?,
            last_seq: row.get(8)?,
            lost_seq: row.get(9)?,
            bytes: row.get(10)?,
            seg_first: row.get(11)?,
            seg_free: row.get(12)?,
            seg: row.get(13)?,
            seg_end: row.get(14)?,
            seg_bytes: row.get(15)?,
            changed: Changed::No,
        })
    }

    pub(super) fn load(conn: &Connection, topic: &Topic) -> Result<Option<Self>, Failure> {
        let sql = format!("{} WHERE name = ?1 AND id > 0", TOPICS.select());
        let mut select = conn.prepare_cached(&sql)?;
        let mut rows = select.query([topic.as_str()])?;
        rows.next()?.map(Self::read).transpose()
    }

    /// Every row that `condition` selects, read one by one.
    pub(super) fn all(
        conn: &Connection,
        condition: &str,
        bounds: impl rusqlite::Params,
    ) -> Result<Vec<Self>, Failure> {
        let mut select = conn.prepare_cached(&format!("{} {condition}", TOPICS.select()))?;
        let mut rows = select.query(bounds)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Self::read(row)?);
        }
        Ok(found)
    }

    /// The row of the journal itself: its head, and as `next_off` how many commits it had.
    pub(super) fn journal(conn: &Connection) -> Result<Self, Failure> {
        let row = Self::all(conn, "WHERE id = 0", [])?.pop();
        row.ok_or_else(|| Failure::Corrupt("the journal has no row".to_owned()))
    }

    /// Writes the row of the journal itself.
    pub(super) fn count(&self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE topics SET last_seq = ?1, next_off = ?2, sum = ?3 WHERE id = 0";
        conn.prepare_cached(sql)?.execute([self.last_seq, self.next_off, u64::from(self.sum())])?;
        Ok(())
    }

    /// Refuses the event `off` where `wanted` should be: offsets have no holes.
    pub(super) fn has(&self, wanted: u64, off: u64) -> Result<(), Failure> {
        if off == wanted { Ok(()) } else { Err(self.misses(wanted)) }
    }

    /// Refuses an end of the topic's events at `next`, unless that is where it ends.
    pub(super) fn ends(&self, next: u64) -> Result<(), Failure> {
        if next >= self.next_off { Ok(()) } else { Err(self.misses(next)) }
    }

    fn misses(&self, off: u64) -> Failure {
        Failure::Corrupt(format!("event {off} of topic {} is missing", self.name))
    }

    fn cells(&self) -> [ValueRef<'_>; 16] {
        [
            ValueRef::Integer(self.id),
            text(self.name.as_str()),
            ValueRef::Integer(i64::from(self.name.is_output())),
            number(self.first_off),
            number(self.gone_off),
            number(self.next_off),
            number(self.first_seq),
            ValueRef::Integer(self.first_at),
            number(self.last_seq),
            number(self.lost_seq),
            number(self.bytes),
            number(self.seg_first),
            number(self.seg_free),
            number(self.seg),
            number(self.seg_end),
            number(self.seg_bytes),
        ]
    }

    /// The checksum of its row.
    pub(super) fn sum(&self) -> u32 {
        TOPICS.sum(&self.cells())
    }

    /// Puts the whole row where the one of its number was, if any.
    pub(super) fn insert(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(&TOPICS.replace())?.execute(summed(&TOPICS, self.cells()))?;
        Ok(())
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
             bytes = ?6, seg = ?7, seg_end = ?8, seg_bytes = ?9, sum = ?10 WHERE id = ?1",
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
            self.sum(),
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
            let mut last = conn.prepare_cached("SELECT max(id) FROM topics")?;
            let id = 1 + last.query_row([], |row| row.get::<_, i64>(0))?;
            let row = TopicRow::new(id, topic.clone());
            row.insert(conn)?;
            self.rows.insert(topic.clone(), row);
        }
        Ok(self.rows.entry(topic.clone()).or_insert_with(|| TopicRow::new(0, topic.clone())))
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

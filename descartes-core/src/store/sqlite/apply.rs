//! One batch, one transaction.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::Durability;
use super::failure::Failure;
use super::topics::Changed;
use super::writer::Writer;
use crate::cursor::Position;
use crate::event::{NewEvent, Topic};
use crate::store::{Batch, Committed, Key, Put};

/// Payloads up to this lie in the row: a page's worth. Longer ones go to segments.
pub(super) const INLINE_BYTES: usize = 4096;

impl Writer {
    /// Applies `batch` and commits it. After an error the caller rolls back.
    pub(super) fn apply(&mut self, conn: &Connection, batch: &Batch) -> Result<Committed, Failure> {
        if batch.is_empty() {
            let head = Position(self.head);
            return Ok(Committed { head, offsets: Vec::new(), versions: Vec::new() });
        }
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let versions = batch.puts.iter().map(|put| write(conn, put)).collect::<Result<_, _>>()?;
        for key in &batch.deletes {
            delete(conn, key)?;
        }
        let mut changed: Vec<Topic> = batch.forget.clone();
        for topic in &batch.forget {
            self.forget(conn, topic)?;
        }
        let before = self.head;
        let mut offsets = Vec::with_capacity(batch.events.len());
        let mut grown = 0;
        for event in &batch.events {
            offsets.push(self.append(conn, event, &mut grown)?);
            if !changed.contains(&event.topic) {
                changed.push(event.topic.clone());
            }
        }
        self.topics.save(conn, &changed)?;
        if self.head > before {
            conn.prepare_cached("UPDATE topics SET last_seq = ?1 WHERE id = 0")?
                .execute([self.head])?;
        }
        if self.durability == Durability::Power {
            self.segments.sync()?;
        }
        #[cfg(test)]
        self.check_fault()?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.segment_bytes.fetch_add(grown, Ordering::Relaxed);
        Ok(Committed { head: Position(self.head), offsets, versions })
    }

    fn append(
        &mut self,
        conn: &Connection,
        event: &NewEvent,
        grown: &mut u64,
    ) -> Result<u64, Failure> {
        self.head += 1;
        let row = self.topics.of(conn, &event.topic)?;
        let (place, inline) = if event.payload.len() > INLINE_BYTES {
            let before = row.seg_bytes;
            let place = self.segments.append(row, &event.payload)?;
            *grown += row.seg_bytes - before;
            (Some(place), None)
        } else if event.payload.is_empty() {
            (None, None)
        } else {
            (None, Some(&*event.payload))
        };
        let offset = row.next_off;
        conn.prepare_cached(
            "INSERT INTO events (seq, topic, off, kind, by, at, shape, seg, seg_off, len, \
             body, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            self.head,
            row.id,
            offset,
            event.kind.as_str(),
            &*event.by,
            event.at.as_millis(),
            event.shape,
            place.map(|place| place.seg),
            place.map(|place| place.off),
            place.map(|place| place.len),
            &*event.body,
            inline,
        ])?;
        if row.first_off == row.next_off {
            (row.first_seq, row.first_at) = (self.head, event.at.as_millis());
        }
        row.next_off += 1;
        row.last_seq = self.head;
        row.bytes += (event.body.len() + event.payload.len()) as u64;
        row.change(Changed::Appended);
        Ok(offset)
    }

    /// Hides the events of `topic`; `trim` removes them later, piece by piece.
    fn forget(&mut self, conn: &Connection, topic: &Topic) -> Result<(), Failure> {
        let Some(row) = self.topics.find(conn, topic)? else { return Ok(()) };
        if row.first_off < row.next_off {
            row.first_off = row.next_off;
            (row.first_seq, row.first_at) = (0, 0);
            row.lost_seq = row.last_seq;
            row.bytes = 0;
            row.change(Changed::Trimmed);
        }
        Ok(())
    }
}

fn write(conn: &Connection, put: &Put) -> Result<u64, Failure> {
    let Put { key, owner, body, expect } = put;
    let actual: Option<u64> = conn
        .prepare_cached("SELECT version FROM documents WHERE space = ?1 AND id = ?2")?
        .query_row([key.space.0, &*key.id], |row| row.get(0))
        .optional()?;
    if !expect.holds(actual) {
        return Err(Failure::Conflict { key: key.clone(), actual });
    }
    let version = actual.unwrap_or(0) + 1;
    let body: &Bytes = body;
    conn.prepare_cached(
        "INSERT INTO documents (space, id, owner, version, body) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (space, id) DO UPDATE \
         SET owner = excluded.owner, version = excluded.version, body = excluded.body",
    )?
    .execute(params![key.space.0, &*key.id, &**owner, version, &**body])?;
    Ok(version)
}

fn delete(conn: &Connection, key: &Key) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM documents WHERE space = ?1 AND id = ?2")?
        .execute([key.space.0, &*key.id])?;
    Ok(())
}

//! One batch, one transaction.

use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::failure::Failure;
use super::sums::{DOCUMENTS, EVENTS, maybe, number, summed, text};
use super::topics::Changed;
use super::writer::Writer;
use super::{Durability, query};
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
        let mut offsets = Vec::with_capacity(batch.events.len());
        let mut grown = 0;
        for event in &batch.events {
            offsets.push(self.append(conn, event, &mut grown)?);
            if !changed.contains(&event.topic) {
                changed.push(event.topic.clone());
            }
        }
        self.topics.save(conn, &changed)?;
        if self.durability == Durability::Power {
            self.segments.sync()?;
        }
        #[cfg(test)]
        self.check_fault()?;
        self.finish(conn)?;
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
        let cells = [
            number(self.head),
            ValueRef::Integer(row.id),
            number(offset),
            text(event.kind.as_str()),
            text(&event.by),
            ValueRef::Integer(event.at.as_millis()),
            number(u64::from(event.shape)),
            maybe(place.map(|place| place.seg)),
            maybe(place.map(|place| place.off)),
            maybe(place.map(|place| u64::from(place.len))),
            ValueRef::Blob(&event.body),
            inline.map_or(ValueRef::Null, ValueRef::Blob),
        ];
        conn.prepare_cached(&EVENTS.insert())?.execute(summed(&EVENTS, cells))?;
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
    let actual = query::get(conn, key)?.map(|document| document.version);
    if !expect.holds(actual) {
        return Err(Failure::Conflict { key: key.clone(), actual });
    }
    let version = actual.unwrap_or(0) + 1;
    let cells =
        [text(key.space.0), text(&key.id), text(owner), number(version), ValueRef::Blob(body)];
    conn.prepare_cached(&DOCUMENTS.replace())?.execute(summed(&DOCUMENTS, cells))?;
    Ok(version)
}

fn delete(conn: &Connection, key: &Key) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM documents WHERE space = ?1 AND id = ?2")?
        .execute([key.space.0, &*key.id])?;
    Ok(())
}

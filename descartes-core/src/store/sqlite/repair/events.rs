//! Events: each that is whole is copied, each that is not leaves a mark where it stood.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::topics::{Saved, Topical};
use super::{Repaired, Work};
use crate::event::LOST_KIND;
use crate::store::format::SHAPE;
use crate::store::sqlite::check::event_trouble;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::rows;
use crate::store::sqlite::sums::{EVENTS, number, summed, text};

/// Events that are read at once; when that fails, they are read one by one.
const AT_ONCE: u64 = 256;
/// Of the last rows, how many are looked at for one that is whole.
const LAST_ROWS: usize = 64;

/// The highest position of an event that is whole, among the last ones.
pub(super) fn highest(work: &Work<'_>) -> u64 {
    let Some(conn) = &work.from else { return 0 };
    let found = (|| {
        let sql = format!("{} ORDER BY seq DESC LIMIT {LAST_ROWS}", EVENTS.select());
        let mut select = conn.prepare(&sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if EVENTS.holds(row)? {
                return row.get::<_, u64>(0);
            }
        }
        Ok::<_, rusqlite::Error>(0)
    })();
    found.unwrap_or(0)
}

pub(super) fn save(
    work: &Work<'_>,
    saved: &mut Saved,
    head: u64,
    repaired: &mut Repaired,
) -> Result<(), Failure> {
    let Some(conn) = &work.from else { return Ok(()) };
    let mut copy = Copy { work, saved, repaired, looked: 0, last: 0 };
    let mut from = 0;
    while from < head {
        let to = head.min(from + AT_ONCE);
        if !copy.range(conn, from, to)? {
            for position in copy.looked.max(from)..to {
                copy.range(conn, position, position + 1)?;
            }
        }
        from = to;
    }
    let last = copy.last;
    saved.free.add(last + 1, head);
    Ok(())
}

struct Copy<'a> {
    work: &'a Work<'a>,
    saved: &'a mut Saved,
    repaired: &'a mut Repaired,
    /// The position of the last row that could be read.
    looked: u64,
    /// The position of the last event that is whole.
    last: u64,
}

impl Copy<'_> {
    /// Copies what stands behind `after` and not behind `to`; tells whether all could be read.
    fn range(&mut self, conn: &Connection, after: u64, to: u64) -> Result<bool, Failure> {
        let sql = format!("{} WHERE seq > ?1 AND seq <= ?2 ORDER BY seq", EVENTS.select());
        let Ok(mut select) = conn.prepare_cached(&sql) else { return Ok(false) };
        let Ok(mut rows) = select.query([after, to]) else { return Ok(false) };
        loop {
            match rows.next() {
                Ok(Some(row)) => self.one(row)?,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    fn one(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let seq: u64 = row.get(0)?;
        if seq <= self.looked {
            return Ok(());
        }
        self.looked = seq;
        let size = match event_trouble(row, self.work.from_dir) {
            Ok(size) => size,
            Err(what) => {
                self.repaired.lose(format!("{}: {what}", EVENTS.place(row)));
                return Ok(());
            }
        };
        let (id, off): (i64, u64) = (row.get(1)?, row.get(2)?);
        let Saved { topics, free } = &mut *self.saved;
        let Some(topic) = topics.get_mut(&id) else {
            self.repaired.lose(format!("{}: its topic {id} is not known", EVENTS.place(row)));
            return Ok(());
        };
        free.add(self.last + 1, seq - 1);
        self.last = seq;
        if off < topic.row.first_off {
            // It was forgotten already.
            return Ok(());
        }
        topic.begin(off, seq);
        let lost = topic.row.next_off..off;
        while topic.row.next_off < off {
            let position = free.take(topic.last, seq);
            let position = position.ok_or_else(|| {
                Failure::Corrupt(format!("no place for a lost event of {}", topic.row.name))
            })?;
            placeholder(&self.work.to, topic, position)?;
        }
        if !lost.is_empty() {
            let name = &topic.row.name;
            self.repaired.lose(format!("events {} to {} of {name}", lost.start, lost.end));
        }
        if let Some(place) = rows::place(row)? {
            topic.share(self.work, &place)?;
        }
        copy_row(&self.work.to, row)?;
        topic.count(off, seq, (row.get(5)?, size));
        self.repaired.events += 1;
        Ok(())
    }
}

impl Topical {
    /// What comes before the first event of a topic without a row counts as trimmed.
    fn begin(&mut self, off: u64, seq: u64) {
        if self.next.is_none() {
            let row = &mut self.row;
            (row.first_off, row.gone_off, row.next_off) = (off, off, off);
            row.lost_seq = if off > 0 { seq - 1 } else { 0 };
            self.last = row.lost_seq;
        }
        if self.row.gone_off < self.row.first_off {
            self.row.gone_off = self.row.first_off;
        }
        self.next = Some(off);
    }

    fn count(&mut self, off: u64, seq: u64, (at, bytes): (i64, u64)) {
        if self.row.first_seq == 0 {
            (self.row.first_seq, self.row.first_at) = (seq, at);
        }
        self.row.next_off = off + 1;
        self.row.last_seq = seq;
        self.row.bytes += bytes;
        (self.next, self.last, self.at) = (Some(off + 1), seq, at);
    }
}

/// Says in the place of an event that it is lost.
pub(super) fn placeholder(
    to: &Connection,
    topic: &mut Topical,
    position: u64,
) -> rusqlite::Result<()> {
    let off = topic.row.next_off;
    let body = b"{}";
    let cells = [
        number(position),
        ValueRef::Integer(topic.row.id),
        number(off),
        text(LOST_KIND),
        text("system"),
        ValueRef::Integer(topic.at),
        number(u64::from(SHAPE)),
        ValueRef::Null,
        ValueRef::Null,
        ValueRef::Null,
        ValueRef::Blob(body),
        ValueRef::Null,
    ];
    to.prepare_cached(&EVENTS.insert())?.execute(summed(&EVENTS, cells))?;
    let at = topic.at;
    topic.count(off, position, (at, body.len() as u64));
    Ok(())
}

fn copy_row(to: &Connection, row: &Row<'_>) -> rusqlite::Result<()> {
    let mut cells = [ValueRef::Null; 12];
    for (column, cell) in cells.iter_mut().enumerate() {
        *cell = row.get_ref(column)?;
    }
    to.prepare_cached(&EVENTS.insert())?.execute(summed(&EVENTS, cells))?;
    Ok(())
}

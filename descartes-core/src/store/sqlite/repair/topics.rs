//! Topics, as their rows say, or as their events do.

use std::collections::HashMap;
use std::fs;

use rusqlite::Connection;

use super::{Repaired, Work, events};
use crate::cursor::Position;
use crate::event::Topic;
use crate::store::lost::LostBlock;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::retention::{blocks, save_block};
use crate::store::sqlite::segment::{self, Place, RECORD_HEAD};
use crate::store::sqlite::sums::TOPICS;
use crate::store::sqlite::topics::TopicRow;

use super::free::Free;

/// One topic while its events are copied.
pub(super) struct Topical {
    /// As it will be.
    pub(super) row: TopicRow,
    /// The offset that its next event should have, once that is known.
    pub(super) next: Option<u64>,
    /// Its next offset as its own row says.
    pub(super) end: u64,
    /// The position behind which its next event stands.
    pub(super) last: u64,
    /// When its last event was.
    pub(super) at: i64,
}

/// All topics whose names are known, and the positions where nothing was found.
#[derive(Default)]
pub(super) struct Saved {
    pub(super) topics: HashMap<i64, Topical>,
    pub(super) free: Free,
}

impl Saved {
    pub(super) fn of(work: &Work<'_>, repaired: &mut Repaired) -> Self {
        let mut saved = Self::default();
        let Some(conn) = &work.from else {
            repaired.lose("everything in the database: it cannot be opened");
            return saved;
        };
        let mut names = work.names.clone();
        // The names are in an index of their own as well.
        drop(index(conn, &mut names));
        let mut damaged = rows(conn, &mut saved, repaired).is_err();
        for (id, name) in names {
            if id > 0 && !saved.topics.contains_key(&id) {
                damaged = true;
                let row = TopicRow::new(id, Topic::new(name));
                repaired.lose(format!("what was counted of topic {}", row.name));
                saved.add(row, None);
            }
        }
        if damaged {
            repaired.lose("topics whose rows could not be read (table topics)");
        }
        saved
    }

    fn add(&mut self, mut row: TopicRow, next: Option<u64>) {
        let (end, last, id) = (row.next_off, row.lost_seq, row.id);
        let at = row.first_at;
        (row.bytes, row.seg_bytes, row.first_seq, row.first_at) = (0, 0, 0, 0);
        row.next_off = row.first_off;
        self.topics.insert(id, Topical { row, next, end, last, at });
    }

    /// Writes the topics, and shares the files of their payloads.
    pub(super) fn write(
        &mut self,
        work: &Work<'_>,
        head: u64,
        repaired: &mut Repaired,
    ) -> Result<(), Failure> {
        let Self { topics, free } = self;
        for topic in topics.values_mut() {
            let next = topic.next.unwrap_or(topic.row.first_off);
            let (first, mut lost) = (next, 0);
            while topic.row.next_off < topic.end {
                let Some(position) = free.take(topic.last, head + 1) else { break };
                events::placeholder(&work.to, topic, position)?;
                lost += 1;
            }
            // Without a position for the rest, the topic ends before it.
            lost += topic.end.saturating_sub(topic.row.next_off);
            if lost > 0 {
                repaired.lose(format!("events {first} to {} of {}", first + lost, topic.row.name));
            }
            topic.row.last_seq = topic.row.last_seq.max(topic.last);
            topic.row.insert(&work.to)?;
            if let Some(conn) = &work.from {
                history(conn, work, topic, repaired)?;
            }
        }
        Ok(())
    }
}

fn index(conn: &Connection, names: &mut HashMap<i64, String>) -> rusqlite::Result<()> {
    let mut select =
        conn.prepare("SELECT id, name FROM topics INDEXED BY sqlite_autoindex_topics_1")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        names.insert(row.get(0)?, row.get(1)?);
    }
    Ok(())
}

fn rows(conn: &Connection, saved: &mut Saved, repaired: &mut Repaired) -> rusqlite::Result<()> {
    let mut select = conn.prepare(&format!("{} WHERE id > 0 ORDER BY id", TOPICS.select()))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        match TopicRow::read(row) {
            Ok(mut row) => {
                if row.seg_end > 0 {
                    // The file is shared with the old store, so that the next one is begun.
                    (row.seg, row.seg_end) = (row.seg + 1, 0);
                }
                let next = row.first_off;
                saved.add(row, Some(next));
            }
            Err(_) => repaired.lose(TOPICS.place(row)),
        }
    }
    Ok(())
}

/// At which positions the events stood that the topic has lost.
fn history(
    conn: &Connection,
    work: &Work<'_>,
    topic: &Topical,
    repaired: &mut Repaired,
) -> Result<(), Failure> {
    let row = &topic.row;
    let mut known = 0;
    match blocks(conn, "WHERE topic = ?1 ORDER BY first_off", [row.id]) {
        Ok(blocks) => {
            for block in blocks {
                if block.first_offset == known {
                    save_block(&work.to, row.id, &block)?;
                    known += block.count;
                }
            }
        }
        Err(_) => repaired.lose(format!("where the trimmed events of {} stood", row.name)),
    }
    if known < row.first_off {
        let at = Position(row.lost_seq);
        let count = row.first_off - known;
        let block =
            LostBlock { first_offset: known, count, first: at, last: at, steps: Vec::new() };
        save_block(&work.to, row.id, &block)?;
    }
    Ok(())
}

impl Topical {
    /// Makes the file of a payload one of the new store's, too.
    pub(super) fn share(&mut self, work: &Work<'_>, place: &Place) -> std::io::Result<()> {
        let row = &mut self.row;
        let to = segment::path(work.to_dir, row.id, place.seg);
        if !to.exists() {
            let from = segment::path(work.from_dir, row.id, place.seg);
            segment::private_parent(&to)?;
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        if row.seg <= place.seg {
            (row.seg, row.seg_end) = (place.seg + 1, 0);
        }
        row.seg_bytes += RECORD_HEAD as u64 + u64::from(place.len);
        Ok(())
    }
}

//! Retention: the writer forgets what is over a limit, a bounded piece at a time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Failure;
use super::segment::RECORD_HEAD;
use super::sums::{LOST, number, summed};
use super::topics::{Changed, TopicRow};
use super::writer::Writer;
use crate::cursor::Position;
use crate::event::Topic;
use crate::limits::STORE_TRIM_EVENTS;
use crate::store::lost::{LOST_BLOCKS_PER_TOPIC, LostBlock};
use crate::store::{Retention, Trimmed};

/// A topic whose first event is old.
const OLD: &str = "SELECT name FROM topics WHERE NOT output AND name <> 'audit' AND id > 0 \
                   AND first_seq > 0 AND first_at < ?1 LIMIT 1";
/// The same of audit.
const OLD_AUDIT: &str = "SELECT name FROM topics WHERE name = 'audit' AND first_seq > 0 \
                         AND first_at < ?1 LIMIT 1";
/// How long a piece may hold the writer.
const PIECE_TIME: Duration = Duration::from_millis(12);
/// Segment files that one call deletes: each can take a millisecond.
const SWEEP_FILES: u64 = 8;

/// Which events of a topic go next, from its front.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Those that were forgotten already.
    Forgotten,
    /// So many bytes.
    Bytes(u64),
    /// So many bytes, but none that stands behind this position.
    BytesUntil(u64, u64),
    /// Those from before this time.
    Before(i64),
}

/// One event that may go.
struct Candidate {
    off: u64,
    seq: u64,
    at: i64,
    bytes: u64,
    /// Its segment and what it takes there.
    seg: Option<(u64, u64)>,
}

impl Writer {
    /// Forgets a piece of what is due, in one transaction.
    pub(super) fn trim_piece(
        &mut self,
        conn: &Connection,
        retention: &Retention,
    ) -> Result<Trimmed, Failure> {
        let begun = Instant::now();
        let mut trimmed = Trimmed::default();
        let mut left = STORE_TRIM_EVENTS;
        let mut changed: Vec<Topic> = Vec::new();
        let mut freed = 0;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        while let Some((topic, goal)) = due(conn, retention)? {
            if left == 0 || begun.elapsed() > PIECE_TIME {
                trimmed.more = true;
                break;
            }
            let Some(row) = self.topics.find(conn, &topic)? else {
                return Err(Failure::Corrupt(format!("topic {topic} has no row")));
            };
            let (events, bytes) = drop_front(conn, row, goal, left)?;
            freed += bytes;
            left = left.saturating_sub(events.max(1));
            match goal {
                Goal::Forgotten => {}
                _ if topic.is_output() => trimmed.output_events += events as u64,
                _ => trimmed.other_events += events as u64,
            }
            // The next question is answered from the table, so the row goes there at once.
            changed.push(topic);
            self.topics.save(conn, &changed)?;
            changed.clear();
        }
        self.finish(conn)?;
        let sum = self.segment_bytes.load(Ordering::Relaxed);
        self.segment_bytes.store(sum.saturating_sub(freed), Ordering::Relaxed);
        Ok(trimmed)
    }

    /// Deletes segment files that no row names any more; tells whether there are more.
    ///
    /// The files go after the rows are committed and before `seg_first` is, so that whatever
    /// happens in between, no row is without its bytes and no file is left over.
    pub(super) fn sweep(&mut self, conn: &Connection) -> Result<bool, Failure> {
        let mut left = SWEEP_FILES;
        while left > 0 {
            let Some(topic) = next_sweep(conn)? else { return Ok(false) };
            let Some(row) = self.topics.find(conn, &topic)? else { return Ok(false) };
            let to = row.seg_free.min(row.seg_first + left);
            left -= to - row.seg_first;
            self.segments.delete(row.id, row.seg_first, to)?;
            row.seg_first = to;
            row.change(Changed::Trimmed);
            conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.topics.save(conn, &[topic])?;
            self.finish(conn)?;
        }
        Ok(next_sweep(conn)?.is_some())
    }
}

fn next_sweep(conn: &Connection) -> Result<Option<Topic>, Failure> {
    named(conn, "SELECT name FROM topics WHERE seg_first < seg_free LIMIT 1", None)
}

fn named(conn: &Connection, sql: &str, bound: Option<i64>) -> Result<Option<Topic>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let name = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let found = match bound {
        Some(bound) => statement.query_row([bound], name),
        None => statement.query_row([], name),
    };
    Ok(found.optional()?.map(Topic::new))
}

/// The topic whose first events are the next to go.
fn due(conn: &Connection, keep: &Retention) -> Result<Option<(Topic, Goal)>, Failure> {
    let forgotten = "SELECT name FROM topics WHERE gone_off < first_off LIMIT 1";
    if let Some(topic) = named(conn, forgotten, None)? {
        return Ok(Some((topic, Goal::Forgotten)));
    }
    let per_agent = i64::try_from(keep.output_bytes_per_agent).unwrap_or(i64::MAX);
    let mut long =
        conn.prepare_cached("SELECT name, bytes FROM topics WHERE output AND bytes > ?1 LIMIT 1")?;
    let long = long.query_row([per_agent], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
    if let Some((name, bytes)) = long.optional()? {
        let bytes: u64 = bytes;
        let goal = Goal::Bytes(bytes - keep.output_bytes_per_agent);
        return Ok(Some((Topic::new(name), goal)));
    }
    let total: u64 = conn
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM topics WHERE output")?
        .query_row([], |row| row.get(0))?;
    if total > keep.output_bytes_total {
        return oldest_output(conn, total - keep.output_bytes_total);
    }
    // Chats are the topics that begin so; `0` is the letter behind the slash.
    let mut long = conn.prepare_cached(
        "SELECT name, bytes FROM topics WHERE name > 'chat/' AND name < 'chat0' AND bytes > ?1 \
         LIMIT 1",
    )?;
    let most = i64::try_from(keep.chat_bytes).unwrap_or(i64::MAX);
    let long = long.query_row([most], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)));
    if let Some((name, bytes)) = long.optional()? {
        return Ok(Some((Topic::new(name), Goal::Bytes(bytes - keep.chat_bytes))));
    }
    // Audit has a time of its own; it is asked first, because it is one row.
    for (old, before) in [(OLD_AUDIT, keep.audit_before), (OLD, keep.events_before)] {
        let before = before.as_millis();
        if let Some(topic) = named(conn, old, Some(before))? {
            return Ok(Some((topic, Goal::Before(before))));
        }
    }
    Ok(None)
}

/// The topic with the oldest output goes until another one has the oldest.
fn oldest_output(conn: &Connection, over: u64) -> Result<Option<(Topic, Goal)>, Failure> {
    let mut oldest = conn.prepare_cached(
        "SELECT name, first_seq FROM topics WHERE output AND first_seq > 0 \
         ORDER BY first_seq LIMIT 2",
    )?;
    let rows = oldest.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some((name, _)) = rows.next() else { return Ok(None) };
    let until = rows.next().map_or(u64::MAX, |(_, seq)| seq);
    Ok(Some((Topic::new(name), Goal::BytesUntil(over, until))))
}

/// Removes events from the front of a topic until `goal` is reached, `most` at most.
///
/// Tells how many went, and how many bytes of segments no longer have a row.
fn drop_front(
    conn: &Connection,
    row: &mut TopicRow,
    goal: Goal,
    most: usize,
) -> Result<(usize, u64), Failure> {
    let going = candidates(conn, row, goal, most)?;
    let Some(last) = going.last() else {
        return Err(Failure::Corrupt(format!("topic {} counts events that are not there", row.id)));
    };
    conn.prepare_cached("DELETE FROM events WHERE topic = ?1 AND off >= ?2 AND off <= ?3")?
        .execute(params![row.id, row.gone_off, last.off])?;
    remember(conn, row.id, &going)?;
    let mut freed = 0;
    for event in &going {
        if event.off >= row.first_off {
            row.bytes = row.bytes.saturating_sub(event.bytes);
        }
        if let Some((seg, bytes)) = event.seg {
            row.seg_free = row.seg_free.max(seg);
            freed += bytes;
        }
    }
    row.seg_bytes = row.seg_bytes.saturating_sub(freed);
    row.gone_off = last.off + 1;
    if row.gone_off >= row.first_off {
        row.first_off = row.gone_off;
        row.lost_seq = row.lost_seq.max(last.seq);
        (row.first_seq, row.first_at) = first_kept(conn, row)?;
    }
    if row.gone_off == row.next_off {
        // Nothing of the current file is wanted either.
        if row.seg_end > 0 {
            (row.seg, row.seg_end) = (row.seg + 1, 0);
        }
        row.seg_free = row.seg;
    }
    row.change(Changed::Trimmed);
    Ok((going.len(), freed))
}

fn candidates(
    conn: &Connection,
    row: &TopicRow,
    goal: Goal,
    most: usize,
) -> Result<Vec<Candidate>, Failure> {
    let mut select = conn.prepare_cached(
        "SELECT off, seq, at, length(body) + coalesce(length(payload), 0) + coalesce(len, 0), \
         seg, len FROM events WHERE topic = ?1 AND off >= ?2 ORDER BY off LIMIT ?3",
    )?;
    let rows = select.query_map(params![row.id, row.gone_off, most], |row| {
        let seg: Option<u64> = row.get(4)?;
        let len: Option<u64> = row.get(5)?;
        let seg = seg.zip(len.map(|len| len + RECORD_HEAD as u64));
        Ok(Candidate {
            off: row.get(0)?,
            seq: row.get(1)?,
            at: row.get(2)?,
            bytes: row.get(3)?,
            seg,
        })
    })?;
    let mut going = Vec::new();
    let mut bytes = 0;
    for candidate in rows {
        let candidate = candidate?;
        let goes = match goal {
            Goal::Forgotten => candidate.off < row.first_off,
            Goal::Bytes(over) => bytes < over,
            Goal::BytesUntil(over, until) => bytes < over && candidate.seq < until,
            Goal::Before(time) => candidate.at < time,
        };
        if !goes {
            break;
        }
        bytes += candidate.bytes;
        going.push(candidate);
    }
    Ok(going)
}

fn first_kept(conn: &Connection, row: &TopicRow) -> Result<(u64, i64), Failure> {
    let mut select =
        conn.prepare_cached("SELECT seq, at FROM events WHERE topic = ?1 AND off = ?2")?;
    let first = select.query_row(params![row.id, row.first_off], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, i64>(1)?))
    });
    Ok(first.optional()?.unwrap_or((0, 0)))
}

/// Notes at which positions the events stood that go, in the last block of their topic.
fn remember(conn: &Connection, topic: i64, going: &[Candidate]) -> Result<(), Failure> {
    let mut block =
        blocks(conn, "WHERE topic = ?1 ORDER BY first_off DESC LIMIT 1", [topic])?.pop();
    for event in going {
        let position = Position(event.seq);
        match &mut block {
            Some(block) if !block.is_full() => block.push(position),
            _ => {
                if let Some(full) = block.replace(LostBlock::of(event.off, position)) {
                    save_block(conn, topic, &full)?;
                }
            }
        }
    }
    if let Some(block) = block {
        save_block(conn, topic, &block)?;
    }
    melt(conn, topic)
}

/// Makes one of the two oldest blocks while there are too many.
fn melt(conn: &Connection, topic: i64) -> Result<(), Failure> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM lost WHERE topic = ?1")?;
    let blocks: usize = count.query_row([topic], |row| row.get(0))?;
    for _ in LOST_BLOCKS_PER_TOPIC..blocks {
        let pair = self::blocks(conn, "WHERE topic = ?1 ORDER BY first_off LIMIT 2", [topic])?;
        if let [first, second] = &pair[..] {
            let mut melted = first.clone();
            melted.melt(second);
            conn.prepare_cached("DELETE FROM lost WHERE topic = ?1 AND first_off = ?2")?
                .execute(params![topic, second.first_offset])?;
            save_block(conn, topic, &melted)?;
        }
    }
    Ok(())
}

pub(super) fn save_block(conn: &Connection, topic: i64, block: &LostBlock) -> Result<(), Failure> {
    let cells = [
        ValueRef::Integer(topic),
        number(block.first_offset),
        number(block.count),
        number(block.first.0),
        number(block.last.0),
        ValueRef::Blob(&block.steps),
    ];
    conn.prepare_cached(&LOST.replace())?.execute(summed(&LOST, cells))?;
    Ok(())
}

/// The blocks that `condition` selects.
pub(super) fn blocks(
    conn: &Connection,
    condition: &str,
    bounds: impl rusqlite::Params,
) -> Result<Vec<LostBlock>, Failure> {
    let mut select = conn.prepare_cached(&format!("{} {condition}", LOST.select()))?;
    let mut rows = select.query(bounds)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        LOST.verify(row)?;
        found.push(LostBlock {
            first_offset: row.get(1)?,
            count: row.get(2)?,
            first: Position(row.get(3)?),
            last: Position(row.get(4)?),
            steps: row.get(5)?,
        });
    }
    Ok(found)
}

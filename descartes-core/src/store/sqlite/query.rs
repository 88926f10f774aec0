//! What readers ask.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::failure::Failure;
use super::reader::Readers;
use super::retention::blocks;
use super::rows::{Bounds, PageRows};
use super::sums::{DOCUMENTS, EVENTS};
use super::topics::TopicRow;
use crate::cursor::Position;
use crate::event::{Event, Topic, TopicFilter};
use crate::limits::STORE_SCAN_EVENTS;
use crate::store::{
    Document, EventPage, EventQuery, Gap, Key, KeyRange, Page, Space, TopicQuery, TopicState,
};

/// Sorts after every character that a name may go on with.
const AFTER_ALL: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";

fn head(conn: &Connection) -> Result<Position, Failure> {
    Ok(Position(TopicRow::journal(conn)?.last_seq))
}

pub(super) fn get(conn: &Connection, key: &Key) -> Result<Option<Document>, Failure> {
    let sql = format!("{} WHERE space = ?1 AND id = ?2", DOCUMENTS.select());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query([key.space.0, &*key.id])?;
    rows.next()?.map(|row| document(row, key.space)).transpose()
}

fn document(row: &Row<'_>, space: Space) -> Result<Document, Failure> {
    DOCUMENTS.verify(row)?;
    Ok(Document {
        key: Key::new(space, row.get::<_, Arc<str>>(1)?),
        owner: row.get(2)?,
        version: row.get(3)?,
        body: row.get::<_, Vec<u8>>(4)?.into(),
    })
}

pub(super) fn list(conn: &Connection, range: &KeyRange) -> Result<Page, Failure> {
    let KeyRange { space, prefix, after, reverse, limit } = range;
    let end = format!("{prefix}{AFTER_ALL}");
    let condition = if *reverse {
        "WHERE space = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"
    } else {
        "WHERE space = ?1 AND id > ?3 AND id >= ?2 ORDER BY id LIMIT ?4"
    };
    let mut select = conn.prepare_cached(&format!("{} {condition}", DOCUMENTS.select()))?;
    let bound: &str = match after {
        Some(after) => after,
        // Nothing is less than the empty name, which is itself a name only with an empty prefix.
        None if *reverse => &end,
        None => "",
    };
    let most = limit.saturating_add(1).min(i64::MAX as usize);
    let mut rows = select.query(params![space.0, &**prefix, bound, most])?;
    let mut documents = Vec::new();
    let mut more = false;
    while let Some(row) = rows.next()? {
        let document = document(row, *space)?;
        if !document.key.id.starts_with(&**prefix) {
            break;
        }
        if documents.len() == *limit {
            more = true;
            break;
        }
        documents.push(document);
    }
    Ok(Page { documents, more, position: head(conn)? })
}

pub(super) fn topics(conn: &Connection, filter: &TopicFilter) -> Result<Vec<TopicState>, Failure> {
    let (clause, from, to) = match filter {
        TopicFilter::Exact(topic) => ("name = ?1 AND ?1 = ?2", topic.as_str(), topic.to_string()),
        TopicFilter::Prefix(prefix) => {
            ("name >= ?1 AND name < ?2", &**prefix, format!("{prefix}{AFTER_ALL}"))
        }
        TopicFilter::All => ("name >= ?1 AND name < ?2", "", AFTER_ALL.to_owned()),
    };
    let condition = format!("WHERE id > 0 AND {clause} ORDER BY name");
    let rows = TopicRow::all(conn, &condition, [from, &to])?;
    let states = rows.into_iter().map(|row| TopicState {
        topic: row.name,
        first_offset: row.first_off,
        next_offset: row.next_off,
        bytes: row.bytes,
    });
    Ok(states.collect())
}

pub(super) fn read_topic(
    readers: &Readers,
    conn: &Connection,
    query: &TopicQuery,
) -> Result<Vec<Event>, Failure> {
    let Some(topic) = TopicRow::load(conn, &query.topic)? else { return Ok(Vec::new()) };
    let mut page = PageRows::new(Bounds {
        events: query.max_events,
        bytes: query.max_bytes,
        bodies_only: query.bodies_only,
    });
    let sql = format!("{} WHERE topic = ?1 AND off >= ?2 ORDER BY off", EVENTS.select());
    let mut select = conn.prepare_cached(&sql)?;
    let mut next = query.from.max(topic.first_off).min(i64::MAX as u64);
    let mut rows = select.query(params![topic.id, next])?;
    while let Some(row) = rows.next()? {
        if !page.push(row, query.topic.clone())? {
            return page.finish(readers);
        }
        topic.has(next, row.get(2)?)?;
        next += 1;
    }
    topic.ends(next)?;
    page.finish(readers)
}

pub(super) fn read(
    readers: &Readers,
    conn: &Connection,
    query: &EventQuery,
) -> Result<EventPage, Failure> {
    let mut exact: Vec<&Topic> = Vec::new();
    for filter in &query.topics {
        match filter {
            TopicFilter::Exact(topic) => exact.push(topic),
            TopicFilter::Prefix(_) | TopicFilter::All => return scan(readers, conn, query),
        }
    }
    exact.sort();
    exact.dedup();
    by_topics(readers, conn, query, &exact)
}

fn bounds(query: &EventQuery) -> Bounds {
    let events = query.max_events.clamp(1, STORE_SCAN_EVENTS);
    Bounds { events, bytes: query.max_bytes, bodies_only: false }
}

/// Goes along the journal and takes what matches.
fn scan(readers: &Readers, conn: &Connection, query: &EventQuery) -> Result<EventPage, Failure> {
    let forgotten = forgotten(conn)?;
    let mut page = PageRows::new(bounds(query));
    let sql = format!("{} WHERE seq > ?1 ORDER BY seq LIMIT ?2", EVENTS.select());
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![at_most(query.after), STORE_SCAN_EVENTS])?;
    let (mut next, mut scanned, mut full) = (query.after, 0, false);
    // Offsets have no holes, so that a row which cannot be found any more is missed.
    let mut seen: HashMap<i64, u64> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (id, off): (i64, u64) = (row.get(1)?, row.get(2)?);
        if let Some(last) = seen.insert(id, off)
            && off != last + 1
        {
            return Err(Failure::Corrupt(format!("topic {id} has no event {}", last + 1)));
        }
        let topic = page.topic(readers, conn, id)?;
        let wanted = query.topics.iter().any(|filter| filter.matches(&topic));
        let hidden = forgotten.get(&id).is_some_and(|first_off| off < *first_off);
        if wanted && !hidden && !page.push(row, topic)? {
            full = true;
            break;
        }
        next = Position(row.get(0)?);
        scanned += 1;
    }
    let head = head(conn)?;
    if !full && scanned < STORE_SCAN_EVENTS {
        next = head.max(query.after);
    }
    Ok(EventPage { events: page.finish(readers)?, next, head, gaps: all_gaps(conn, query)? })
}

/// Takes what is next in any of `topics`, through their indexes.
fn by_topics(
    readers: &Readers,
    conn: &Connection,
    query: &EventQuery,
    topics: &[&Topic],
) -> Result<EventPage, Failure> {
    let bounds = bounds(query);
    let mut page = PageRows::new(bounds);
    let mut due: Vec<(u64, &Topic)> = Vec::new();
    let mut gaps = Vec::new();
    for topic in topics {
        let Some(row) = TopicRow::load(conn, topic)? else { continue };
        let Some(from) = first_after(conn, &row, query.after)? else {
            gaps.extend(gap(conn, topic, &row, query.after)?);
            continue;
        };
        gaps.extend(gap(conn, topic, &row, query.after)?);
        let mut places = conn.prepare_cached(
            "SELECT seq, off FROM events WHERE topic = ?1 AND off >= ?2 ORDER BY off LIMIT ?3",
        )?;
        let from = from.max(row.first_off);
        let most = bounds.events + 1;
        let places = places.query_map(params![row.id, from, most], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))
        })?;
        let mut next = from;
        for place in places {
            let (seq, off) = place?;
            row.has(next, off)?;
            due.push((seq, *topic));
            next += 1;
        }
        if next - from < most as u64 {
            row.ends(next)?;
        }
    }
    due.sort_unstable_by_key(|(seq, _)| *seq);
    let mut select = conn.prepare_cached(&format!("{} WHERE seq = ?1", EVENTS.select()))?;
    let mut next = None;
    for (seq, topic) in &due {
        let taken = select.query_row([seq], |row| Ok(page.push(row, (*topic).clone())))?;
        if !taken? {
            next = due.get(page.len() - 1).map(|(seq, _)| Position(*seq));
            break;
        }
    }
    let head = head(conn)?;
    let next = next.unwrap_or(head.max(query.after));
    Ok(EventPage { events: page.finish(readers)?, next, head, gaps })
}

fn at_most(position: Position) -> u64 {
    position.0.min(i64::MAX as u64)
}

/// Topics with rows that readers no longer see, and their first offset for readers.
fn forgotten(conn: &Connection) -> Result<HashMap<i64, u64>, Failure> {
    let mut select =
        conn.prepare_cached("SELECT id, first_off FROM topics WHERE gone_off < first_off")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn all_gaps(conn: &Connection, query: &EventQuery) -> Result<Vec<Gap>, Failure> {
    let lossy = "WHERE lost_seq > 0 AND lost_seq > ?1";
    let mut gaps = Vec::new();
    for row in TopicRow::all(conn, lossy, [at_most(query.after)])? {
        if query.topics.iter().any(|filter| filter.matches(&row.name)) {
            gaps.extend(gap(conn, &row.name, &row, query.after)?);
        }
    }
    gaps.sort_by(|one, other| one.topic.cmp(&other.topic));
    Ok(gaps)
}

/// What a reader who has seen everything up to `after` misses of a topic.
fn gap(
    conn: &Connection,
    topic: &Topic,
    row: &TopicRow,
    after: Position,
) -> Result<Option<Gap>, Failure> {
    if row.lost_seq <= after.0 {
        return Ok(None);
    }
    let next = "WHERE topic = ?1 AND last_seq > ?2 ORDER BY first_off LIMIT 1";
    let block = blocks(conn, next, params![row.id, at_most(after)])?.pop();
    let from_offset = match block.and_then(|block| block.first_after(after)) {
        Some(offset) => Some(offset),
        // Forgotten, but still there.
        None => first_after(conn, row, after)?.filter(|offset| *offset < row.first_off),
    };
    Ok(from_offset.map(|from_offset| Gap {
        topic: topic.clone(),
        from_offset,
        to_offset: row.first_off,
    }))
}

/// The offset of the first event after `after` among those of a topic that have rows.
///
/// Offsets are without holes and grow with positions, so that halving finds it.
fn first_after(conn: &Connection, row: &TopicRow, after: Position) -> Result<Option<u64>, Failure> {
    if row.gone_off == row.next_off || row.last_seq <= after.0 {
        return Ok(None);
    }
    let mut place = conn.prepare_cached("SELECT seq FROM events WHERE topic = ?1 AND off = ?2")?;
    let (mut low, mut high) = (row.gone_off, row.next_off - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let seq: u64 = place.query_row(params![row.id, middle], |row| row.get(0))?;
        if seq > after.0 { high = middle } else { low = middle + 1 }
    }
    Ok(Some(low))
}

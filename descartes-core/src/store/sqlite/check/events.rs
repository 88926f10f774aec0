//! Events: as they were written, readable, without holes, and with their payloads.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::{StoreReport, told};
use crate::event::EventKind;
use crate::store::format::decode_body;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::sums::{EVENTS, TOPICS};
use crate::store::sqlite::topics::TopicRow;
use crate::store::sqlite::{payload, rows, segment};

/// A topic, and how much of it was seen.
struct Followed {
    row: TopicRow,
    next: u64,
    bytes: u64,
    seg_end: u64,
}

pub(super) fn look(conn: &Connection, dir: &Path, report: &mut StoreReport) {
    let mut topics = topics(conn, report);
    let looked = (|| {
        let mut select = conn.prepare(&format!("{} ORDER BY seq", EVENTS.select()))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            one(row, dir, &mut topics, report)?;
        }
        Ok::<_, Failure>(())
    })();
    if let Err(failure) = looked {
        report.damage(EVENTS.name, told(&failure));
    }
    for topic in topics.values() {
        end(topic, dir, report);
    }
}

fn topics(conn: &Connection, report: &mut StoreReport) -> HashMap<i64, Followed> {
    let mut topics = HashMap::new();
    let looked = (|| {
        let mut select = conn.prepare(&format!("{} WHERE id > 0", TOPICS.select()))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            // One that is not as it was written has been told already.
            let Ok(row) = TopicRow::read(row) else { continue };
            report.topics += 1;
            let next = row.gone_off;
            topics.insert(row.id, Followed { row, next, bytes: 0, seg_end: 0 });
        }
        Ok::<_, rusqlite::Error>(())
    })();
    if let Err(error) = looked {
        report.damage(TOPICS.name, error.to_string());
    }
    topics
}

fn one(
    row: &Row<'_>,
    dir: &Path,
    topics: &mut HashMap<i64, Followed>,
    report: &mut StoreReport,
) -> Result<(), Failure> {
    let size = match trouble(row, dir) {
        Ok(size) => size,
        Err(what) => {
            report.damage(EVENTS.place(row), what);
            // Its topic and offset cannot be believed, so that it is missed there as well.
            return Ok(());
        }
    };
    let (id, off): (i64, u64) = (row.get(1)?, row.get(2)?);
    let Some(topic) = topics.get_mut(&id) else {
        report.damage(EVENTS.place(row), format!("its topic {id} is unknown"));
        return Ok(());
    };
    if off != topic.next {
        let what = format!("events {} to {off} are missing", topic.next);
        report.damage(format!("topic {}", topic.row.name), what);
    }
    topic.next = off + 1;
    if off >= topic.row.first_off {
        topic.bytes += size;
    }
    if let Some(place) = rows::place(row)? {
        report.payload_bytes += u64::from(place.len);
        if place.seg == topic.row.seg {
            topic.seg_end = topic.seg_end.max(place.end());
        }
    }
    report.events += 1;
    Ok(())
}

/// What is wrong with a row of `events` or its payload; else the bytes of both.
pub(in crate::store::sqlite) fn trouble(row: &Row<'_>, dir: &Path) -> Result<u64, String> {
    let failed = |error: rusqlite::Error| error.to_string();
    if !EVENTS.holds(row).map_err(failed)? {
        return Err("it is not as it was written".to_owned());
    }
    let kind: String = row.get(3).map_err(failed)?;
    let shape: u16 = row.get(6).map_err(failed)?;
    let body: Bytes = row.get::<_, Vec<u8>>(10).map_err(failed)?.into();
    decode_body(&EventKind::from_text(&kind), shape, &body).map_err(|error| error.to_string())?;
    let inline = row.get_ref(11).and_then(|cell| Ok(cell.as_blob_or_null()?)).map_err(failed)?;
    let mut size = (body.len() + inline.map_or(0, <[u8]>::len)) as u64;
    if let Some(place) = rows::place(row).map_err(|failure| told(&failure))? {
        payload::load(dir, &[Some(place)]).map_err(|failure| told(&failure))?;
        size += u64::from(place.len);
    }
    Ok(size)
}

/// What a topic counts is what there is.
fn end(topic: &Followed, dir: &Path, report: &mut StoreReport) {
    let Followed { row, next, bytes, seg_end } = topic;
    let place = format!("topic {}", row.name);
    if *next != row.next_off {
        let what = format!("events {next} to {} are missing", row.next_off);
        return report.damage(place, what);
    }
    if *bytes != row.bytes {
        report.damage(place.clone(), format!("it counts {} bytes of {bytes}", row.bytes));
    }
    if *seg_end > row.seg_end {
        report.damage(place, format!("segment {} goes on behind its end", row.seg));
        return;
    }
    let file = segment::path(dir, row.id, row.seg);
    let length = file.metadata().map_or(0, |meta| meta.len());
    if length < row.seg_end {
        let what = format!("it has {length} bytes of {}", row.seg_end);
        report.damage(format!("segment {} of topic {}", row.seg, row.name), what);
    }
}

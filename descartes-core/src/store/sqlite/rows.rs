//! Rows of `events` as events.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::failure::Failure;
use super::payload;
use super::reader::Readers;
use super::segment::Place;
use super::sums::EVENTS;
use crate::cursor::Position;
use crate::event::{Event, EventKind, NewEvent, Topic};
use crate::time::Timestamp;

/// What a page may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Payloads are left out.
    pub(super) bodies_only: bool,
}

/// The events of a page as they come together.
pub(super) struct PageRows {
    bounds: Bounds,
    bytes: usize,
    events: Vec<Event>,
    places: Vec<Option<Place>>,
    /// The last name seen: nearly all events of a page are of the same principal.
    by: Option<Arc<str>>,
    topics: HashMap<i64, Topic>,
}

impl PageRows {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes: 0,
            events: Vec::new(),
            places: Vec::new(),
            by: None,
            topics: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The topic of a row, remembered for the next ones.
    pub(super) fn topic(
        &mut self,
        readers: &Readers,
        conn: &Connection,
        id: i64,
    ) -> Result<Topic, Failure> {
        if let Some(topic) = self.topics.get(&id) {
            return Ok(topic.clone());
        }
        let topic = readers.names.of(conn, id)?;
        self.topics.insert(id, topic.clone());
        Ok(topic)
    }

    /// Adds the event of a row, unless the page is full: then `false`.
    pub(super) fn push(&mut self, row: &Row<'_>, topic: Topic) -> Result<bool, Failure> {
        EVENTS.verify(row)?;
        let body = row.get_ref(10)?.as_blob().map_err(rusqlite::Error::from)?;
        let inline = row.get_ref(11)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let mut inline = inline.unwrap_or_default();
        let mut place = place(row)?;
        if self.bounds.bodies_only {
            (inline, place) = (&[], None);
        }
        let size = body.len() + inline.len() + place.map_or(0, |place| place.len as usize);
        let room = self.events.len() < self.bounds.events && self.bytes + size <= self.bounds.bytes;
        if !room && !self.events.is_empty() {
            return Ok(false);
        }
        self.bytes += size;
        let kind = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
        let by = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
        let by = match &self.by {
            Some(last) if **last == *by => Arc::clone(last),
            _ => Arc::clone(self.by.insert(by.into())),
        };
        let event = NewEvent {
            topic,
            kind: EventKind::from_text(kind),
            by,
            at: Timestamp::from_millis(row.get(5)?),
            shape: row.get(6)?,
            body: Bytes::copy_from_slice(body),
            payload: Bytes::copy_from_slice(inline),
        };
        self.events.push(Event::placed(event, Position(row.get(0)?), row.get(2)?));
        self.places.push(place);
        Ok(true)
    }

    /// The events with all their payloads.
    pub(super) fn finish(mut self, readers: &Readers) -> Result<Vec<Event>, Failure> {
        if self.places.iter().any(Option::is_some) {
            let payloads = payload::load(&readers.dir, &self.places)?;
            for ((event, payload), place) in self.events.iter_mut().zip(payloads).zip(&self.places)
            {
                if place.is_some() {
                    event.payload = payload;
                }
            }
        }
        Ok(self.events)
    }
}

/// Where the payload of a row of `events` lies, when it is in a segment.
pub(super) fn place(row: &Row<'_>) -> Result<Option<Place>, Failure> {
    let Some(seg) = row.get::<_, Option<u64>>(7)? else { return Ok(None) };
    Ok(Some(Place { topic: row.get(1)?, seg, off: row.get(8)?, len: row.get(9)? }))
}

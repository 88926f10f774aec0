//! Pages of a log, by line, by row, from the end, or behind a cursor.

use std::sync::Arc;

use super::chunker::advance;
use super::rows::{LogRow, Rows};
use crate::cursor::{Cursor, Position};
use crate::event::{
    Event, EventBody, Extent, LOST_KIND, OutputChunk, StreamName, Topic, TopicFilter,
};
use crate::limits::{READ_PAGE_BYTES, READ_PAGE_EVENTS};
use crate::store::format::FormatError;
use crate::store::{EventQuery, Gap, StateStore, StoreError, TopicQuery, TopicState};

/// Which page of a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogQuery {
    /// Of this stream; of both, merged, when absent.
    pub stream: Option<StreamName>,
    /// From this line on (of both streams: from this row on); negative counts from the end.
    pub offset: Option<i64>,
    /// At most so many rows.
    pub limit: usize,
    /// Behind this place.
    pub after: Option<Cursor>,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { stream: None, offset: None, limit: 100, after: None }
    }
}

/// A page of a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogPage {
    /// The rows, in the order in which they ended.
    pub rows: Vec<LogRow>,
    /// Lines of the stream (rows of both) in all, trimmed ones included.
    pub total: u64,
    /// Behind this page: every byte before it was shown.
    pub cursor: Cursor,
    /// What is no longer kept of what was asked for.
    pub gap: Option<Gap>,
}

/// Reads one agent's log.
pub(crate) struct LogReader<'a> {
    pub(crate) store: &'a Arc<dyn StateStore>,
    pub(crate) topic: Topic,
    /// Nothing behind this is shown yet.
    pub(crate) head: Position,
}

/// Where to begin.
#[derive(Default)]
struct Start {
    offset: u64,
    /// Bytes of the first event that were shown before.
    begin: usize,
    skip: [u64; 2],
    /// Rows to drop, and lines below which rows are dropped.
    rows: u64,
    line: u64,
    gap: Option<Gap>,
}

impl LogReader<'_> {
    pub(crate) async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let identity = self.store.identity();
        let state = self.store.topics(&TopicFilter::Exact(self.topic.clone())).await?.pop();
        let Some(state) = state.filter(|state| state.next_offset > 0) else {
            let cursor = query.after.unwrap_or_else(|| identity.cursor(self.head));
            return Ok(LogPage { rows: Vec::new(), total: 0, cursor, gap: None });
        };
        let end = self.end_of(&state).await?;
        let total = count(&end, query.stream);
        let start = match (query.after, query.offset) {
            (Some(cursor), _) => self.start_after(&state, cursor).await?,
            (None, offset) => {
                let wanted = match offset.unwrap_or(0) {
                    line @ 0.. => line.unsigned_abs(),
                    back => total.saturating_sub(back.unsigned_abs()),
                };
                self.start_at(&state, wanted, query.stream).await?
            }
        };
        self.collect(query, start, total).await
    }

    async fn collect(
        &self,
        query: &LogQuery,
        start: Start,
        total: u64,
    ) -> Result<LogPage, StoreError> {
        let identity = self.store.identity();
        let cursor = query.after.unwrap_or_else(|| identity.cursor(Position::START));
        let mut page = LogPage { rows: Vec::new(), total, cursor, gap: start.gap };
        let mut rows = Rows::from(start.skip);
        let (mut next, mut begin, mut drop_rows) = (start.offset, start.begin, start.rows);
        let (mut bytes, mut full) = (0, false);
        'pages: loop {
            let events = self.read(next, READ_PAGE_EVENTS, false).await?;
            let Some(last) = events.last() else { break };
            next = last.offset + 1;
            for event in &events {
                if event.position > self.head {
                    break 'pages;
                }
                let Some(place) = chunk(event)? else {
                    // What was begun before it does not go on behind it.
                    rows.flush(|row| {
                        if row.line >= start.line && drop_rows == 0 {
                            page.rows.push(row);
                        }
                    });
                    page.cursor = identity.cursor(event.position);
                    begin = 0;
                    continue;
                };
                let wanted = query.stream.is_none_or(|stream| stream == place.stream);
                let length = event.payload.len();
                let taken = if wanted {
                    rows.take(&place, (event.at, &event.payload), begin, |row| {
                        if row.line < start.line || drop_rows > 0 {
                            drop_rows = drop_rows.saturating_sub(u64::from(row.line >= start.line));
                            return true;
                        }
                        bytes += row.bytes.len();
                        page.rows.push(row);
                        full = page.rows.len() >= query.limit || bytes >= READ_PAGE_BYTES;
                        !full
                    })
                } else {
                    length
                };
                begin = 0;
                page.cursor = identity.cursor(event.position);
                if taken < length {
                    page.cursor.byte = u32::try_from(taken).unwrap_or(u32::MAX);
                }
                if full {
                    break 'pages;
                }
            }
        }
        // The cursor says that every byte before it was shown, so what is begun is shown too.
        rows.flush(|row| {
            if row.line >= start.line && drop_rows == 0 {
                page.rows.push(row);
            }
        });
        if !full && page.cursor.read_whole() < self.head && page.cursor.byte == 0 {
            page.cursor = identity.cursor(self.head);
        }
        Ok(page)
    }

    /// Behind a cursor.
    async fn start_after(&self, state: &TopicState, cursor: Cursor) -> Result<Start, StoreError> {
        let query = EventQuery {
            topics: vec![TopicFilter::Exact(self.topic.clone())],
            after: cursor.read_whole(),
            max_events: 1,
            max_bytes: 1,
        };
        let mut after = query;
        loop {
            let page = self.store.read(&after).await?;
            let gap = page.gaps.into_iter().next();
            if let Some(event) = page.events.first() {
                let inside = event.position == cursor.position;
                let begin = if inside { cursor.byte as usize } else { 0 };
                let begin = begin.min(event.payload.len());
                return Ok(Start { offset: event.offset, begin, gap, ..Start::default() });
            }
            if page.next >= page.head {
                return Ok(Start { offset: state.next_offset, gap, ..Start::default() });
            }
            after.after = page.next;
        }
    }

    /// At a line of one stream, or a row of both.
    async fn start_at(
        &self,
        state: &TopicState,
        wanted: u64,
        stream: Option<StreamName>,
    ) -> Result<Start, StoreError> {
        let counted = |extent: &Extent| match stream {
            Some(stream) => extent.of(stream).lines,
            None => extent.rows,
        };
        // A line begins behind a newline: in the last event before which there are fewer. A row
        // is known by how many were finished before it.
        let before = |chunk: &OutputChunk| match stream {
            Some(_) => counted(&chunk.before) < wanted,
            None => counted(&chunk.before) <= wanted,
        };
        let (offset, place) = self.last_where(state, before).await?;
        let lost = state.first_offset > 0
            && counted(&place.before) >= wanted
            && offset == state.first_offset;
        let gap = lost.then(|| Gap {
            topic: self.topic.clone(),
            from_offset: 0,
            to_offset: state.first_offset,
        });
        let mut start = Start { offset, gap, ..Start::default() };
        if stream.is_some() {
            start.line = wanted;
            return Ok(start);
        }
        start.rows = wanted.saturating_sub(place.before.rows);
        for stream in StreamName::ALL {
            let count = place.before.of(stream);
            let row_began = count.bytes.saturating_sub(u64::from(count.row_bytes));
            start.skip[stream as usize] = row_began;
            if count.row_bytes > 0 {
                let holds = |chunk: &OutputChunk| chunk.before.of(stream).bytes <= row_began;
                let (earlier, _) = self.last_where(state, holds).await?;
                start.offset = start.offset.min(earlier);
            }
        }
        Ok(start)
    }

    /// The last kept event for which `holds`, which it does for a beginning of them; the first
    /// when it does for none.
    async fn last_where(
        &self,
        state: &TopicState,
        holds: impl Fn(&OutputChunk) -> bool,
    ) -> Result<(u64, OutputChunk), StoreError> {
        let (mut low, mut high) = (state.first_offset, state.next_offset);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_from(middle).await? {
                Some((offset, place)) if offset < high && holds(&place) => {
                    found = Some((offset, place));
                    low = offset + 1;
                }
                _ => high = middle,
            }
        }
        match found {
            Some(found) => Ok(found),
            None => {
                let nothing = OutputChunk::new(StreamName::Stdout, 1, Extent::default());
                let first = self.first_from(state.first_offset).await?;
                Ok((state.first_offset, first.map_or(nothing, |(_, place)| place)))
            }
        }
    }

    /// The first output at `offset` or behind it: what a repair could not keep is passed over.
    async fn first_from(&self, mut offset: u64) -> Result<Option<(u64, OutputChunk)>, StoreError> {
        loop {
            let events = self.read(offset, 1, true).await?;
            let Some(event) = events.first() else { return Ok(None) };
            if let Some(place) = chunk(event)? {
                return Ok(Some((event.offset, place)));
            }
            offset = event.offset + 1;
        }
    }

    /// How much was written in all.
    async fn end_of(&self, state: &TopicState) -> Result<Extent, StoreError> {
        for last in (state.first_offset..state.next_offset).rev() {
            let events = self.read(last, 1, false).await?;
            let Some(event) = events.first() else { break };
            let Some(place) = chunk(event)? else { continue };
            let mut extent = place.before;
            extent.rows += advance(extent.of_mut(place.stream), &event.payload);
            return Ok(extent);
        }
        Ok(Extent::default())
    }

    async fn read(
        &self,
        from: u64,
        max_events: usize,
        bodies_only: bool,
    ) -> Result<Vec<Event>, StoreError> {
        let topic = self.topic.clone();
        let max_bytes = READ_PAGE_BYTES;
        let query = TopicQuery { topic, from, max_events, max_bytes, bodies_only };
        self.store.read_topic(&query).await
    }
}

/// Where the output of `event` stands; none where a repair of the store could not keep it.
pub(crate) fn chunk(event: &Event) -> Result<Option<OutputChunk>, StoreError> {
    match event.decode() {
        Ok(EventBody::AgentOutput(chunk)) => Ok(Some(chunk)),
        Ok(EventBody::Other(kind, _)) if kind.as_str() == LOST_KIND => Ok(None),
        Ok(_) => Err(damaged(&"another kind of event in a topic of output")),
        Err(error) => Err(damaged::<FormatError>(&error)),
    }
}

fn damaged<E: std::fmt::Display + ?Sized>(what: &E) -> StoreError {
    StoreError::Corrupt { what: what.to_string().into() }
}

/// Lines of one stream, or rows of both; an unfinished one counts.
fn count(end: &Extent, stream: Option<StreamName>) -> u64 {
    let begun = |stream| u64::from(end.of(stream).row_bytes > 0);
    match stream {
        Some(stream) => end.of(stream).lines + begun(stream),
        None => end.rows + begun(StreamName::Stdout) + begun(StreamName::Stderr),
    }
}

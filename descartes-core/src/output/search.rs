//! Searching the whole kept output of an agent by a regular expression, line by line.
//!
//! A block is searched as a whole and a hit is looked at again as a line by itself, so that the
//! speed is that of the expression and not that of cutting lines. Blocks are read while others
//! are searched.

use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};

use super::logs::chunk;
use crate::event::{OutputChunk, StreamName, Topic};
use crate::limits::{LOG_ROW_BYTES, SEARCH_LINE_BYTES, SEARCH_PAGE_BYTES, SEARCH_REGEX_BYTES};
use crate::store::{StateStore, StoreError, TopicQuery};
use crate::time::Timestamp;

/// What to search.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutputSearch {
    /// In this stream; in both when absent.
    pub stream: Option<StreamName>,
    /// Lines in which this regular expression matches; every line when absent.
    pub filter: Option<String>,
    /// At most so many lines.
    pub limit: usize,
    /// After so many that match.
    pub offset: u64,
}

impl Default for OutputSearch {
    fn default() -> Self {
        Self { stream: None, filter: None, limit: 100, offset: 0 }
    }
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchMatch {
    /// Its number in its stream, from 0.
    pub line: u64,
    /// Which stream.
    pub stream: StreamName,
    /// When its end was seen.
    pub at: Timestamp,
    /// Its bytes, without the newline; of a long line the beginning.
    pub bytes: Bytes,
}

/// What was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SearchPage {
    /// The lines of this page.
    pub matches: Vec<SearchMatch>,
    /// How many lines match in all.
    pub total: u64,
    /// Whether some of them are behind this page.
    pub has_more: bool,
}

/// Compiles a filter; it works in linear time whatever it is.
pub(crate) fn compile(filter: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(filter).multi_line(true).size_limit(SEARCH_REGEX_BYTES).build()
}

/// Searches `topic`.
pub(crate) async fn search(
    store: &Arc<dyn StateStore>,
    topic: Topic,
    (query, regex): (OutputSearch, Option<Regex>),
) -> Result<SearchPage, StoreError> {
    let mut searcher = Searcher::new(query, regex);
    let mut read = TopicQuery {
        topic,
        from: 0,
        max_events: usize::MAX,
        max_bytes: SEARCH_PAGE_BYTES,
        bodies_only: false,
    };
    let mut events = store.read_topic(&read).await?;
    while let Some(last) = events.last() {
        read.from = last.offset + 1;
        let work = tokio::task::spawn_blocking(move || {
            for event in &events {
                match chunk(event)? {
                    Some(place) => searcher.take(&place, event.at, &event.payload),
                    // What was begun before it does not go on behind it.
                    None => searcher.end_all(),
                }
            }
            Ok::<_, StoreError>(searcher)
        });
        let (next, done) = tokio::join!(store.read_topic(&read), work);
        searcher = done.map_err(|error| StoreError::Unavailable {
            what: format!("a search ended unexpectedly: {error}").into(),
        })??;
        events = next?;
    }
    Ok(searcher.finish())
}

/// The state of a search between two blocks; pure.
struct Searcher {
    query: OutputSearch,
    regex: Option<Regex>,
    /// Anchors of the whole text mean something else in a block than in a line.
    line_by_line: bool,
    begun: [Begun; 2],
    page: SearchPage,
    bytes: usize,
}

/// A line whose end is not there yet.
#[derive(Default)]
struct Begun {
    bytes: Vec<u8>,
    /// A piece of it that did not fit has matched.
    matched: bool,
    line: u64,
    at: Timestamp,
}

impl Searcher {
    fn new(query: OutputSearch, regex: Option<Regex>) -> Self {
        let anchored = |regex: &Regex| {
            [r"\A", r"\z", "(?-m", "(?s", "(?R"].iter().any(|text| regex.as_str().contains(text))
        };
        let line_by_line = regex.as_ref().is_some_and(anchored);
        let (begun, page) = (Default::default(), SearchPage::default());
        Self { query, regex, line_by_line, begun, page, bytes: 0 }
    }

    fn take(&mut self, place: &OutputChunk, at: Timestamp, bytes: &Bytes) {
        if self.query.stream.is_some_and(|stream| stream != place.stream) {
            return;
        }
        let stream = place.stream;
        let mut line = place.first_line();
        let mut rest = &bytes[..];
        let begun = &mut self.begun[stream as usize];
        if !begun.bytes.is_empty() || begun.matched {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return self.keep(stream, (line, at), rest);
            };
            self.keep(stream, (line, at), &rest[..end]);
            self.end_begun(stream);
            rest = &rest[end + 1..];
            line += 1;
        }
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1);
        let (block, tail) = rest.split_at(whole);
        if !block.is_empty() {
            self.search_block(stream, (line, at), block);
        }
        if !tail.is_empty() {
            let line = place.first_line() + place.lines;
            self.keep(stream, (line, at), tail);
        }
    }

    /// Keeps the beginning of a line. One that is too long is searched in pieces.
    fn keep(&mut self, stream: StreamName, (line, at): (u64, Timestamp), bytes: &[u8]) {
        let begun = &mut self.begun[stream as usize];
        (begun.line, begun.at) = (line, at);
        if begun.bytes.len() + bytes.len() > SEARCH_LINE_BYTES {
            begun.matched |= self.regex.as_ref().is_none_or(|regex| regex.is_match(&begun.bytes));
            begun.bytes.clear();
        }
        begun.bytes.extend_from_slice(bytes);
    }

    /// Ends the lines that have no end yet.
    fn end_all(&mut self) {
        for stream in StreamName::ALL {
            let begun = &self.begun[stream as usize];
            if !begun.bytes.is_empty() || begun.matched {
                self.end_begun(stream);
            }
        }
    }

    fn end_begun(&mut self, stream: StreamName) {
        let Begun { bytes, matched, line, at } = std::mem::take(&mut self.begun[stream as usize]);
        let matches = self.regex.as_ref().is_none_or(|regex| regex.is_match(&bytes));
        if matched || matches {
            self.found((stream, line, at), &bytes);
        }
    }

    /// Searches whole lines.
    fn search_block(&mut self, stream: StreamName, (mut line, at): (u64, Timestamp), block: &[u8]) {
        let Some(regex) = self.regex.clone().filter(|_| !self.line_by_line) else {
            return self.search_lines(stream, (line, at), block);
        };
        // Lines are only counted up to hits that are shown.
        let (mut counted, mut next) = (0, 0);
        while let Some(hit) = regex.find_at(block, next) {
            // An empty match behind the last newline belongs to no line.
            if hit.start() >= block.len() {
                break;
            }
            let begin = memchr::memrchr(b'\n', &block[..hit.start()]).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', &block[hit.start()..])
                .map_or(block.len(), |end| hit.start() + end);
            let within = hit.end() <= end || regex.is_match(&block[begin..end]);
            if within {
                if self.shows() {
                    let newlines = memchr::memchr_iter(b'\n', &block[counted..begin]).count();
                    line += newlines as u64;
                    counted = begin;
                }
                self.found((stream, line, at), &block[begin..end]);
            }
            next = end + 1;
            if next >= block.len() {
                break;
            }
        }
    }

    fn search_lines(&mut self, stream: StreamName, (line, at): (u64, Timestamp), block: &[u8]) {
        let mut begin = 0;
        for (end, line) in memchr::memchr_iter(b'\n', block).zip(line..) {
            let text = &block[begin..end];
            begin = end + 1;
            if self.regex.as_ref().is_none_or(|regex| regex.is_match(text)) {
                self.found((stream, line, at), text);
            }
        }
    }

    /// Whether the next match belongs to the page.
    fn shows(&self) -> bool {
        self.page.total >= self.query.offset && !self.page.has_more
    }

    fn found(&mut self, (stream, line, at): (StreamName, u64, Timestamp), bytes: &[u8]) {
        if self.shows() {
            let full = self.page.matches.len() >= self.query.limit
                || (self.bytes >= SEARCH_PAGE_BYTES / 4 && !self.page.matches.is_empty());
            if full {
                self.page.has_more = true;
            } else {
                let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(LOG_ROW_BYTES)]);
                self.bytes += bytes.len();
                self.page.matches.push(SearchMatch { line, stream, at, bytes });
            }
        }
        self.page.total += 1;
    }

    fn finish(mut self) -> SearchPage {
        self.end_all();
        self.page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Extent;
    use crate::output::{Chunker, advance};

    fn found(pieces: &[Vec<u8>], filter: &str, limit: usize, offset: u64) -> SearchPage {
        let query = OutputSearch { limit, offset, ..OutputSearch::default() };
        let mut searcher = Searcher::new(query, Some(compile(filter).expect("an expression")));
        let mut chunker = Chunker::default();
        let mut extent = Extent::default();
        let mut chunks = Vec::new();
        for piece in pieces {
            chunker.push(piece, |chunk| chunks.push(chunk));
            chunks.extend(chunker.flush());
        }
        for chunk in chunks {
            let mut place = OutputChunk::new(StreamName::Stdout, 1, extent);
            place.lines = chunk.lines;
            advance(&mut extent.stdout, &chunk.bytes);
            searcher.take(&place, Timestamp::default(), &chunk.bytes);
        }
        searcher.finish()
    }

    fn expected(bytes: &[u8], filter: &str) -> Vec<(u64, Vec<u8>)> {
        let regex = compile(filter).expect("an expression");
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        let numbered = (0..).zip(lines).filter(|(_, line)| regex.is_match(line));
        numbered.map(|(number, line)| (number, line.to_vec())).collect()
    }

    proptest! {
        #[test]
        fn a_block_search_finds_what_a_search_line_by_line_finds(
            pieces in proptest::collection::vec("[abc\n]{0,30}", 0..12),
            filter in prop_oneof![
                Just("a"), Just("^b"), Just("c$"), Just(""), Just("^$"), Just("a\\s*b"),
                Just("[^a]c"), Just("\\Aab"), Just("c\\z"), Just("(?s).a"), Just("b+|ca")],
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(String::into_bytes).collect();
            let page = found(&pieces, filter, 10_000, 0);
            let lines: Vec<_> =
                page.matches.iter().map(|found| (found.line, found.bytes.to_vec())).collect();
            let expected = expected(&pieces.concat(), filter);
            prop_assert_eq!(page.total, expected.len() as u64);
            prop_assert_eq!(lines, expected);
        }
    }

    #[test]
    fn a_page_is_a_window_of_the_matches_and_knows_how_many_there_are() {
        let text = (0..100).map(|n| format!("line {n}\n")).collect::<String>().into_bytes();
        let page = found(&[text], "line .*5", 3, 2);
        let lines: Vec<_> = page.matches.iter().map(|found| found.line).collect();
        assert_eq!((lines, page.total, page.has_more), (vec![25, 35, 45], 19, true));
    }
}

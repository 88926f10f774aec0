//! Rows of a log, from the blocks it was journalled in; without I/O.

use bytes::Bytes;

use super::chunker::advance;
use crate::event::{OutputChunk, StreamCount, StreamName};
use crate::limits::LOG_ROW_BYTES;
use crate::time::Timestamp;

/// One row: a line, or a piece of a long or unfinished one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRow {
    /// The number of its line in its stream, from 0.
    pub line: u64,
    /// Which stream.
    pub stream: StreamName,
    /// When its first byte was seen.
    pub at: Timestamp,
    /// The exact bytes, without the newline.
    pub bytes: Bytes,
    /// No newline follows here: the line goes on, or ended without one.
    pub partial: bool,
}

/// Puts rows together. Bytes before `skip` of each stream are counted but not shown.
#[derive(Debug, Default)]
pub(super) struct Rows {
    streams: [Row; 2],
    skip: [u64; 2],
}

#[derive(Debug, Default)]
struct Row {
    count: StreamCount,
    begun: Vec<u8>,
    at: Timestamp,
    known: bool,
}

impl Rows {
    pub(super) fn from(skip: [u64; 2]) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Takes the bytes of `chunk` from `begin` on until `emit` says that it has enough; returns
    /// how many bytes of the chunk were taken by then.
    pub(super) fn take(
        &mut self,
        chunk: &OutputChunk,
        (at, bytes): (Timestamp, &Bytes),
        begin: usize,
        mut emit: impl FnMut(LogRow) -> bool,
    ) -> usize {
        let stream = chunk.stream;
        let row = &mut self.streams[stream as usize];
        if !row.known || begin > 0 {
            row.known = true;
            row.count = *chunk.before.of(stream);
            advance(&mut row.count, &bytes[..begin]);
        }
        let skip = self.skip[stream as usize].saturating_sub(row.count.bytes);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len() - begin);
        advance(&mut row.count, &bytes[begin..begin + skip]);
        let mut next = begin + skip;
        while next < bytes.len() {
            let room = LOG_ROW_BYTES - row.count.row_bytes as usize;
            let piece = &bytes[next..bytes.len().min(next + room)];
            let newline = memchr::memchr(b'\n', piece);
            let end = newline.map_or(next + piece.len(), |end| next + end);
            let line = row.count.lines;
            if row.begun.is_empty() {
                row.at = at;
            }
            let whole = row.begun.is_empty();
            let text = bytes.slice(next..end);
            let taken = end + usize::from(newline.is_some());
            advance(&mut row.count, &bytes[next..taken]);
            next = taken;
            // A row that fills the bound ends there, and its newline ends an empty one.
            let full = newline.is_none() && row.count.row_bytes == 0;
            if newline.is_none() && !full {
                row.begun.extend_from_slice(&text);
                break;
            }
            let text = if whole { text } else { row.finish(&text) };
            let (at, partial) = (row.at, newline.is_none());
            if !emit(LogRow { line, stream, at, bytes: text, partial }) {
                break;
            }
        }
        next
    }

    /// Gives up what has no end yet.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(LogRow)) {
        for stream in StreamName::ALL {
            let row = &mut self.streams[stream as usize];
            if !row.begun.is_empty() {
                let (line, at) = (row.count.lines, row.at);
                let bytes = row.finish(&Bytes::new());
                emit(LogRow { line, stream, at, bytes, partial: true });
            }
        }
    }
}

impl Row {
    fn finish(&mut self, more: &Bytes) -> Bytes {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(more);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::{Chunker, log_rows};

    /// The rows of `bytes`, journalled as a chunker cuts them in `pieces`.
    fn rows(pieces: &[Vec<u8>]) -> Vec<LogRow> {
        let mut chunker = Chunker::default();
        let mut chunks = Vec::new();
        for piece in pieces {
            chunker.push(piece, |chunk| chunks.push(chunk));
            chunks.extend(chunker.flush());
        }
        log_rows(&chunks)
    }

    fn joined(rows: &[LogRow]) -> Vec<u8> {
        let mut all = Vec::new();
        for row in rows {
            all.extend_from_slice(&row.bytes);
            if !row.partial {
                all.push(b'\n');
            }
        }
        all
    }

    #[test]
    fn a_long_line_is_several_rows_of_one_number() {
        let line = vec![b'x'; 2 * LOG_ROW_BYTES + 5];
        let all = rows(&[line, b"\nnext\n".to_vec()]);
        let shapes: Vec<_> =
            all.iter().map(|row| (row.line, row.bytes.len(), row.partial)).collect();
        let full = LOG_ROW_BYTES;
        assert_eq!(shapes, [(0, full, true), (0, full, true), (0, 5, false), (1, 4, false)]);
    }

    #[test]
    fn a_line_of_exactly_the_bound_ends_with_an_empty_row() {
        let all = rows(&[vec![b'x'; LOG_ROW_BYTES], b"\n".to_vec()]);
        let shapes: Vec<_> = all.iter().map(|row| (row.bytes.len(), row.partial)).collect();
        assert_eq!(shapes, [(LOG_ROW_BYTES, true), (0, false)]);
    }

    proptest! {
        #[test]
        fn rows_give_back_every_byte_and_number_every_line(
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..200),
                0..20),
        ) {
            let all = rows(&pieces);
            let bytes = pieces.concat();
            prop_assert_eq!(joined(&all), &bytes[..]);
            let mut newlines = 0;
            for row in &all {
                prop_assert_eq!(row.line, newlines);
                newlines += u64::from(!row.partial);
            }
        }
    }
}

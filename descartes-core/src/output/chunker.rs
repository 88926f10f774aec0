//! Cuts what a stream wrote into blocks, without I/O.

use bytes::{Bytes, BytesMut};

use crate::event::StreamCount;
use crate::limits::{LOG_ROW_BYTES, OUTPUT_CHUNK_BYTES};

/// One block of output, as it will be journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk {
    /// The exact bytes.
    pub bytes: Bytes,
    /// Newlines inside.
    pub lines: u64,
    /// Whether the last line goes on.
    pub partial: bool,
}

impl Chunk {
    fn new(bytes: Bytes) -> Self {
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let partial = bytes.last().is_some_and(|last| *last != b'\n');
        Self { bytes, lines, partial }
    }
}

/// Cuts one stream into chunks of at most [`OUTPUT_CHUNK_BYTES`], at the last newline of what is
/// there.
///
/// What is behind that newline waits for its end; the owner of the clock calls
/// [`flush`](Self::flush) when it has waited long enough.
#[derive(Debug, Default)]
pub struct Chunker {
    tail: BytesMut,
}

impl Chunker {
    /// Takes `bytes` and gives the chunks that are due to `emit`.
    pub fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Chunk)) {
        while !bytes.is_empty() {
            let room = OUTPUT_CHUNK_BYTES - self.tail.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            bytes = later;
            let whole_lines = memchr::memrchr(b'\n', now).map(|end| end + 1);
            let full = self.tail.len() + now.len() == OUTPUT_CHUNK_BYTES;
            match whole_lines {
                Some(end) => {
                    emit(self.take_with(&now[..end]));
                    self.tail.extend_from_slice(&now[end..]);
                }
                None if full => {
                    self.tail.extend_from_slice(now);
                    emit(self.take_at_character());
                }
                None => self.tail.extend_from_slice(now),
            }
        }
    }

    /// Gives up what waits for the end of its line.
    pub fn flush(&mut self) -> Option<Chunk> {
        if self.tail.is_empty() { None } else { Some(self.take_with(&[])) }
    }

    /// Bytes that wait for the end of their line.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tail.len()
    }

    fn take_with(&mut self, more: &[u8]) -> Chunk {
        if self.tail.is_empty() {
            return Chunk::new(Bytes::copy_from_slice(more));
        }
        let mut bytes = std::mem::take(&mut self.tail);
        bytes.extend_from_slice(more);
        Chunk::new(bytes.freeze())
    }

    /// Takes all but the beginning of a character that is not complete, where there is one.
    fn take_at_character(&mut self) -> Chunk {
        let keep = unfinished_character(&self.tail);
        let rest = self.tail.split_off(self.tail.len() - keep);
        let bytes = std::mem::replace(&mut self.tail, BytesMut::from(&rest[..]));
        Chunk::new(bytes.freeze())
    }
}

/// How many bytes at the end begin a UTF-8 character that goes on behind them.
fn unfinished_character(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let needs = match byte {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return 0,
        };
        return if needs > back { back } else { 0 };
    }
    0
}

/// Counts `bytes` into `count` and returns how many rows they finished.
///
/// A row ends at a newline or at [`LOG_ROW_BYTES`].
pub(crate) fn advance(count: &mut StreamCount, bytes: &[u8]) -> u64 {
    let mut rows = 0;
    let mut row = count.row_bytes as usize;
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        let length = row + (end - begin);
        // A line of exactly the bound is a full row, and its newline ends an empty one.
        rows += (length / LOG_ROW_BYTES) as u64 + 1;
        count.lines += 1;
        row = 0;
        begin = end + 1;
    }
    let length = row + (bytes.len() - begin);
    rows += (length / LOG_ROW_BYTES) as u64;
    count.row_bytes = u32::try_from(length % LOG_ROW_BYTES).unwrap_or(0);
    count.bytes += bytes.len() as u64;
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(pieces: &[&[u8]]) -> Vec<Chunk> {
        let mut chunker = Chunker::default();
        let mut all = Vec::new();
        for piece in pieces {
            chunker.push(piece, |chunk| all.push(chunk));
        }
        all.extend(chunker.flush());
        all
    }

    #[test]
    fn a_block_is_cut_at_its_last_newline_and_the_rest_waits() {
        let all = chunks(&[b"one\ntwo\nthr", b"ee\n"]);
        let texts: Vec<&[u8]> = all.iter().map(|chunk| &chunk.bytes[..]).collect();
        assert_eq!(texts, [&b"one\ntwo\n"[..], b"three\n"]);
        assert_eq!(all.iter().map(|chunk| chunk.lines).collect::<Vec<_>>(), [2, 1]);
        assert!(all.iter().all(|chunk| !chunk.partial));
    }

    #[test]
    fn a_line_without_end_is_cut_at_the_bound_but_not_inside_a_character() {
        let line = "ä".repeat(OUTPUT_CHUNK_BYTES);
        let shifted = [b"x", line.as_bytes()].concat();
        let all = chunks(&[&shifted]);
        assert!(all.iter().all(|chunk| chunk.bytes.len() <= OUTPUT_CHUNK_BYTES));
        assert!(all.iter().all(|chunk| std::str::from_utf8(&chunk.bytes).is_ok()));
        assert!(all.iter().all(|chunk| chunk.partial));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_added_or_moved(
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), 0..40),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
            let all = chunks(&pieces);
            let joined: Vec<u8> = all.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
            prop_assert_eq!(joined, pieces.concat());
        }

        #[test]
        fn counting_in_pieces_is_counting_the_whole(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(b'a'), 1 => Just(b'\n')], 0..400),
            cut in 0usize..400,
            begun in prop_oneof![Just(0u32), 65_300u32..65_536],
        ) {
            let cut = cut.min(bytes.len());
            let start = StreamCount { row_bytes: begun, ..StreamCount::default() };
            let (mut whole, mut parts) = (start, start);
            let rows = advance(&mut whole, &bytes);
            let in_parts = advance(&mut parts, &bytes[..cut]) + advance(&mut parts, &bytes[cut..]);
            prop_assert_eq!((rows, whole), (in_parts, parts));
        }
    }
}

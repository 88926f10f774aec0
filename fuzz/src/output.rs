//! The output pump's splitter, and the rows that are made of its chunks: nothing is lost, added,
//! moved or miscounted, however a program writes.

use std::io::BufRead;

use descartes_core::limits::{LOG_ROW_BYTES, OUTPUT_CHUNK_BYTES};
use descartes_core::output::{Chunk, Chunker};
use descartes_core::testing::log_rows;

use crate::input::{Cuts, Input};

pub(crate) const WORDS: &[&str] =
    &["\n", "\r\n", "\n\n", "ä", "€", "🦀", "\u{0}", "\u{7f}", "text\n"];

/// A few chunks.
const MOST: usize = 2 * OUTPUT_CHUNK_BYTES + 1000;

/// A chunk, and whether it was given up by a flush.
struct Cut {
    chunk: Chunk,
    flushed: bool,
}

/// Byte 0 and 1 are how a program's writes are cut, byte 2 how often its lines wait too long; the
/// rest is written.
pub fn output(data: &[u8]) {
    let mut input = Input::new(data);
    let (seed, width, patience) = (input.byte(), input.byte(), input.byte());
    let written = input.expanded(MOST);
    let width = if width < 128 { usize::from(width) + 1 } else { usize::from(width) * 520 };
    let mut cuts = split(&written, Cuts::new(seed, width), patience);
    chunks_are_the_stream(&written, &cuts);
    let chunks: Vec<Chunk> = cuts.drain(..).map(|cut| cut.chunk).collect();
    rows_are_the_lines(&written, &chunks);
}

fn split(written: &[u8], mut pieces: Cuts, patience: u8) -> Vec<Cut> {
    let (mut chunker, mut all, mut rest) = (Chunker::default(), Vec::new(), written);
    while let Some(piece) = pieces.piece(&mut rest) {
        chunker.push(piece, |chunk| all.push(Cut { chunk, flushed: false }));
        assert!(chunker.waiting() < OUTPUT_CHUNK_BYTES, "a whole chunk waits");
        if patience > 0 && pieces.next().is_multiple_of(u64::from(patience)) {
            flush(&mut chunker, &mut all);
        }
    }
    flush(&mut chunker, &mut all);
    assert!(chunker.flush().is_none(), "nothing is left after a flush");
    all
}

fn flush(chunker: &mut Chunker, all: &mut Vec<Cut>) {
    let waiting = chunker.waiting();
    let chunk = chunker.flush();
    assert_eq!(chunk.as_ref().map_or(0, |chunk| chunk.bytes.len()), waiting, "what waits");
    all.extend(chunk.map(|chunk| Cut { chunk, flushed: true }));
    assert_eq!(chunker.waiting(), 0, "a flush leaves nothing");
}

fn chunks_are_the_stream(written: &[u8], cuts: &[Cut]) {
    let mut at = 0;
    for Cut { chunk, flushed } in cuts {
        let length = chunk.bytes.len();
        assert!((1..=OUTPUT_CHUNK_BYTES).contains(&length), "a chunk of {length} bytes");
        let end = at + length;
        assert!(written.get(at..end) == Some(&chunk.bytes[..]), "bytes {at} to {end} differ");
        let newlines = length - lines(&chunk.bytes).map(|line| line.len()).sum::<usize>();
        assert_eq!(chunk.lines, newlines as u64, "newlines in {at}..{end}");
        assert_eq!(chunk.partial, chunk.bytes.last() != Some(&b'\n'), "partial in {at}..{end}");
        if chunk.partial && !flushed {
            // Only a line that fills a chunk is cut, and not inside a character.
            assert_eq!(newlines, 0, "a line is cut before its chunk is full");
            assert!(length > OUTPUT_CHUNK_BYTES - 4, "a line is cut at {length} bytes");
            assert!(!inside_a_character(written, end), "a character is cut at byte {end}");
        }
        at = end;
    }
    assert_eq!(at, written.len(), "bytes are missing");
}

/// Whether a character of UTF-8 stands around `at`, by trying every place where it could begin.
fn inside_a_character(bytes: &[u8], at: usize) -> bool {
    (1..4).filter_map(|back| at.checked_sub(back)).any(|begin| {
        (at - begin + 1..=4)
            .filter_map(|length| bytes.get(begin..begin + length))
            .any(|piece| std::str::from_utf8(piece).is_ok_and(|text| text.chars().count() == 1))
    })
}

/// The lines without their newlines, by the standard library: not what the product uses, and not
/// slowed down by the measurement of coverage.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    BufRead::split(bytes, b'\n').map(|line| line.expect("memory does not fail"))
}

fn rows_are_the_lines(written: &[u8], chunks: &[Chunk]) {
    let rows = log_rows(chunks);
    let mut expected: Vec<(u64, Vec<u8>, bool)> = Vec::new();
    let mut lines = lines(written).zip(0_u64..).peekable();
    while let Some((mut line, number)) = lines.next() {
        while line.len() >= LOG_ROW_BYTES {
            let rest = line.split_off(LOG_ROW_BYTES);
            expected.push((number, line, true));
            line = rest;
        }
        // The last piece may have no newline behind it; where it is empty then, there is none.
        let goes_on = lines.peek().is_none() && !written.ends_with(b"\n");
        if !goes_on || !line.is_empty() {
            expected.push((number, line, goes_on));
        }
    }
    assert_eq!(rows.len(), expected.len(), "rows");
    for (row, (line, bytes, partial)) in rows.iter().zip(expected) {
        assert_eq!(row.line, line, "the number of a line");
        assert!(row.bytes[..] == bytes[..], "the bytes of line {line}");
        assert_eq!(row.partial, partial, "whether line {line} goes on");
    }
}

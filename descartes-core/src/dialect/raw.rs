//! What a program said that its dialect does not understand, and what it complained about.

use std::sync::Arc;

use crate::event::{ChunkBody, StreamChunk};
use crate::limits;

/// The chunk for a line that is not understood, cut to [`limits::RAW_CHUNK_BYTES`].
pub(super) fn raw(turn: u32, line: &[u8]) -> StreamChunk {
    let shown = &line[..line.len().min(limits::RAW_CHUNK_BYTES)];
    StreamChunk::new(turn, ChunkBody::Raw { line: String::from_utf8_lossy(shown).into() })
}

/// The beginning of `text`, of at most `bytes` bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The chunk for a line of `bytes` bytes that was too long to be read.
pub(super) fn oversize(turn: u32, bytes: u64) -> StreamChunk {
    StreamChunk::new(turn, ChunkBody::Oversize { bytes, cursor: None })
}

/// The last lines of standard error, which are the reason when a program ends without one.
#[derive(Clone, Debug, Default)]
pub(super) struct StderrTail(String);

impl StderrTail {
    /// Takes a line (without its newline).
    pub(super) fn push(&mut self, line: &[u8]) {
        // Only the end of a line that is longer than all that is kept.
        let line = &line[line.len().saturating_sub(limits::STDERR_TAIL_BYTES)..];
        let line = uncoloured(&String::from_utf8_lossy(line));
        if line.trim().is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(line.trim_end());
        let surplus = self.0.len().saturating_sub(limits::STDERR_TAIL_BYTES);
        let begin = (surplus..=self.0.len()).find(|at| self.0.is_char_boundary(*at));
        self.0.drain(..begin.unwrap_or(0));
    }

    /// What was said, unless that is nothing.
    pub(super) fn text(&self) -> Option<Arc<str>> {
        (!self.0.is_empty()).then(|| self.0.as_str().into())
    }
}

/// `line` without the sequences that colour it (ECMA-48, section 5.4).
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| matches!(letter, '@'..='~'));
        text.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_standard_error_is_bounded_and_keeps_its_end() {
        let mut tail = StderrTail::default();
        assert_eq!(tail.text(), None);
        tail.push(b"  ");
        assert_eq!(tail.text(), None);
        for line in 0..2000 {
            tail.push(format!("line {line} é").as_bytes());
        }
        tail.push(b"\x1b[91m\x1b[1mError: \x1b[0mno \x1b[");
        assert!(tail.text().is_some_and(|text| text.ends_with("\nError: no")));
        tail.push(&[0xff; 10_000]);
        tail.push(b"the end");
        let text = tail.text().expect("something was said");
        assert!(text.len() <= limits::STDERR_TAIL_BYTES && text.ends_with("\nthe end"));
    }

    #[test]
    fn a_line_that_is_not_understood_is_shown_in_part() {
        let ChunkBody::Raw { line } = raw(1, &[b'x'; 100_000]).body else { panic!("raw") };
        assert_eq!(line.len(), limits::RAW_CHUNK_BYTES);
        let ChunkBody::Raw { line } = raw(1, b"a\xff").body else { panic!("raw") };
        assert_eq!(&*line, "a\u{fffd}");
    }
}

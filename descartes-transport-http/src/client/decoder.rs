//! Server-sent events out of bytes, as far as a JSON-RPC client needs them: the data.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::MAX_ANSWER_BYTES;

/// Cuts a stream of server-sent events into the data of each (HTML, section 9.2.6).
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// The data of the event that is being read.
    data: BytesMut,
    /// Whether that event has data, which may be empty.
    begun: bool,
    /// How far the buffer is known to have no line end.
    searched: usize,
    /// The last line ended with CR; a LF that follows belongs to it.
    after_return: bool,
}

impl Decoder {
    /// Takes what has arrived.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The data of the next whole event that has any.
    ///
    /// # Errors
    ///
    /// `InvalidData` when an event is larger than any answer can be.
    pub(crate) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                self.begun = false;
                if !self.data.is_empty() {
                    return Ok(Some(self.data.split().freeze()));
                }
            } else if let Some(data) = data_of(&line) {
                if self.begun {
                    self.data.extend_from_slice(b"\n");
                }
                self.begun = true;
                self.data.extend_from_slice(data);
            }
        }
        if self.buffer.len() + self.data.len() > MAX_ANSWER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an event beyond all bounds"));
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<Bytes> {
        if self.after_return && !self.buffer.is_empty() {
            self.after_return = false;
            self.buffer.advance(usize::from(self.buffer[0] == b'\n'));
        }
        let unseen = &self.buffer[self.searched..];
        let Some(end) = unseen.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end).freeze();
        self.after_return = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }
}

/// What a line adds to the data of its event, if it is of that field.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &str, piece: usize) -> Vec<String> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for part in input.as_bytes().chunks(piece) {
            decoder.feed(part);
            while let Some(data) = decoder.next().unwrap() {
                out.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        out
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let input = "retry: 1000\n\n:\n\nid: 1\ndata: one\n\ndata:two\r\n\r\nevent: x\ndata: a\ndata: b\n\ndata: half";
        for piece in [1, 2, 5, 1000] {
            assert_eq!(decode(input, piece), ["one", "two", "a\nb"], "{piece}");
        }
    }

    #[test]
    fn a_line_may_end_with_a_return_alone_and_data_may_be_empty() {
        let input = "data: a\rdata: b\r\rdata\ndata: c\n\ndata:\n\r\ndatas: d\n\n";
        for piece in [1, 2, 5, 1000] {
            assert_eq!(decode(input, piece), ["a\nb", "\nc"], "{piece}");
        }
    }

    #[test]
    fn an_event_beyond_all_bounds_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.feed(b"data: ");
        let block = vec![b'x'; 1 << 20];
        let refused = (0..20).find_map(|_| {
            decoder.feed(&block);
            decoder.next().err()
        });
        assert_eq!(refused.map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
    }
}

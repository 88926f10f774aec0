//! Server-sent events out of bytes, as far as a JSON-RPC client needs them: the data.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::MAX_ANSWER_BYTES;

/// Cuts a stream of server-sent events into the data of each.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// The data of the event that is being read.
    data: BytesMut,
    /// How far the buffer is known to have no line end.
    searched: usize,
}

impl Decoder {
    /// Takes what has arrived.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The data of the next whole event that has any.
    ///
    /// # Errors
    ///
    /// `InvalidData` when an event is larger than any answer can be.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(line) = self.line() {
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    return Ok(Some(self.data.split().freeze()));
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.extend_from_slice(b"\n");
                }
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
        if self.buffer.len() + self.data.len() > MAX_ANSWER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an event beyond all bounds"));
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<Bytes> {
        let unseen = &self.buffer[self.searched..];
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
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

//! One JSON message a line.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    frame::Arrival,
    limits::{REQUEST_BYTES, SKIP_BYTES},
};

/// Cuts a byte stream into one message a line, and writes one a line.
///
/// A line that is too long is reported once, as soon as that is known, and skipped to its end; one
/// that goes on beyond `max_skip` ends the connection. Empty lines are nothing. What stands behind
/// the last newline when the stream ends is a message. A decoder keeps its place between calls, so
/// a read may be given up at any time.
#[derive(Clone, Debug)]
pub struct LineCodec {
    max_request: usize,
    max_skip: usize,
    /// How far the buffer is known to have no newline.
    searched: usize,
    /// How much of an oversize line is gone already, if one is being skipped.
    skipped: Option<usize>,
}

/// Lines up to this length are copied out, so that a message that stays does not keep the whole
/// read buffer.
const COPIED: usize = 4096;

impl LineCodec {
    /// Takes lines of at most `max_request` bytes and skips at most `max_skip` of a longer one.
    #[must_use]
    pub const fn new(max_request: usize, max_skip: usize) -> Self {
        Self { max_request, max_skip, searched: 0, skipped: None }
    }

    /// Drops what belongs to an oversize line; true when its end was found.
    fn skip(&mut self, buffer: &mut BytesMut, already: usize) -> io::Result<bool> {
        let end = memchr(b'\n', buffer);
        let dropped = end.unwrap_or(buffer.len());
        let gone = already + dropped;
        if gone > self.max_skip {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end"));
        }
        buffer.advance(dropped + usize::from(end.is_some()));
        self.skipped = end.is_none().then_some(gone);
        Ok(end.is_some())
    }

    fn line(buffer: &mut BytesMut, end: usize) -> Option<Bytes> {
        let length = end - usize::from(end > 0 && buffer[end - 1] == b'\r');
        let line = (length > 0).then(|| {
            if length <= COPIED {
                Bytes::copy_from_slice(&buffer[..length])
            } else {
                buffer.split_to(length).freeze()
            }
        });
        let rest = if length > COPIED { end - length } else { end };
        buffer.advance(rest);
        line
    }
}

impl Default for LineCodec {
    fn default() -> Self {
        Self::new(REQUEST_BYTES, SKIP_BYTES)
    }
}

impl Decoder for LineCodec {
    type Item = Arrival;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Arrival>> {
        loop {
            if let Some(already) = self.skipped
                && !self.skip(buffer, already)?
            {
                return Ok(None);
            }
            let end = memchr(b'\n', &buffer[self.searched..]).map(|at| self.searched + at);
            if end.unwrap_or(buffer.len()) > self.max_request {
                self.searched = 0;
                self.skipped = Some(0);
                return Ok(Some(Arrival::Oversize));
            }
            let Some(end) = end else {
                self.searched = buffer.len();
                return Ok(None);
            };
            self.searched = 0;
            let line = Self::line(buffer, end);
            buffer.advance(1);
            if let Some(line) = line {
                return Ok(Some(Arrival::Message(line)));
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Arrival>> {
        if let Some(arrival) = self.decode(buffer)? {
            return Ok(Some(arrival));
        }
        self.searched = 0;
        let end = buffer.len();
        Ok(Self::line(buffer, end).map(Arrival::Message))
    }
}

impl Encoder<Bytes> for LineCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.reserve(message.len() + 1);
        let begin = buffer.len();
        buffer.put_slice(&message);
        onto_one_line(&mut buffer[begin..]);
        buffer.put_u8(b'\n');
        Ok(())
    }
}

/// Takes the line breaks out of `json`, for wires on which one would end the message.
///
/// Inside strings JSON has none; between its tokens (in a value that somebody wrote that way and we
/// pass on) a space says the same.
pub fn onto_one_line(json: &mut [u8]) {
    if memchr2(b'\n', b'\r', json).is_some() {
        for byte in json {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio_util::codec::FramedRead;

    use super::*;

    fn message(text: &str) -> Arrival {
        Arrival::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Everything a codec yields for `input` that comes in pieces of `piece` bytes.
    fn decode(codec: &mut LineCodec, input: &[u8], piece: usize) -> io::Result<Vec<Arrival>> {
        let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
        for part in input.chunks(piece) {
            buffer.extend_from_slice(part);
            while let Some(arrival) = codec.decode(&mut buffer)? {
                out.push(arrival);
            }
        }
        while let Some(arrival) = codec.decode_eof(&mut buffer)? {
            out.push(arrival);
        }
        Ok(out)
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_are_cut() {
        let long = "x".repeat(5000);
        let input = format!("one\r\n\n\r\ntwo\n{long}\nlast");
        let expected = vec![message("one"), message("two"), message(&long), message("last")];
        for piece in [1, 2, 3, 7, 4096, 100_000] {
            let mut codec = LineCodec::default();
            assert_eq!(decode(&mut codec, input.as_bytes(), piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn an_oversize_line_is_reported_once_and_the_next_is_read() {
        for piece in [1, 5, 64, 1000] {
            let input = format!("{}\nnext\n", "x".repeat(40));
            let mut codec = LineCodec::new(16, 64);
            let got = decode(&mut codec, input.as_bytes(), piece).unwrap();
            assert_eq!(got, vec![Arrival::Oversize, message("next")], "{piece}");
        }
    }

    #[test]
    fn a_line_of_just_the_bound_is_taken() {
        let mut codec = LineCodec::new(16, 64);
        let (fits, over) = ("x".repeat(16), "x".repeat(17));
        let got = decode(&mut codec, format!("{fits}\n{over}\n").as_bytes(), 1000).unwrap();
        assert_eq!(got, vec![message(&fits), Arrival::Oversize]);
    }

    #[test]
    fn a_line_without_end_ends_the_connection() {
        for piece in [1, 10, 1000] {
            let mut codec = LineCodec::new(16, 64);
            let refused = decode(&mut codec, "x".repeat(65).as_bytes(), piece).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_value_that_was_written_over_several_lines_goes_out_on_one() {
        let (mut codec, mut wire) = (LineCodec::default(), BytesMut::new());
        codec.encode(Bytes::from_static(b"{\r\n\t\"a\\n\":\n1}"), &mut wire).unwrap();
        assert_eq!(&wire[..], b"{  \t\"a\\n\": 1}\n");
    }

    #[tokio::test]
    async fn a_half_read_line_survives_a_read_that_is_given_up() {
        let (mut theirs, ours) = tokio::io::duplex(64);
        let mut lines = FramedRead::new(ours, LineCodec::default());
        theirs.write_all(b"{\"half").await.unwrap();
        assert!(lines.next().now_or_never().is_none());
        theirs.write_all(b"\":1}\nnext").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), message("{\"half\":1}"));
        assert!(lines.next().now_or_never().is_none());
        drop(theirs);
        assert_eq!(lines.next().await.unwrap().unwrap(), message("next"));
        assert!(lines.next().await.is_none());
    }

    proptest! {
        #[test]
        fn what_was_written_line_by_line_is_read_back(
            lines in prop::collection::vec("[a-z]{1,30}", 0..20),
            piece in 1_usize..50,
        ) {
            let (mut codec, mut wire) = (LineCodec::default(), BytesMut::new());
            for line in &lines {
                codec.encode(Bytes::copy_from_slice(line.as_bytes()), &mut wire).unwrap();
            }
            let got = decode(&mut codec, &wire, piece).unwrap();
            prop_assert_eq!(got, lines.iter().map(|line| message(line)).collect::<Vec<_>>());
        }
    }
}

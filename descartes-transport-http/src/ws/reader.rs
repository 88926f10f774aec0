//! Bytes into messages (RFC 6455 section 5), without a socket.
//!
//! What is too long is not kept: its bytes are dropped as they come, up to a bound, so that a
//! connection never holds more than one message and what was read with it.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use descartes_rpc::frame::Arrival;

use super::{
    close::{Close, CloseCode, Farewell},
    frame::{Head, OpCode, apply_mask},
};
use crate::limits::{WS_READ_BUFFER, WS_READ_MOST};

/// Messages up to this length are copied out, so that one that stays does not keep the whole read
/// buffer.
const COPIED: usize = 4096;

/// What a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Message(Arrival),
    Ping(Bytes),
    Pong,
    Close(Farewell),
}

/// How much of a message is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Beyond this a message is told as [`Arrival::Oversize`] and skipped.
    pub(crate) message: usize,
    /// Beyond this it ends the connection.
    pub(crate) skip: usize,
    /// Whether frames come masked: those of clients must, those of servers must not (section 5.1).
    pub(crate) masked: bool,
}

/// Puts frames together. It keeps its place between calls, however the bytes are cut.
#[derive(Debug)]
pub(crate) struct Reader {
    bounds: Bounds,
    buffer: BytesMut,
    message: Message,
    /// Bytes of a skipped frame that have not come yet.
    skipping: u64,
}

/// The message that is being put together.
#[derive(Debug)]
enum Message {
    /// None has begun.
    None,
    /// These are its first fragments.
    Begun(BytesMut),
    /// It is too long; so much of it is gone.
    Skipped(u64),
}

impl Reader {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, buffer: BytesMut::new(), message: Message::None, skipping: 0 }
    }

    /// Where bytes that were read belong, with room for some more.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let missing = match Head::read(&self.buffer) {
            Ok(Some((head, size))) => (size as u64).saturating_add(head.length),
            _ => 0,
        };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.buffer.len());
        // Memory grows with what has arrived, never with what was announced.
        self.buffer.reserve(missing.clamp(WS_READ_BUFFER, WS_READ_MOST));
        &mut self.buffer
    }

    /// Bytes that are held.
    #[cfg(feature = "test-util")]
    pub(crate) fn held(&self) -> usize {
        let begun = if let Message::Begun(fragments) = &self.message { fragments.len() } else { 0 };
        self.buffer.len() + begun
    }

    /// Gives memory back that is not needed while nothing comes.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next thing that has come whole; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, to be answered with; nothing can be read after it.
    pub(crate) fn next(&mut self) -> Result<Option<Inbound>, Close> {
        loop {
            if !self.skip() {
                return Ok(None);
            }
            let Some((head, size)) = Head::read(&self.buffer)? else { return Ok(None) };
            if head.mask.is_some() != self.bounds.masked {
                return Err(Close::protocol("frames of clients are masked, those of servers not"));
            }
            if head.opcode.is_control() {
                let Some(payload) = self.payload(head, size) else { return Ok(None) };
                return control(head.opcode, payload).map(Some);
            }
            self.begin(head)?;
            let taken = self.taken().saturating_add(head.length);
            if matches!(self.message, Message::Skipped(_)) || taken > self.bounds.message as u64 {
                if let Some(oversize) = self.skip_frame(head, size, taken)? {
                    return Ok(Some(oversize));
                }
                continue;
            }
            let Some(payload) = self.payload(head, size) else { return Ok(None) };
            if let Some(message) = self.add(head.last, payload)? {
                return Ok(Some(Inbound::Message(Arrival::Message(message))));
            }
        }
    }

    /// Checks that `head` stands where it may (section 5.4).
    fn begin(&self, head: Head) -> Result<(), Close> {
        match (head.opcode, &self.message) {
            (OpCode::Binary, _) => {
                Err(Close::new(CloseCode::Unsupported, "messages are text frames"))
            }
            (OpCode::Continuation, Message::None) => {
                Err(Close::protocol("a continuation of nothing"))
            }
            (OpCode::Text, Message::Begun(_) | Message::Skipped(_)) => {
                Err(Close::protocol("a message inside a message"))
            }
            _ => Ok(()),
        }
    }

    /// How long the message is so far.
    fn taken(&self) -> u64 {
        match &self.message {
            Message::None => 0,
            Message::Begun(fragments) => fragments.len() as u64,
            Message::Skipped(gone) => *gone,
        }
    }

    /// The unmasked payload of the frame that the buffer begins with, if all of it is there.
    fn payload(&mut self, head: Head, size: usize) -> Option<Bytes> {
        let length = usize::try_from(head.length).ok()?;
        if self.buffer.len() - size < length {
            return None;
        }
        self.buffer.advance(size);
        let payload = &mut self.buffer[..length];
        if let Some(mask) = head.mask {
            apply_mask(payload, mask, 0);
        }
        if length > COPIED {
            return Some(self.buffer.split_to(length).freeze());
        }
        let payload = Bytes::copy_from_slice(payload);
        self.buffer.advance(length);
        Some(payload)
    }

    /// Adds a fragment; gives the message that it ends.
    fn add(&mut self, last: bool, payload: Bytes) -> Result<Option<Bytes>, Close> {
        let whole = match (mem::replace(&mut self.message, Message::None), last) {
            (Message::Begun(mut fragments), _) => {
                fragments.extend_from_slice(&payload);
                if !last {
                    self.message = Message::Begun(fragments);
                    return Ok(None);
                }
                fragments.freeze()
            }
            (_, true) => payload,
            (_, false) => {
                self.message = Message::Begun(BytesMut::from(&payload[..]));
                return Ok(None);
            }
        };
        // Section 8.1: text that is not UTF-8 fails the connection.
        let not_text = |_| Close::new(CloseCode::NotText, "the message is not UTF-8");
        str::from_utf8(&whole).map_err(not_text)?;
        Ok(Some(whole))
    }

    /// Leaves a frame of a message that is too long behind; tells of the message once.
    fn skip_frame(
        &mut self,
        head: Head,
        size: usize,
        taken: u64,
    ) -> Result<Option<Inbound>, Close> {
        if taken > self.bounds.skip as u64 {
            return Err(Close::new(CloseCode::TooBig, "a message beyond all bounds"));
        }
        self.buffer.advance(size);
        self.skipping = head.length;
        let known = matches!(self.message, Message::Skipped(_));
        self.message = if head.last { Message::None } else { Message::Skipped(taken) };
        Ok((!known).then_some(Inbound::Message(Arrival::Oversize)))
    }

    /// Drops what belongs to a skipped frame; true when nothing of it is left.
    fn skip(&mut self) -> bool {
        let here = usize::try_from(self.skipping).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.advance(here);
        self.skipping -= here as u64;
        self.skipping == 0
    }
}

fn control(opcode: OpCode, payload: Bytes) -> Result<Inbound, Close> {
    Ok(match opcode {
        OpCode::Close => Inbound::Close(Farewell::read(&payload)?),
        OpCode::Ping => Inbound::Ping(payload),
        _ => Inbound::Pong,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::MAX_CONTROL;
    use super::*;

    const BOUNDS: Bounds = Bounds { message: 10, skip: 40, masked: true };
    const MASK: [u8; 4] = [7, 0, 255, 13];

    /// A frame as a client sends it.
    fn frame(opcode: OpCode, last: bool, payload: &[u8]) -> Vec<u8> {
        let head = Head { last, opcode, mask: Some(MASK), length: payload.len() as u64 };
        let mut out = BytesMut::new();
        head.write(&mut out);
        let at = out.len();
        out.extend_from_slice(payload);
        apply_mask(&mut out[at..], MASK, 0);
        out.to_vec()
    }

    fn text(payload: &str) -> Vec<u8> {
        frame(OpCode::Text, true, payload.as_bytes())
    }

    fn message(payload: &str) -> Inbound {
        Inbound::Message(Arrival::Message(Bytes::copy_from_slice(payload.as_bytes())))
    }

    /// Everything that is read when the bytes come in pieces of `piece`.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Inbound>, Option<CloseCode>) {
        let mut reader = Reader::new(BOUNDS);
        let mut read = Vec::new();
        for part in bytes.chunks(piece) {
            reader.room().extend_from_slice(part);
            loop {
                match reader.next() {
                    Ok(Some(inbound)) => read.push(inbound),
                    Ok(None) => break,
                    Err(close) => return (read, Some(close.code)),
                }
            }
            assert!(reader.buffer.len() < MAX_CONTROL + 14, "nothing is kept but a frame");
        }
        (read, None)
    }

    #[test]
    fn fragments_are_one_message_with_control_frames_between_them() {
        let stream = [
            frame(OpCode::Text, false, b"ab"),
            frame(OpCode::Ping, true, b"?"),
            frame(OpCode::Continuation, false, b""),
            frame(OpCode::Pong, true, b"!"),
            // A character that is cut in two.
            frame(OpCode::Continuation, false, &[0xc3]),
            frame(OpCode::Continuation, true, &[0xa4]),
            text("next"),
        ]
        .concat();
        let ping = Inbound::Ping(Bytes::from_static(b"?"));
        let expected = vec![ping, Inbound::Pong, message("abä"), message("next")];
        for piece in 1..stream.len() {
            assert_eq!(read(&stream, piece), (expected.clone(), None), "{piece}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_once_skipped_and_the_next_is_read() {
        let long = text(&"x".repeat(11));
        let pieces = [
            frame(OpCode::Text, false, &[b'x'; 10]),
            frame(OpCode::Continuation, false, &[b'x'; 10]),
            frame(OpCode::Ping, true, b""),
            frame(OpCode::Continuation, true, &[b'x'; 20]),
        ]
        .concat();
        let oversize = Inbound::Message(Arrival::Oversize);
        let ping = Inbound::Ping(Bytes::new());
        let after = text("after");
        for piece in 1..90 {
            let (found, close) = read(&[long.clone(), after.clone()].concat(), piece);
            assert_eq!((found, close), (vec![oversize.clone(), message("after")], None));
            let (found, close) = read(&[pieces.clone(), after.clone()].concat(), piece);
            let expected = vec![oversize.clone(), ping.clone(), message("after")];
            assert_eq!((found, close), (expected, None));
        }
    }

    #[test]
    fn what_goes_beyond_all_bounds_ends_it_before_it_is_read() {
        let whole = text(&"x".repeat(41));
        assert_eq!(read(&whole[..6], 6), (vec![], Some(CloseCode::TooBig)));
        let more = frame(OpCode::Continuation, false, &[b'x'; 20]);
        let endless = [frame(OpCode::Text, false, &[b'x'; 20]), more.clone(), more].concat();
        let oversize = vec![Inbound::Message(Arrival::Oversize)];
        assert_eq!(read(&endless, 7), (oversize, Some(CloseCode::TooBig)));
    }

    #[test]
    fn each_breach_of_the_protocol_has_its_code() {
        let mut unmasked = text("a");
        unmasked[1] &= 0x7f;
        for (stream, code) in [
            (unmasked, CloseCode::Protocol),
            (frame(OpCode::Continuation, true, b"a"), CloseCode::Protocol),
            ([frame(OpCode::Text, false, b"a"), text("b")].concat(), CloseCode::Protocol),
            (frame(OpCode::Binary, true, b"a"), CloseCode::Unsupported),
            (frame(OpCode::Text, true, &[0xff]), CloseCode::NotText),
            (frame(OpCode::Close, true, &[3]), CloseCode::Protocol),
        ] {
            assert_eq!(read(&stream, 3).1, Some(code), "{stream:?}");
        }
        let (found, close) = read(&frame(OpCode::Close, true, b"\x03\xe8bye"), 2);
        let farewell = Farewell { code: Some(1000), reason: "bye".to_owned() };
        assert_eq!((found, close), (vec![Inbound::Close(farewell)], None));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_the_same_however_it_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            good in 0..4_usize,
            piece in 1..40_usize,
        ) {
            let mut stream = text("good").repeat(good);
            stream.extend_from_slice(&bytes);
            prop_assert_eq!(read(&stream, piece), read(&stream, 1));
        }

        #[test]
        fn messages_come_out_as_they_were_put_in(
            texts in prop::collection::vec("[a-zä]{0,5}", 0..10), piece in 1..40_usize,
        ) {
            let stream: Vec<u8> = texts.iter().flat_map(|payload| text(payload)).collect();
            let expected = texts.iter().map(|payload| message(payload)).collect::<Vec<_>>();
            prop_assert_eq!(read(&stream, piece), (expected, None));
        }
    }
}

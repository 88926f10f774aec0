//! Bytes into messages and commands ("Framing"), without a socket.
//!
//! Nothing is allocated for what is only announced, and what is too long is not kept: its bytes are
//! dropped as they come, up to a bound.

use std::mem;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    HandshakeError, Multipart, ProtocolError,
    frame::Head,
    unfinished::{Share, Unfinished},
};
use crate::limits::{COPIED, HANDSHAKE_READ, READ_BUFFER, READ_MOST, ZmtpLimits};

/// What a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Message(Multipart),
    Oversize,
    Crowded,
    /// The body of a command frame.
    Command(Bytes),
}

/// Puts frames together. It keeps its place between calls, however the bytes are cut.
#[derive(Debug)]
pub(super) struct Reader {
    limits: ZmtpLimits,
    buffer: BytesMut,
    /// What one read takes, unless a frame needs more.
    room: usize,
    /// Frames of the message that is being put together.
    frames: Vec<Bytes>,
    /// Bytes of those frames.
    kept: u64,
    /// Bytes of the message on the wire, whether they were kept or not.
    wire: u64,
    /// The message is too long; no more of it is kept.
    oversize: bool,
    /// Bytes of a skipped frame that have not come yet.
    skipping: u64,
    /// What it may hold of a message that has not come whole.
    share: Share,
}

impl Reader {
    pub(super) fn new(limits: ZmtpLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            room: HANDSHAKE_READ,
            frames: Vec::new(),
            kept: 0,
            wire: 0,
            oversize: false,
            skipping: 0,
            share: Share::default(),
        }
    }

    /// From now on unfinished messages of this and other connections may hold `all` together.
    pub(super) fn share(&mut self, all: Arc<Unfinished>) {
        self.share = Share::of(all);
    }

    /// Bytes that are held of a message that has not come whole, where they are more than everybody
    /// may hold.
    pub(super) fn long(&self) -> Option<usize> {
        let taken = self.share.taken();
        (taken > 0).then_some(taken)
    }

    /// Where bytes that were read belong, with room for some more.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let missing = match Head::read(&self.buffer) {
            Ok(Some((head, size))) => (size as u64).saturating_add(head.length),
            _ => 0,
        };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.buffer.len()).min(READ_MOST);
        // Memory grows with what has arrived, never with what was announced.
        let wanted = missing.max(self.room);
        let spare = self.buffer.capacity() - self.buffer.len();
        // A buffer that frames are still in is filled before there is another: it stays as long as
        // they do.
        if !self.buffer.try_reclaim(wanted) && spare < missing.max(COPIED.min(self.room)) {
            self.buffer.reserve(wanted);
        }
        &mut self.buffer
    }

    /// Tells that one read brought so many bytes: a peer that sends much is read in larger pieces.
    pub(super) fn arrived(&mut self, bytes: usize) {
        if bytes >= self.room {
            self.room = (self.room * 2).clamp(READ_BUFFER, READ_MOST);
        }
    }

    /// Bytes that are held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.buffer.len() + self.frames.iter().map(Bytes::len).sum::<usize>()
    }

    /// Gives memory back that is not needed while nothing comes.
    pub(super) fn rest(&mut self) {
        self.room = READ_BUFFER;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The bytes that came before any frame.
    pub(super) fn greeting(&self) -> &[u8] {
        &self.buffer
    }

    /// Leaves the greeting behind.
    pub(super) fn end_greeting(&mut self, length: usize) {
        self.buffer.advance(length);
    }

    /// The command that comes next during the handshake; `None` when more bytes are needed.
    pub(super) fn next_command(&mut self) -> Result<Option<Bytes>, HandshakeError> {
        let Some((head, size)) = Head::read(&self.buffer)? else { return Ok(None) };
        if !head.command {
            return Err(HandshakeError::NotReady);
        }
        Ok(self.command(head, size)?)
    }

    /// The next thing that has come whole; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; nothing can be read after it.
    pub(super) fn next(&mut self) -> Result<Option<Inbound>, ProtocolError> {
        loop {
            if !self.skip() {
                return Ok(None);
            }
            let Some((head, size)) = Head::read(&self.buffer)? else { return Ok(None) };
            // libzmq sends PING between two frames of a message.
            if head.command {
                return Ok(self.command(head, size)?.map(Inbound::Command));
            }
            let fits = self.fits(head);
            if !fits || !self.may_hold(head, size) {
                if self.skip_frame(head, size)? {
                    let news = if fits { Inbound::Crowded } else { Inbound::Oversize };
                    return Ok(Some(news));
                }
                continue;
            }
            let Some(body) = self.body(head, size) else { return Ok(None) };
            if let Some(message) = self.add(head, body) {
                return Ok(Some(Inbound::Message(message)));
            }
        }
    }

    fn command(&mut self, head: Head, size: usize) -> Result<Option<Bytes>, ProtocolError> {
        if head.length > self.limits.command_bytes as u64 {
            return Err(ProtocolError::CommandTooLong(head.length));
        }
        Ok(self.body(head, size))
    }

    /// Whether the message may have this frame too.
    fn fits(&self, head: Head) -> bool {
        !self.oversize
            && self.frames.len() < self.limits.message_frames
            && self.kept.saturating_add(head.length) <= self.limits.message_bytes as u64
    }

    /// Whether what has come of the message may be held until the rest comes, if any does.
    fn may_hold(&mut self, head: Head, size: usize) -> bool {
        if !head.more && (self.buffer.len() - size) as u64 >= head.length {
            return true;
        }
        let kept = usize::try_from(self.kept).unwrap_or(usize::MAX);
        self.share.hold(kept.saturating_add(self.buffer.len()))
    }

    /// The body of the frame that the buffer begins with, if all of it is there.
    fn body(&mut self, head: Head, size: usize) -> Option<Bytes> {
        let length = usize::try_from(head.length).ok()?;
        if self.buffer.len() - size < length {
            return None;
        }
        self.buffer.advance(size);
        if !head.command {
            self.wire += size as u64 + head.length;
        }
        if length > COPIED {
            return Some(self.buffer.split_to(length).freeze());
        }
        let body = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        Some(body)
    }

    /// Adds a frame; gives the message that it ends.
    fn add(&mut self, head: Head, body: Bytes) -> Option<Multipart> {
        if head.more {
            self.kept += head.length;
            self.frames.push(body);
            return None;
        }
        (self.kept, self.wire) = (0, 0);
        self.share.hold(0);
        Some(if self.frames.is_empty() {
            Multipart::single(body)
        } else {
            Multipart::ending(mem::take(&mut self.frames), body)
        })
    }

    /// Leaves a frame of a message that is too long behind; true when that is news.
    ///
    /// Heads are counted, so that a message of endless empty frames has an end too.
    fn skip_frame(&mut self, head: Head, size: usize) -> Result<bool, ProtocolError> {
        self.wire = self.wire.saturating_add(size as u64).saturating_add(head.length);
        if self.wire > self.limits.skip_bytes as u64 {
            return Err(ProtocolError::Endless);
        }
        self.buffer.advance(size);
        self.skipping = head.length;
        self.frames = Vec::new();
        self.kept = 0;
        self.share.hold(0);
        let news = !self.oversize;
        self.oversize = head.more;
        if !head.more {
            (self.kept, self.wire) = (0, 0);
        }
        Ok(news)
    }

    /// Drops what belongs to a skipped frame; true when nothing of it is left.
    fn skip(&mut self) -> bool {
        let here = usize::try_from(self.skipping).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.advance(here);
        self.skipping -= here as u64;
        if here > 0 && self.buffer.capacity() > READ_MOST {
            // It had grown for what is not kept after all.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        self.skipping == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> ZmtpLimits {
        ZmtpLimits {
            message_bytes: 10,
            message_frames: 3,
            command_bytes: 20,
            skip_bytes: 60,
            ..ZmtpLimits::default()
        }
    }

    fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        [&[flags, length], body].concat()
    }

    /// Frames of a message, as they are sent.
    fn message(frames: &[&[u8]]) -> Vec<u8> {
        let (last, first) = frames.split_last().unwrap();
        let more = first.iter().flat_map(|body| frame(1, body));
        more.chain(frame(0, last)).collect()
    }

    fn heard(frames: &[&[u8]]) -> Inbound {
        let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
        Inbound::Message(Multipart::new(frames).unwrap())
    }

    /// Everything that is read when the bytes come in pieces of `piece`.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Inbound>, Option<ProtocolError>) {
        let (mut reader, mut read) = (Reader::new(limits()), Vec::new());
        for part in bytes.chunks(piece) {
            reader.room().extend_from_slice(part);
            loop {
                match reader.next() {
                    Ok(Some(inbound)) => read.push(inbound),
                    Ok(None) => break,
                    Err(error) => return (read, Some(error)),
                }
            }
            assert!(reader.held() <= 10 + 9 + 20, "{} bytes are held", reader.held());
        }
        (read, None)
    }

    #[test]
    fn frames_are_one_message_with_commands_between_them() {
        let stream = [
            frame(1, b"a"),
            frame(4, b"\x04PING\0\0"),
            frame(1, b""),
            b"\x02\0\0\0\0\0\0\0\x02bc".to_vec(),
            message(&[b""]),
        ]
        .concat();
        let ping = Inbound::Command(Bytes::from_static(b"\x04PING\0\0"));
        let expected = vec![ping, heard(&[b"a", b"", b"bc"]), heard(&[b""])];
        for piece in 1..stream.len() {
            assert_eq!(read(&stream, piece), (expected.clone(), None), "{piece}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_once_skipped_and_the_next_is_read() {
        for long in [
            message(&[&[b'x'; 11]]),
            message(&[&[b'x'; 10], b"", b"x"]),
            message(&[b"", b"", b"", b""]),
            message(&[b"", b"", b"", b"", b"", b"", b"xxxxxxxxxxxxxxxxxxxx"]),
        ] {
            let stream = [message(&[b"before"]), long, message(&[b"", b"after"])].concat();
            let expected = vec![heard(&[b"before"]), Inbound::Oversize, heard(&[b"", b"after"])];
            for piece in 1..60 {
                assert_eq!(read(&stream, piece), (expected.clone(), None), "{stream:?}");
            }
        }
    }

    #[test]
    fn commands_are_heard_while_a_message_is_skipped() {
        let stream =
            [frame(1, &[0; 11]), frame(4, b"\x01X"), frame(0, b""), frame(0, b"a")].concat();
        let command = Inbound::Command(Bytes::from_static(b"\x01X"));
        assert_eq!(read(&stream, 2), (vec![Inbound::Oversize, command, heard(&[b"a"])], None));
    }

    #[test]
    fn an_endless_message_ends_in_bounded_bytes_also_when_its_frames_have_none() {
        for body in [&b""[..], b"x", &[0; 20]] {
            let endless = frame(1, body).repeat(1000);
            for piece in [1, 7, 100] {
                let (found, error) = read(&endless, piece);
                assert_eq!(found, vec![Inbound::Oversize]);
                assert_eq!(error, Some(ProtocolError::Endless));
            }
            let most = 60 + 2 + body.len();
            assert_eq!(read(&endless[..most], 9).1, Some(ProtocolError::Endless));
        }
    }

    #[test]
    fn what_a_head_announces_costs_nothing_before_it_comes() {
        for (length, expected) in
            [(61_u64, ProtocolError::Endless), (1 << 44, ProtocolError::Endless)]
        {
            for flags in [2, 3] {
                let head = [&[flags][..], &length.to_be_bytes()].concat();
                assert_eq!(read(&head, 4), (vec![], Some(expected.clone())));
            }
            let command = [&[6][..], &length.to_be_bytes()].concat();
            assert_eq!(read(&command, 4).1, Some(ProtocolError::CommandTooLong(length)));
        }
        let mut reader = Reader::new(ZmtpLimits::default());
        reader.room().extend_from_slice(b"\x02\0\0\0\0\0\xa0\0\0");
        assert_eq!(reader.next(), Ok(None), "ten mebibytes are fine");
        assert!(reader.room().capacity() <= READ_MOST + 9, "but nobody believes it yet");
    }

    #[test]
    fn unfinished_messages_of_many_are_bounded_together_and_what_is_whole_is_never_refused() {
        let all = Unfinished::new(READ_MOST + 100);
        let mut readers: Vec<_> = (0..3)
            .map(|_| {
                let mut reader = Reader::new(ZmtpLimits::default());
                reader.share(Arc::clone(&all));
                reader
            })
            .collect();
        let length = 3 * READ_MOST as u64;
        let begun = [&[2][..], &length.to_be_bytes(), &vec![b'x'; READ_MOST * 3 / 2]].concat();
        let mut heard = Vec::new();
        for reader in &mut readers {
            reader.room().extend_from_slice(&begun);
            heard.push(reader.next().unwrap());
        }
        assert_eq!(heard, [None, None, Some(Inbound::Crowded)]);
        assert_eq!(readers[2].next(), Ok(None), "it is skipped");
        assert!(readers[2].held() == 0 && readers[2].room().capacity() <= 2 * READ_MOST);
        let rest = vec![b'x'; READ_MOST * 3 / 2];
        for reader in &mut readers {
            reader.room().extend_from_slice(&rest);
            reader.room().extend_from_slice(&message(&[b"next"]));
        }
        let next = Some(Inbound::Message(Multipart::single("next")));
        assert_eq!(readers[2].next().unwrap(), next);
        let whole = readers.remove(0).next().unwrap();
        assert!(matches!(whole, Some(Inbound::Message(_))), "{whole:?}");
    }

    #[test]
    fn each_breach_of_the_protocol_has_its_error() {
        for (stream, expected) in [
            (frame(8, b""), ProtocolError::ReservedFlags),
            (frame(0x80, b""), ProtocolError::ReservedFlags),
            (frame(5, b"\x01X"), ProtocolError::CommandWithMore),
            (b"\x02\xff\0\0\0\0\0\0\0".to_vec(), ProtocolError::Length),
            (frame(4, &[0; 21]), ProtocolError::CommandTooLong(21)),
        ] {
            let stream = [message(&[b"good"]), stream].concat();
            assert_eq!(read(&stream, 3), (vec![heard(&[b"good"])], Some(expected)));
        }
    }

    #[test]
    fn during_the_handshake_only_commands_are_read() {
        let mut reader = Reader::new(limits());
        reader.room().extend_from_slice(&frame(4, b"\x05READY"));
        let ready = reader.next_command().unwrap();
        assert_eq!(ready.as_deref(), Some(&b"\x05READY"[..]));
        reader.room().extend_from_slice(&[2]);
        assert!(reader.next_command().unwrap().is_none(), "its length may still come");
        reader.room().extend_from_slice(&(10_u64 << 40).to_be_bytes());
        assert!(matches!(reader.next_command(), Err(HandshakeError::NotReady)));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_the_same_however_it_is_cut(
            bytes in prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..120),
            good in 0..4_usize,
            piece in 1..40_usize,
        ) {
            let mut stream = message(&[b"good", b""]).repeat(good);
            stream.extend_from_slice(&bytes);
            prop_assert_eq!(read(&stream, piece), read(&stream, 1));
        }
    }
}

//! Bytes into messages and commands ("Framing"), without a socket.
//!
//! Nothing is allocated for what is only announced, and what is too long is not kept: its bytes are
//! dropped as they come, up to a bound.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use super::{HandshakeError, Multipart, ProtocolError, frame::Head};
use crate::limits::{COPIED, HANDSHAKE_READ, READ_BUFFER, READ_MOST, ZmtpLimits};

/// What a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Message(Multipart),
    Oversize,
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
        }
    }

    /// Where bytes that were read belong, with room for some more.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let missing = match Head::read(&self.buffer) {
            Ok(Some((head, size))) => (size as u64).saturating_add(head.length),
            _ => 0,
        };
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let missing = missing.saturating_sub(self.buffer.len());
        // Memory grows with what has arrived, never with what was announced.
        self.buffer.reserve(missing.clamp(self.room, READ_MOST));
        &mut self.buffer
    }

    /// Tells that one read brought so many bytes: a peer that sends much is read in larger pieces.
    pub(super) fn arrived(&mut self, bytes: usize) {
        if bytes >= self.room {
            self.room = (self.room * 2).clamp(READ_BUFFER, READ_MOST);
        }
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
            if !self.fits(head) {
                if self.skip_frame(head, size)? {
                    return Ok(Some(Inbound::Oversize));
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
        self.skipping == 0
    }
}

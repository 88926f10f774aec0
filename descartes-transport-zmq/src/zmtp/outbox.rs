//! Messages into bytes, and those to the stream.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::{Multipart, frame::Head};
use crate::limits::{KEPT_BUFFER, KEPT_FRAME, WRITE_PIECES};

/// What the peer has not taken yet: small frames in one buffer, large ones where they are.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What goes before the tail.
    pieces: VecDeque<Bytes>,
    /// Bytes of the pieces.
    in_pieces: usize,
    tail: BytesMut,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.in_pieces + self.tail.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what was to be sent, and its memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Puts a message behind what is there.
    pub(super) fn put_message(&mut self, message: &Multipart) {
        let Some((last, first)) = message.frames().split_last() else { return };
        for frame in first {
            self.put_frame(true, frame);
        }
        self.put_frame(false, last);
    }

    fn put_frame(&mut self, more: bool, frame: &Bytes) {
        let length = frame.len() as u64;
        Head { more, command: false, length }.write(&mut self.tail);
        if frame.len() < KEPT_FRAME {
            self.tail.extend_from_slice(frame);
            return;
        }
        let before = self.tail.split().freeze();
        self.in_pieces += before.len() + frame.len();
        self.pieces.push_back(before);
        self.pieces.push_back(frame.clone());
    }

    /// Puts a command with this body behind what is there.
    pub(super) fn put_command(&mut self, body: &[u8]) {
        Head { more: false, command: true, length: body.len() as u64 }.write(&mut self.tail);
        self.tail.extend_from_slice(body);
    }

    /// Writes until all is taken, then flushes.
    pub(super) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = ready!(self.poll_write_some(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.taken(written);
        }
        if self.tail.try_reclaim(KEPT_BUFFER + 1) {
            self.tail = BytesMut::new();
        }
        Pin::new(io).poll_flush(cx)
    }

    fn poll_write_some<IO: AsyncWrite + Unpin>(
        &self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.pieces.is_empty() {
            return Pin::new(io).poll_write(cx, &self.tail);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
        let parts = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
        let count = parts.zip(&mut slices).map(|(part, slice)| *slice = IoSlice::new(part)).count();
        Pin::new(io).poll_write_vectored(cx, &slices[..count])
    }

    /// The peer has taken so many bytes more.
    fn taken(&mut self, mut bytes: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            let here = bytes.min(piece.len());
            piece.advance(here);
            self.in_pieces -= here;
            bytes -= here;
            if !piece.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.tail.advance(bytes);
    }
}

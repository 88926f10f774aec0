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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::{
        super::reader::{Inbound, Reader},
        *,
    };
    use crate::limits::ZmtpLimits;

    /// Takes so many bytes in one write, and tells how many pieces it was given.
    struct Taker {
        taken: Vec<u8>,
        most: usize,
        vectored: bool,
        pieces: usize,
    }

    impl AsyncWrite for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let here = bytes.len().min(self.most);
            self.taken.extend_from_slice(&bytes[..here]);
            Poll::Ready(Ok(here))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.pieces = self.pieces.max(slices.len());
            let all = slices.iter().flat_map(|slice| slice.iter().copied());
            let all: Vec<u8> = all.take(self.most).collect();
            let first = slices.iter().find(|slice| !slice.is_empty());
            let first = first.map_or(&[][..], |slice| slice);
            let bytes = if self.vectored { &all } else { first };
            self.as_mut().poll_write(cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(out: &mut Outbox, most: usize, vectored: bool) -> Taker {
        let mut taker = Taker { taken: Vec::new(), most, vectored, pieces: 0 };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(out.poll_write(&mut taker, &mut cx), Poll::Ready(Ok(()))));
        assert_eq!(out.len(), 0);
        taker
    }

    #[test]
    fn what_is_taken_in_part_goes_on_where_it_stopped() {
        let large = Bytes::from(vec![7; KEPT_FRAME]);
        let frames = vec![Bytes::from_static(b"small"), large.clone(), Bytes::new(), large];
        let message = Multipart::new(frames).unwrap();
        let mut whole = None;
        for (most, vectored) in [(1, false), (1, true), (3, true), (9, false), (usize::MAX, true)] {
            let mut out = Outbox::default();
            out.put_message(&message);
            out.put_command(b"\x04PONG");
            assert_eq!(out.len(), 2 + 5 + 9 + KEPT_FRAME + 2 + 9 + KEPT_FRAME + 2 + 5);
            let taken = written(&mut out, most, vectored).taken;
            assert_eq!(whole.get_or_insert_with(|| taken.clone()), &taken, "{most}");
        }
    }

    #[test]
    fn large_frames_are_not_copied_and_many_of_them_go_out_piece_by_piece() {
        let large = Bytes::from(vec![7; KEPT_FRAME]);
        let mut out = Outbox::default();
        for _ in 0..100 {
            out.put_message(&Multipart::single(large.clone()));
        }
        assert!(out.pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
        let taker = written(&mut out, usize::MAX, true);
        assert_eq!((taker.taken.len(), taker.pieces), (100 * (9 + KEPT_FRAME), WRITE_PIECES));
    }

    #[test]
    fn an_empty_outbox_keeps_little() {
        let mut out = Outbox::default();
        for _ in 0..1000 {
            out.put_message(&Multipart::single(vec![0; KEPT_FRAME - 1]));
        }
        written(&mut out, usize::MAX, true);
        assert!(out.tail.capacity() <= KEPT_BUFFER, "{}", out.tail.capacity());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            messages in prop::collection::vec(
                prop::collection::vec(prop_oneof![0..300_usize, 8000..9000_usize], 1..5), 1..8,
            ),
            piece in 1..9000_usize,
        ) {
            let messages: Vec<Multipart> = messages.into_iter().zip(0_u8..).map(|(lengths, fill)| {
                let frames = lengths.into_iter().map(|length| Bytes::from(vec![fill; length]));
                Multipart::new(frames.collect()).unwrap()
            }).collect();
            let mut out = Outbox::default();
            messages.iter().for_each(|message| out.put_message(message));
            let bytes = written(&mut out, piece, true).taken;
            let (mut reader, mut read) = (Reader::new(ZmtpLimits::default()), Vec::new());
            for part in bytes.chunks(piece) {
                reader.room().extend_from_slice(part);
                while let Some(Inbound::Message(message)) = reader.next().unwrap() {
                    read.push(message);
                }
            }
            prop_assert_eq!(read, messages);
        }
    }
}

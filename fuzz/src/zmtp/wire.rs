//! A stream of bytes that has everything ready, in pieces.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};

use crate::input::Cuts;

/// What a peer sends, and what it was sent.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    rest: &'a [u8],
    cuts: Cuts,
    /// What is left of the piece that is being read.
    piece: &'a [u8],
    written: Vec<u8>,
}

impl<'a> Wire<'a> {
    pub(super) const fn new(received: &'a [u8], cuts: Cuts) -> Self {
        Self { rest: received, cuts, piece: &[], written: Vec::new() }
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.written
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            let mut rest = self.rest;
            self.piece = self.cuts.piece(&mut rest).unwrap_or_default();
            self.rest = rest;
        }
        let (now, later) = self.piece.split_at(self.piece.len().min(room.remaining()));
        room.put_slice(now);
        self.piece = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future that never waits, on a clock that stands still.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    thread_local!(static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets"));
    RUNTIME.with(|runtime| runtime.block_on(future))
}

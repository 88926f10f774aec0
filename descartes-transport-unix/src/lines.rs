//! The socket as lines, with buffers that are there only while something is in them.
//!
//! A thousand connections that say nothing are usual, and each may have moved megabytes once.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use descartes_rpc::{codec::LineCodec, frame::Arrival};
use futures_core::Stream;
use futures_util::Sink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{io::AsyncWrite, net::UnixStream};
use tokio_util::{
    codec::{Decoder, Encoder},
    io::poll_read_buf,
};

use crate::limits::{KEPT_BUFFER, READ_BUFFER, WRITE_BUFFER};

/// Reads and writes many lines with one system call each.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: UnixStream,
    codec: LineCodec,
    input: BytesMut,
    /// The peer sends no more.
    ended: bool,
    output: BytesMut,
    /// How much of `output` the peer has taken.
    taken: usize,
}

impl Lines {
    pub(crate) fn new(stream: UnixStream, codec: LineCodec) -> Self {
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self { stream, codec, input, ended: false, output, taken: 0 }
    }

    /// Reads what has come, into a buffer that is made only when something has.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        ready!(self.stream.poll_read_ready(cx))?;
        self.input.reserve(READ_BUFFER);
        let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.ended = ready!(read)? == 0;
        Poll::Ready(Ok(()))
    }
}

impl Lines {
    /// Whether the peer has closed both directions: who has closed only the one in which it sends
    /// may still listen.
    fn has_gone(&self) -> bool {
        let mut socket = [PollFd::new(&self.stream, PollFlags::empty())];
        let looked = poll(&mut socket, Some(&Timespec::default()));
        looked.is_ok() && socket[0].revents().contains(PollFlags::HUP)
    }
}

impl Stream for Lines {
    type Item = io::Result<Arrival>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                let last = this.codec.decode_eof(&mut this.input).transpose();
                let gone = || this.has_gone().then(|| Err(io::ErrorKind::BrokenPipe.into()));
                return Poll::Ready(last.or_else(gone));
            }
            if !this.input.is_empty()
                && let Some(arrival) = this.codec.decode(&mut this.input)?
            {
                return Poll::Ready(Some(Ok(arrival)));
            }
            ready!(this.poll_fill(cx))?;
        }
    }
}

impl Sink<Bytes> for Lines {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.len() - self.taken < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        let this = &mut *self;
        this.codec.encode(message, &mut this.output)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.taken < this.output.len() {
            let rest = &this.output[this.taken..];
            match ready!(Pin::new(&mut this.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => this.taken += bytes,
            }
        }
        this.taken = 0;
        if this.output.capacity() > KEPT_BUFFER {
            this.output = BytesMut::new();
        } else {
            this.output.clear();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LARGE: usize = 1 << 20;

    #[tokio::test]
    async fn no_buffer_is_kept_by_who_says_nothing() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(ours, LineCodec::default());
        let line = [&*vec![b'x'; LARGE], b"\nshort\n"].concat();
        let sent = tokio::spawn(async move {
            theirs.write_all(&line).await.unwrap();
            theirs
        });
        let large = lines.next().await.unwrap().unwrap();
        assert!(matches!(large, Arrival::Message(line) if line.len() == LARGE));
        let short = lines.next().await.unwrap().unwrap();
        assert_eq!(short, Arrival::Message(Bytes::from_static(b"short")));
        let mut theirs = sent.await.unwrap();
        assert!(lines.next().now_or_never().is_none());
        assert_eq!(lines.input.capacity(), 0);

        let taken = tokio::spawn(async move {
            let mut all = vec![0; LARGE + 1];
            theirs.read_exact(&mut all).await.unwrap();
            (theirs, all)
        });
        lines.send(Bytes::from(vec![b'y'; LARGE])).await.unwrap();
        let (theirs, all) = taken.await.unwrap();
        assert!(all[..LARGE].iter().all(|byte| *byte == b'y') && all[LARGE] == b'\n');
        assert!(lines.output.capacity() <= KEPT_BUFFER, "{}", lines.output.capacity());
        drop(theirs);
        assert_eq!(lines.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_only_sends_no_more_is_told_from_who_has_gone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(ours, LineCodec::default());
        theirs.write_all(b"last").await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), Arrival::Message("last".into()));
        assert!(lines.next().await.is_none(), "it may still listen");
        lines.send(Bytes::from_static(b"answer")).await.unwrap();
        let mut heard = [0; 7];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"answer\n");
        drop(theirs);
        assert_eq!(lines.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

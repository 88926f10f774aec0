//! A WebSocket as `serve_connection` and the client see it: messages in, messages out.
//!
//! Pings, pongs and the closing of the connection are dealt with here and never seen above.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use descartes_rpc::{
    frame::Arrival,
    keepalive::{Beat, Keepalive},
    peer::Peer,
};
use futures_core::Stream;
use futures_util::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::{io::poll_read_buf, sync::CancellationToken};

#[cfg(feature = "client")]
use super::mask::MaskKeys;
use super::{
    close::{Close, CloseCode, Farewell},
    frame::{Head, OpCode, apply_mask},
    reader::{Bounds, Inbound, Reader},
};
use crate::limits::{
    MAX_DISCARDED_BYTES, WS_CLOSE_WAIT, WS_CONTROL_PER_TURN, WS_KEPT_BUFFER, WS_WRITE_BUFFER,
};

/// Which end of the connection this is.
#[derive(Debug)]
pub(super) enum Side {
    Server,
    /// Frames of a client are masked (RFC 6455 section 5.3).
    #[cfg(feature = "client")]
    Client(MaskKeys),
}

/// What a socket is made with.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Longest message.
    pub(super) message: usize,
    /// How much of a longer one is skipped.
    pub(super) skip: usize,
    /// Time between two pings; a peer that sends nothing between them is gone.
    pub(super) ping: Duration,
    /// Cancelled, it is the reason for whatever end comes.
    pub(super) shutdown: CancellationToken,
    /// Whose credentials may be the reason; none on a client's side.
    pub(super) peer: Option<Peer>,
    /// Whether it had to log in.
    pub(super) login: bool,
}

/// A WebSocket after its handshake.
#[derive(Debug)]
pub(super) struct WsSocket<IO> {
    io: IO,
    side: Side,
    reader: Reader,
    /// Frames that the peer has not taken yet.
    out: BytesMut,
    /// What was written may still wait below, as it does in TLS.
    unflushed: bool,
    /// The answer to the last ping; earlier ones need none (section 5.5.3).
    pong: Option<Bytes>,
    keepalive: Keepalive,
    shutdown: CancellationToken,
    peer: Option<Peer>,
    login: bool,
    farewell: Option<Farewell>,
    ending: Ending,
}

/// How far the end of the connection is.
#[derive(Debug)]
enum Ending {
    /// There is none in sight; this is what will be said.
    Not(Close),
    /// The close frame is among what is sent.
    Saying { until: Pin<Box<Sleep>> },
    /// All is sent; the peer may still send so many bytes that nobody reads.
    Hearing { until: Pin<Box<Sleep>>, left: u64 },
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WsSocket<IO> {
    /// Must be called inside a runtime, whose clock it uses.
    pub(super) fn new(io: IO, side: Side, terms: Terms) -> Self {
        let Terms { message, skip, ping, shutdown, peer, login } = terms;
        let bounds = Bounds { message, skip, masked: matches!(side, Side::Server) };
        Self {
            io,
            side,
            reader: Reader::new(bounds),
            out: BytesMut::new(),
            unflushed: false,
            pong: None,
            keepalive: Keepalive::new(ping, true),
            shutdown,
            peer,
            login,
            farewell: None,
            ending: Ending::Not(Close::new(CloseCode::Normal, "")),
        }
    }

    /// What will be said when the connection is closed, unless there is a better reason.
    pub(super) fn close_with(&mut self, close: Close) {
        if let Ending::Not(planned) = &mut self.ending
            && planned.code == CloseCode::Normal
        {
            *planned = close;
        }
    }

    /// What the peer said when it closed.
    #[cfg(feature = "client")]
    pub(super) const fn farewell(&self) -> Option<&Farewell> {
        self.farewell.as_ref()
    }

    /// The next message, with everything that is due in between.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Arrival>>> {
        for _ in 0..WS_CONTROL_PER_TURN {
            match self.reader.next() {
                Ok(Some(Inbound::Message(arrival))) => return Poll::Ready(Some(Ok(arrival))),
                Ok(Some(Inbound::Ping(payload))) => self.pong = Some(payload),
                Ok(Some(Inbound::Pong)) => {}
                Ok(Some(Inbound::Close(farewell))) => {
                    self.farewell = Some(farewell);
                    return Poll::Ready(None);
                }
                Ok(None) => match ready!(self.poll_read(cx)) {
                    Ok(0) => return Poll::Ready(None),
                    Ok(_) => self.keepalive.heard(),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Err(close) => {
                    let error = io::Error::new(ErrorKind::InvalidData, close.reason().to_owned());
                    self.close_with(close);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        // A flood of control frames must not keep others from their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Before more is read, so that a peer that never pauses has its answer too.
        if self.pong.is_some() {
            self.write_aside(cx);
        }
        poll_read_buf(Pin::new(&mut self.io), cx, self.reader.room())
    }

    /// Nothing comes: sends what is due, and gives a peer up that has been silent for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Poll::Ready(beat) = self.keepalive.poll(cx) {
            match beat {
                Beat::Gone => {
                    let gone = "the peer answers no ping";
                    return Poll::Ready(io::Error::new(ErrorKind::TimedOut, gone));
                }
                Beat::Rest => self.rest(),
                Beat::Ping => {
                    self.rest();
                    self.put(OpCode::Ping, &[]);
                }
            }
        }
        if self.pong.is_none() && self.out.is_empty() && !self.unflushed {
            return Poll::Pending;
        }
        self.write_aside(cx);
        Poll::Pending
    }

    /// Writes what is due while the stream is polled.
    fn write_aside(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.poll_write_out(cx) {
            // Whoever takes nothing any more may have sent something before it left, which is read
            // to its end; writing tells the error itself.
            self.out.clear();
            self.unflushed = false;
            self.pong = None;
        }
    }

    /// Gives memory back that is not needed while nothing happens.
    fn rest(&mut self) {
        self.reader.rest();
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }

    /// Puts a frame behind what is to be sent.
    fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = match &mut self.side {
            Side::Server => None,
            #[cfg(feature = "client")]
            Side::Client(keys) => Some(keys.next()),
        };
        let head = Head { last: true, opcode, mask, length: payload.len() as u64 };
        head.write(&mut self.out);
        let at = self.out.len();
        self.out.extend_from_slice(payload);
        if let Some(mask) = mask {
            apply_mask(&mut self.out[at..], mask, 0);
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() < WS_WRITE_BUFFER
            && matches!(self.ending, Ending::Not(_))
            && let Some(payload) = self.pong.take()
        {
            self.put(OpCode::Pong, &payload);
        }
        self.unflushed |= !self.out.is_empty();
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        if self.out.try_reclaim(WS_KEPT_BUFFER + 1) {
            self.out = BytesMut::new();
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn usual_end(&self) -> Close {
        if self.shutdown.is_cancelled() {
            return Close::new(CloseCode::GoingAway, "the server stops");
        }
        Close::new(CloseCode::Normal, "")
    }

    /// Why whoever is at the other end has to leave, if it has to.
    fn expulsion(&self) -> Option<Close> {
        match self.peer.as_ref()?.principal() {
            None if self.login => Some(Close::new(CloseCode::LoginTimeout, "nobody has logged in")),
            None => None,
            Some(principal) => principal
                .validity()
                .is_over()
                .map(|_| Close::new(CloseCode::Forbidden, "the credentials are no longer valid")),
        }
    }

    /// The payload of our close frame.
    fn last_words(&self) -> Bytes {
        match (&self.farewell, &self.ending) {
            // Section 5.5.1: a close is answered with its own code.
            (Some(Farewell { code: Some(code), .. }), _) => {
                Bytes::copy_from_slice(&code.to_be_bytes())
            }
            (Some(Farewell { code: None, .. }), _) => Bytes::new(),
            (None, Ending::Not(close)) if close.code != CloseCode::Normal => close.payload(),
            _ => self.expulsion().unwrap_or_else(|| self.usual_end()).payload(),
        }
    }

    /// Says farewell, and hears the peer out so that a reset does not overtake the close frame.
    ///
    /// Nothing may follow a close frame, so this side of the stream is shut at once: a peer that
    /// waits for the end of the stream does not wait for us. Bounded in time and in bytes.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.ending {
                Ending::Not(_) => {
                    let payload = self.last_words();
                    self.put(OpCode::Close, &payload);
                    self.ending = Ending::Saying { until: Box::pin(sleep(WS_CLOSE_WAIT)) };
                }
                Ending::Saying { until } => {
                    if until.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                    }
                    ready!(self.poll_write_out(cx))?;
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    let until = Box::pin(sleep(WS_CLOSE_WAIT));
                    self.ending = Ending::Hearing { until, left: MAX_DISCARDED_BYTES };
                }
                Ending::Hearing { until, left } => {
                    if until.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    let mut waste = [0; 4096];
                    let mut read = ReadBuf::new(&mut waste);
                    let ended = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)).is_err();
                    *left = left.saturating_sub(read.filled().len() as u64);
                    if ended || read.filled().is_empty() || *left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for WsSocket<IO> {
    type Item = io::Result<Arrival>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.poll_message(cx) {
            Poll::Pending => self.poll_idle(cx).map(|error| Some(Err(error))),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Bytes> for WsSocket<IO> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() < WS_WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_out(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        self.put(OpCode::Text, &message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}

#[cfg(test)]
mod tests;

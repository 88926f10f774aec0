//! A connection as its owner sees it: messages in, messages out.
//!
//! Commands are dealt with here and never seen above, but for subscriptions.

#[cfg(test)]
mod tests;

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use descartes_rpc::{
    auth::Secret,
    keepalive::{Beat, Keepalive},
};
use futures_core::Stream;
use futures_util::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep, timeout},
};
use tokio_util::io::poll_read_buf;

use super::{
    HandshakeError, Multipart, ProtocolError, Received, SocketType,
    command::{self, Command},
    greeting::Version,
    handshake::{self, Side},
    outbox::Outbox,
    patience::Patience,
    reader::{Inbound, Reader},
    unfinished::Unfinished,
};
use crate::limits::{CLOSE_WAIT, COMMANDS_PER_TURN, DISCARDED_BYTES, WRITE_BUFFER, ZmtpLimits};

/// In what a PING says how long its sender may be silent ("Connection Heartbeating").
const TTL_UNIT: Duration = Duration::from_millis(100);

/// A ZMTP connection after its handshake.
///
/// It is a stream of what the peer sends and a sink of messages. Frames are handed up as they came:
/// the empty delimiter of REQ, and whatever else an envelope has, is for the owner.
///
/// Both halves belong into one task, because only the last task that polled is woken. PINGs are
/// answered, and ours are sent, while the stream is polled. A message that was given to the sink is
/// sent when the sink is flushed, or when the stream is polled and nothing comes. Messages are sent
/// whole, so dropping a future that flushes loses nothing. Dropping the socket cuts the connection
/// and what was not sent; `close` of the sink sends it first, and waits a little for the peer to
/// leave.
///
/// ```
/// # use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
/// use futures_util::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, theirs) = tokio::io::duplex(1024);
/// let limits = ZmtpLimits::default();
/// let (router, dealer) = tokio::join!(
///     ZmtpSocket::accept(ours, SocketType::Router, limits),
///     ZmtpSocket::connect(theirs, SocketType::Dealer, limits),
/// );
/// let (mut router, mut dealer) = (router?, dealer?);
/// dealer.send(Multipart::single("ping")).await?;
/// let received = router.next().await.ok_or("gone")??;
/// assert_eq!(received, Received::Message(Multipart::single("ping")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ZmtpSocket<IO> {
    io: IO,
    kind: SocketType,
    peer: SocketType,
    version: Version,
    reader: Reader,
    out: Outbox,
    /// The context of the last PING that was not answered; earlier ones need no answer, since
    /// anything that comes is a sign of life.
    pong: Option<Bytes>,
    keepalive: Keepalive,
    patience: Patience,
    ending: Ending,
}

/// How far the end of the connection is.
#[derive(Debug)]
enum Ending {
    Not,
    /// What was due is being sent.
    Sending {
        until: Pin<Box<Sleep>>,
    },
    /// All is sent; the peer may still send so many bytes that nobody reads.
    Hearing {
        until: Pin<Box<Sleep>>,
        left: u64,
    },
}

async fn in_time<T>(
    limits: ZmtpLimits,
    shaken: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    let shaken = timeout(limits.handshake, shaken).await;
    shaken.map_err(|_elapsed| HandshakeError::TimedOut(limits.handshake))?
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ZmtpSocket<IO> {
    /// Shakes hands with a peer that has connected. Must be called inside a runtime with a clock.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is then closed. A peer whose socket does not fit has been
    /// told so. Bounded by [`ZmtpLimits::handshake`].
    pub async fn accept(
        io: IO,
        kind: SocketType,
        limits: ZmtpLimits,
    ) -> Result<Self, HandshakeError> {
        Self::shake(io, Side::Server, kind, limits).await
    }

    /// Shakes hands with a peer to which `io` is connected. Must be called inside a runtime with a
    /// clock.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is then closed. Bounded by [`ZmtpLimits::handshake`].
    pub async fn connect(
        io: IO,
        kind: SocketType,
        limits: ZmtpLimits,
    ) -> Result<Self, HandshakeError> {
        Self::shake(io, Side::Client, kind, limits).await
    }

    /// Shakes hands with a peer that has connected and must have credentials (PLAIN): `check` is
    /// given them before the peer is told anything, and gives what it knows of their owner. Must be
    /// called inside a runtime with a clock.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`], also that of `check`; the connection is then closed, and only
    /// [`Unauthenticated`](HandshakeError::Unauthenticated) is told the peer. Bounded by
    /// [`ZmtpLimits::handshake`], the time of `check` included.
    pub async fn accept_plain<F, T>(
        mut io: IO,
        kind: SocketType,
        limits: ZmtpLimits,
        check: impl FnOnce(Secret) -> F,
    ) -> Result<(Self, T), HandshakeError>
    where
        F: Future<Output = Result<T, HandshakeError>>,
    {
        let mut reader = Reader::new(limits);
        let shaken = handshake::plain_server(&mut io, &mut reader, kind, check);
        let (peer, version, found) = in_time(limits, shaken).await?;
        Ok((Self::shaken((io, reader), kind, limits, (peer, version)), found))
    }

    /// Shakes hands with a peer that has connected and may have credentials: with PLAIN as
    /// [`accept_plain`](Self::accept_plain) does, and with NULL as [`accept`](Self::accept); then
    /// there is nothing that `check` knows. Must be called inside a runtime with a clock.
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub async fn accept_any<F, T>(
        mut io: IO,
        kind: SocketType,
        limits: ZmtpLimits,
        check: impl FnOnce(Secret) -> F,
    ) -> Result<(Self, Option<T>), HandshakeError>
    where
        F: Future<Output = Result<T, HandshakeError>>,
    {
        let mut reader = Reader::new(limits);
        let shaken = handshake::any_server(&mut io, &mut reader, kind, check);
        let (peer, version, found) = in_time(limits, shaken).await?;
        Ok((Self::shaken((io, reader), kind, limits, (peer, version)), found))
    }

    /// Shakes hands with a peer that wants to see `credentials`, a key or a token (PLAIN). Must be
    /// called inside a runtime with a clock.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is then closed. Bounded by [`ZmtpLimits::handshake`].
    pub async fn connect_plain(
        mut io: IO,
        kind: SocketType,
        limits: ZmtpLimits,
        credentials: &Secret,
    ) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(limits);
        let shaken = handshake::plain_client(&mut io, &mut reader, kind, credentials);
        let found = in_time(limits, shaken).await?;
        Ok(Self::shaken((io, reader), kind, limits, found))
    }

    async fn shake(
        mut io: IO,
        side: Side,
        kind: SocketType,
        limits: ZmtpLimits,
    ) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(limits);
        let found = in_time(limits, handshake::null(&mut io, &mut reader, side, kind)).await?;
        Ok(Self::shaken((io, reader), kind, limits, found))
    }

    fn shaken(
        (io, mut reader): (IO, Reader),
        kind: SocketType,
        limits: ZmtpLimits,
        (peer, version): (SocketType, Version),
    ) -> Self {
        reader.rest();
        Self {
            io,
            kind,
            peer,
            version,
            reader,
            out: Outbox::default(),
            pong: None,
            keepalive: Keepalive::new(limits.ping, version.has_commands()),
            patience: Patience::default(),
            ending: Ending::Not,
        }
    }

    /// From now on what this and other peers have sent of unfinished messages is bounded together:
    /// a message beyond it is skipped like one that is too long, and a long one that does not come
    /// to its end ends the connection.
    pub(crate) fn share(&mut self, unfinished: &Arc<Unfinished>) {
        self.reader.share(Arc::clone(unfinished));
    }

    /// What the peer is; it fits what we are.
    pub const fn peer_type(&self) -> SocketType {
        self.peer
    }

    /// Bytes that were given to the sink and that the stream below has not taken yet.
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Asks the peer for messages that begin with `prefix`, in the form that its version knows;
    /// sent like a message. Subscriptions are counted: two of them need two [`Self::cancel`].
    ///
    /// # Errors
    ///
    /// `Unsupported`, when this is neither SUB nor XSUB.
    pub fn subscribe(&mut self, prefix: &[u8]) -> io::Result<()> {
        self.put_subscription(true, prefix)
    }

    /// Takes a subscription back.
    ///
    /// # Errors
    ///
    /// `Unsupported`, when this is neither SUB nor XSUB.
    pub fn cancel(&mut self, prefix: &[u8]) -> io::Result<()> {
        self.put_subscription(false, prefix)
    }

    fn put_subscription(&mut self, subscribe: bool, prefix: &[u8]) -> io::Result<()> {
        if !self.kind.subscribes() {
            return Err(ErrorKind::Unsupported.into());
        }
        if self.version.has_commands() {
            self.out.put_command(&command::subscription(subscribe, prefix));
        } else {
            let mut message = BytesMut::with_capacity(1 + prefix.len());
            message.put_u8(u8::from(subscribe));
            message.put_slice(prefix);
            self.out.put_message(&Multipart::single(message.freeze()));
        }
        Ok(())
    }

    /// The next thing for the owner, with everything that is due in between.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Received>>> {
        for _ in 0..COMMANDS_PER_TURN {
            match self.reader.next().and_then(|inbound| self.take(inbound)) {
                Ok(Taken::Received(received)) => return Poll::Ready(Some(Ok(received))),
                Ok(Taken::Done) => {}
                Ok(Taken::Nothing) => match ready!(self.poll_read(cx)) {
                    Ok(0) => return Poll::Ready(None),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
        // A flood of commands must not keep others from their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Deals with what is not for the owner.
    fn take(&mut self, inbound: Option<Inbound>) -> Result<Taken, ProtocolError> {
        let command = match inbound {
            None => return Ok(Taken::Nothing),
            Some(Inbound::Oversize) => return Ok(Taken::Received(Received::Oversize)),
            Some(Inbound::Crowded) => return Ok(Taken::Received(Received::Crowded)),
            Some(Inbound::Message(message)) => return Ok(Taken::Received(self.sort(message))),
            Some(Inbound::Command(body)) => Command::read(&body)?,
        };
        match command {
            Command::Ping { ttl, context } => {
                if ttl > 0 {
                    self.keepalive.promised(TTL_UNIT * u32::from(ttl));
                }
                self.pong = Some(context);
            }
            Command::Subscribe(prefix) if self.kind.publishes() => {
                return Ok(Taken::Received(Received::Subscribe(prefix)));
            }
            Command::Cancel(prefix) if self.kind.publishes() => {
                return Ok(Taken::Received(Received::Cancel(prefix)));
            }
            // Fatal also now ("Error Handling").
            Command::Error(reason) => return Err(ProtocolError::Reported(reason)),
            _ => {}
        }
        Ok(Taken::Done)
    }

    /// Tells the subscriptions of ZMTP 3.0 from messages (RFC 23, "The Publish-Subscribe Pattern").
    fn sort(&self, message: Multipart) -> Received {
        if self.kind.publishes()
            && let [frame] = message.frames()
        {
            match frame.first() {
                Some(1) => return Received::Subscribe(frame.slice(1..)),
                Some(0) => return Received::Cancel(frame.slice(1..)),
                _ => {}
            }
        }
        Received::Message(message)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Before more is read, so that a peer that never pauses has its answer too.
        if self.pong.is_some() {
            self.write_aside(cx);
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.io), cx, self.reader.room()));
        if let Ok(bytes @ 1..) = read {
            self.reader.arrived(bytes);
            self.keepalive.heard();
        }
        Poll::Ready(read)
    }

    /// Nothing comes: sends what is due, and gives a peer up that has been silent for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.patience.poll(self.reader.long(), cx).is_ready() {
            let slow = "a long message does not come to its end";
            return Poll::Ready(io::Error::new(ErrorKind::TimedOut, slow));
        }
        if let Poll::Ready(beat) = self.keepalive.poll(cx) {
            match beat {
                Beat::Gone => {
                    let gone = "the peer gives no sign of life";
                    return Poll::Ready(io::Error::new(ErrorKind::TimedOut, gone));
                }
                Beat::Rest => self.rest(),
                Beat::Ping => {
                    self.rest();
                    if self.out.len() < WRITE_BUFFER {
                        self.out.put_command(&command::ping());
                    }
                }
            }
        }
        if self.pong.is_some() || !self.out.is_empty() {
            self.write_aside(cx);
        }
        Poll::Pending
    }

    /// Writes what is due while the stream is polled.
    fn write_aside(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.poll_write_out(cx) {
            // Whoever takes nothing any more may have sent something before it left, which is read
            // to its end; writing tells the error itself.
            self.out.clear();
            self.pong = None;
        }
    }

    /// Gives memory back that is not needed while nothing happens.
    fn rest(&mut self) {
        self.reader.rest();
        if self.out.is_empty() {
            self.out.clear();
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() < WRITE_BUFFER
            && let Some(context) = self.pong.take()
        {
            self.out.put_command(&command::pong(&context));
        }
        let before = self.out.len();
        let written = self.out.poll_write(&mut self.io, cx);
        if written.is_pending() && self.out.len() < before {
            // A peer that takes bytes lives; the answer to our PING may come late, since the PING
            // itself has to wait for what was written before it.
            self.keepalive.heard();
        }
        written
    }

    /// Sends what is due, and hears the peer out so that a reset does not overtake it. Bounded in
    /// time and in bytes.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.ending {
                Ending::Not => {
                    self.ending = Ending::Sending { until: Box::pin(sleep(CLOSE_WAIT)) };
                }
                Ending::Sending { until } => {
                    if until.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                    }
                    ready!(self.out.poll_write(&mut self.io, cx))?;
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    let until = Box::pin(sleep(CLOSE_WAIT));
                    self.ending = Ending::Hearing { until, left: DISCARDED_BYTES };
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

/// What became of something that came.
enum Taken {
    Received(Received),
    /// It was dealt with.
    Done,
    /// There was nothing whole.
    Nothing,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for ZmtpSocket<IO> {
    type Item = io::Result<Received>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.poll_received(cx) {
            Poll::Pending => self.poll_idle(cx).map(|error| Some(Err(error))),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Multipart> for ZmtpSocket<IO> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_out(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Multipart) -> io::Result<()> {
        self.out.put_message(&message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}

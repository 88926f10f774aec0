//! One subscriber: subscriptions come in, messages go out.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use descartes_rpc::{peer::Peer, service::RpcService};
use futures_core::Stream;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep},
};

use super::{follow::Follow, prefixes::Prefixes};
use crate::{
    limits::{RECEIVED_PER_TURN, SENT_PER_TURN},
    zmtp::{Multipart, Received, ZmtpSocket},
};

/// How long a subscriber may take nothing of what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Usually.
    pub(super) stall: Duration,
    /// While the server is going down.
    pub(super) stall_draining: Duration,
}

/// Serves one subscriber until it leaves, or until `shutdown` completes and all that was committed
/// by then is sent.
///
/// # Errors
///
/// What `io` failed with; `TimedOut` when the subscriber took nothing for too long, `QuotaExceeded`
/// when it wanted more subscriptions than are kept.
pub(super) async fn serve_subscriber<S, IO>(
    rpc: S,
    peer: Peer,
    mut io: ZmtpSocket<IO>,
    patience: Patience,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    S: RpcService,
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut subscriber = Subscriber::new(Follow::new(rpc, peer), patience);
    let mut shutdown = pin!(shutdown);
    poll_fn(|cx| {
        if !subscriber.draining && shutdown.as_mut().poll(cx).is_ready() {
            subscriber.draining = true;
            subscriber.follow.finish();
        }
        subscriber.poll(&mut io, cx)
    })
    .await?;
    io.close().await
}

struct Subscriber<S> {
    prefixes: Prefixes,
    follow: Follow<S>,
    patience: Patience,
    /// Nothing is read any more; what was committed is sent.
    draining: bool,
    /// The peer has left.
    left: bool,
    /// There will be no more messages.
    finished: bool,
    /// Bytes of the messages that were given to the sink.
    given: u64,
    standstill: Option<Standstill>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: RpcService> Subscriber<S> {
    fn new(follow: Follow<S>, patience: Patience) -> Self {
        Self {
            prefixes: Prefixes::default(),
            follow,
            patience,
            draining: false,
            left: false,
            finished: false,
            given: 0,
            standstill: None,
            timer: None,
        }
    }

    fn poll<IO>(&mut self, io: &mut ZmtpSocket<IO>, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let more_to_read = self.poll_received(io, cx)?;
        if self.left {
            return Poll::Ready(Ok(()));
        }
        let more_to_send = self.poll_messages(io, cx)?;
        let taken = io.poll_flush_unpin(cx)?.is_ready();
        if self.finished && taken {
            return Poll::Ready(Ok(()));
        }
        if more_to_read || (more_to_send && taken) {
            // Other tasks get their turn in between.
            cx.waker().wake_by_ref();
        }
        if taken {
            self.standstill = None;
            return Poll::Pending;
        }
        self.poll_stalled(io.unsent(), cx)
    }

    /// Takes what the peer says; true when there may be more of it at once.
    fn poll_received<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> io::Result<bool>
    where
        T: Stream<Item = io::Result<Received>> + Unpin,
    {
        if self.draining {
            return Ok(false);
        }
        let (mut changed, mut more) = (false, true);
        for _ in 0..RECEIVED_PER_TURN {
            match io.poll_next_unpin(cx) {
                Poll::Ready(Some(received)) => {
                    changed |= self.hear(&received?)?;
                    continue;
                }
                Poll::Ready(None) => self.left = true,
                Poll::Pending => {}
            }
            more = false;
            break;
        }
        if changed {
            self.follow.follow(self.prefixes.wanted());
        }
        Ok(more)
    }

    /// True when it was about subscriptions. Anything else that a subscriber sends is for nobody.
    fn hear(&mut self, received: &Received) -> io::Result<bool> {
        match received {
            Received::Subscribe(prefix) => self
                .prefixes
                .subscribe(prefix)
                .map_err(|error| io::Error::new(io::ErrorKind::QuotaExceeded, error))?,
            Received::Cancel(prefix) => self.prefixes.cancel(prefix),
            Received::Message(_) | Received::Oversize | Received::Crowded => return Ok(false),
        }
        Ok(true)
    }

    /// Gives messages to the sink as long as it takes them; true when there may be more at once.
    fn poll_messages<T>(&mut self, io: &mut T, cx: &mut Context<'_>) -> io::Result<bool>
    where
        T: Sink<Multipart, Error = io::Error> + Unpin,
    {
        let mut sent = 0;
        while !self.finished && sent < SENT_PER_TURN {
            if io.poll_ready_unpin(cx)?.is_pending() {
                return Ok(true);
            }
            match self.follow.poll_message(cx) {
                Poll::Ready(Some(message)) => {
                    let message = message.map_err(io::Error::other)?;
                    sent += message.len();
                    self.given += message.len() as u64;
                    io.start_send_unpin(Multipart::single(message))?;
                }
                Poll::Ready(None) => self.finished = true,
                Poll::Pending => return Ok(false),
            }
        }
        Ok(!self.finished)
    }

    /// The peer does not take everything for now: watches that it takes something.
    fn poll_stalled(&mut self, unsent: usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Patience { stall, stall_draining } = self.patience;
        let patience = if self.draining { stall_draining } else { stall };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        let taken = self.given.saturating_sub(unsent as u64);
        let moved = |before: &Standstill| taken > before.taken || self.draining != before.draining;
        if self.standstill.as_ref().is_none_or(moved) {
            self.standstill = Some(Standstill { taken, draining: self.draining });
            timer.as_mut().reset(Instant::now() + patience);
        }
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the subscriber takes nothing")))
    }
}

/// What it was like when the timer was set.
#[derive(Clone, Copy, Debug)]
struct Standstill {
    /// Bytes that the peer had taken. What the socket sends on its own account is not seen to be
    /// taken, so a PING that finds no room is no progress.
    taken: u64,
    draining: bool,
}

//! A duplex connection: always read, answered as answers come, written in batches.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{
    Sink, StreamExt,
    stream::{FuturesUnordered, SelectAll},
};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    Connection, ConnectionLimits,
    language::{JsonRpc, Language, Spoken},
    outbox::Outbox,
    waits::WaitEnd,
};
use crate::{
    error::RpcError,
    frame::Arrival,
    limits::{
        BATCHES_PER_CONNECTION, DRAIN_MESSAGES, DRAIN_PATIENCE, DRAIN_QUIET, LINGER,
        MESSAGES_PER_TURN,
    },
    message::EndReason,
    peer::Peer,
    service::RpcService,
};

/// Serves one duplex connection until its peer leaves, its credentials are over, or `shutdown`
/// completes, and all is said: streams and waits are told that it ends, calls go on to their
/// answers, and what the peer sends before it can know is answered until it is quiet.
///
/// Calls start in the order of arrival and run concurrently; answers go out as they are ready,
/// many with one flush; notifications follow their subscription's response. `io` yields messages,
/// or [`Arrival`]s where it can tell an oversize message from a broken connection, and takes
/// messages without framing.
///
/// A peer that is gone loses its waits, its streams and its answers, but what it sent before it left
/// still begins, also when an answer finds nobody. Dropping the future ends waits too; what had
/// begun to change goes on.
///
/// # Errors
///
/// What `io` failed with, or `TimedOut` when the peer took nothing for too long.
pub async fn serve_connection<S, T, M>(
    service: S,
    peer: Peer,
    io: T,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    S: RpcService,
    T: Stream<Item = io::Result<M>> + Sink<Bytes, Error = io::Error> + Send,
    M: Into<Arrival>,
{
    let departure = peer.clone();
    let end = async {
        tokio::select! {
            () = shutdown => EndReason::Shutdown,
            reason = departure.departs(limits.login) => reason,
        }
    };
    serve(JsonRpc::new(service, peer), io, limits, end).await
}

/// Serves one duplex connection on which `language` is spoken, just as [`serve_connection`] does
/// for JSON-RPC.
///
/// # Errors
///
/// What `io` failed with, or `TimedOut` when the peer took nothing for too long.
pub async fn serve_language<L, T, M>(
    language: L,
    io: T,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    L: Language,
    T: Stream<Item = io::Result<M>> + Sink<Bytes, Error = io::Error> + Send,
    M: Into<Arrival>,
{
    let end = async {
        shutdown.await;
        EndReason::Shutdown
    };
    serve(language, io, limits, end).await
}

/// Serves until the peer leaves or `end` says why nothing more is read.
async fn serve<L, T, M>(
    language: L,
    io: T,
    limits: ConnectionLimits,
    end: impl Future<Output = EndReason> + Send,
) -> io::Result<()>
where
    L: Language,
    T: Stream<Item = io::Result<M>> + Sink<Bytes, Error = io::Error> + Send,
    M: Into<Arrival>,
{
    let mut driver = Driver::new(language, limits);
    let (mut io, mut end, mut begun) = (pin!(io), pin!(end), false);
    poll_fn(|cx| {
        if driver.phase == Phase::Open
            && let Poll::Ready(reason) = end.as_mut().poll(cx)
        {
            driver.drain(reason);
            // Who comes after the end is not heard.
            if !begun {
                driver.phase = Phase::Closing;
            }
        }
        begun = true;
        driver.poll(io.as_mut(), cx)
    })
    .await?;
    poll_fn(|cx| io.as_mut().poll_close(cx)).await
}

/// How many rounds of work are done before other tasks get their turn.
const ROUNDS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages are read.
    Open,
    /// The peer will send no more; what was begun may end.
    Lingering,
    /// Shutting down: what the peer sends before it knows is answered, until it is quiet.
    Draining,
    /// Nothing more is read.
    Closing,
}

struct Driver<L: Language> {
    language: L,
    connection: Connection,
    limits: ConnectionLimits,
    phase: Phase,
    calls: FuturesUnordered<Pin<Box<L::Answering>>>,
    /// The room that the next call is tried in; given away when the call has to wait.
    spare: Option<Pin<Box<L::Answering>>>,
    streams: SelectAll<L::Stream>,
    outbox: Outbox,
    clock: Clock,
    /// What the peer was lost with: nothing is written any more.
    lost: Option<io::Error>,
    /// Counts what has arrived, so that idling can be told.
    arrived: u64,
    /// When it was to shut down, and what had arrived by then.
    farewell: Option<(Instant, u64)>,
}

impl<L: Language> Driver<L> {
    fn new(language: L, limits: ConnectionLimits) -> Self {
        Self {
            language,
            connection: Connection::new(limits),
            limits,
            phase: Phase::Open,
            calls: FuturesUnordered::new(),
            spare: None,
            streams: SelectAll::new(),
            outbox: Outbox::default(),
            clock: Clock::default(),
            lost: None,
            arrived: 0,
            farewell: None,
        }
    }

    /// Waits and streams end and say why. Of a shutdown the peer may not know yet; who is believed
    /// no longer is not heard any more.
    fn drain(&mut self, reason: EndReason) {
        self.phase = match reason {
            EndReason::Shutdown => Phase::Draining,
            _ => Phase::Closing,
        };
        self.farewell = Some((Instant::now(), self.arrived));
        self.connection.end_waits(WaitEnd::Draining);
        self.connection.end_streams(reason);
    }

    fn poll<T, M>(&mut self, mut io: Pin<&mut T>, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: Stream<Item = io::Result<M>> + Sink<Bytes, Error = io::Error>,
        M: Into<Arrival>,
    {
        if self.lost.is_some() && self.clock.poll(Mark::Lost, LINGER, cx).is_ready() {
            return self.end();
        }
        for _ in 0..ROUNDS {
            let mut moved = self.poll_calls(cx);
            moved |= self.poll_read(io.as_mut(), cx);
            moved |= self.poll_streams(cx);
            let before = self.outbox.progress();
            let drained = self.poll_write(io.as_mut(), cx);
            // Room was made: what rested for want of it is looked at again.
            moved |= self.outbox.progress() != before;
            if drained && self.is_done() {
                return self.end();
            }
            if !moved {
                return self.poll_clock(drained, cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn end(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(self.lost.take().map_or(Ok(()), Err))
    }

    /// The peer takes nothing any more. What it sent before it left may still be unread, or wait
    /// for its turn: that goes on for a while.
    fn lose(&mut self, error: io::Error) {
        self.lost.get_or_insert(error);
        self.outbox.clear();
        self.streams.clear();
        self.connection.end_waits(WaitEnd::Cancelled);
        if self.phase == Phase::Draining {
            self.phase = Phase::Closing;
        }
    }

    /// Writes what is due; true when nothing is left.
    fn poll_write<T>(&mut self, io: Pin<&mut T>, cx: &mut Context<'_>) -> bool
    where
        T: Sink<Bytes, Error = io::Error>,
    {
        if self.lost.is_some() {
            return true;
        }
        match self.outbox.poll_drain(io, cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.lose(error);
                true
            }
            Poll::Pending => false,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Lingering | Phase::Closing) && self.is_still()
    }

    fn is_still(&self) -> bool {
        self.calls.is_empty() && self.streams.is_empty()
    }

    /// Whether messages are taken.
    fn hears(&self) -> bool {
        match (self.phase, self.farewell) {
            (Phase::Open, _) => true,
            (Phase::Draining, Some((_, before))) => self.arrived - before < DRAIN_MESSAGES,
            _ => false,
        }
    }

    /// Collects calls that have ended, as long as there is room for their answers.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.outbox.unsent() < self.limits.unsent_bytes
            && let Poll::Ready(Some(spoken)) = self.calls.poll_next_unpin(cx)
        {
            self.deliver(spoken.into());
            moved = true;
        }
        moved
    }

    /// The peer sends no more: what was begun may end, for as long as it may still listen.
    fn hear_out(&mut self) {
        if self.phase == Phase::Draining {
            self.phase = Phase::Closing;
            return;
        }
        self.phase = Phase::Lingering;
        if !self.limits.half_close {
            self.streams.clear();
            self.connection.end_waits(WaitEnd::Cancelled);
        }
    }

    /// Takes messages as long as there is room for their answers.
    fn poll_read<T, M>(&mut self, mut io: Pin<&mut T>, cx: &mut Context<'_>) -> bool
    where
        T: Stream<Item = io::Result<M>>,
        M: Into<Arrival>,
    {
        let mut moved = false;
        for _ in 0..MESSAGES_PER_TURN {
            if !self.hears() || self.outbox.unsent() >= self.limits.unsent_bytes {
                break;
            }
            match io.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(arrival))) => self.receive(arrival.into(), cx),
                Poll::Ready(Some(Err(error))) => {
                    self.lose(error);
                    self.phase = Phase::Lingering;
                }
                Poll::Ready(None) => self.hear_out(),
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    fn receive(&mut self, arrival: Arrival, cx: &mut Context<'_>) {
        self.arrived += 1;
        match arrival {
            Arrival::Message(message) if message.len() <= self.limits.request_bytes => {
                if self.calls.len() >= self.most_calls() {
                    return self.refuse_more();
                }
                let answering = self.language.answer(&self.connection, message);
                self.begin(answering, cx);
            }
            Arrival::Message(_) | Arrival::Oversize => {
                let max = self.limits.request_bytes as u64;
                self.refuse(RpcError::oversize(L::BYTES_KEY, max));
            }
        }
    }

    /// Tries a call at once; only one that has to wait is kept.
    fn begin(&mut self, answering: L::Answering, cx: &mut Context<'_>) {
        let mut boxed = match self.spare.take() {
            Some(mut boxed) => {
                boxed.as_mut().set(answering);
                boxed
            }
            None => Box::pin(answering),
        };
        match boxed.as_mut().poll(cx) {
            Poll::Ready(spoken) => {
                boxed.as_mut().set(L::over());
                self.spare = Some(boxed);
                self.deliver(spoken.into());
            }
            Poll::Pending => self.calls.push(boxed),
        }
    }

    /// What a service of its own bounds refuses itself; this is for one that has none.
    fn most_calls(&self) -> usize {
        let limits = &self.limits;
        limits.calls + limits.control + limits.waits + BATCHES_PER_CONNECTION
    }

    fn refuse_more(&mut self) {
        let (current, max) = (self.calls.len() as u64, self.most_calls() as u64);
        self.refuse(RpcError::exhausted("limits.calls_per_connection", current, max));
    }

    fn refuse(&mut self, error: RpcError) {
        let body = Some(self.language.refuse(error));
        self.deliver(Spoken { body, stream: None });
    }

    fn deliver(&mut self, spoken: Spoken<L::Stream>) {
        if self.lost.is_some() {
            return;
        }
        if let Some(body) = spoken.body {
            self.outbox.push(body);
        }
        if let Some(stream) = spoken.stream {
            self.streams.push(stream);
        }
    }

    /// Pulls notifications as long as the peer keeps up.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.outbox.unsent() < self.limits.stream_bytes
            && let Poll::Ready(Some(item)) = self.streams.poll_next_unpin(cx)
        {
            self.outbox.push(L::follow(item));
            moved = true;
        }
        moved
    }

    /// Nothing moves: watches that this does not last too long.
    fn poll_clock(&mut self, drained: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((mark, after)) = self.timed(drained) else {
            self.clock.stop();
            return Poll::Pending;
        };
        if self.clock.poll(mark, after, cx).is_pending() {
            return Poll::Pending;
        }
        match mark {
            Mark::Stalled(..) => {
                let why = "the peer takes nothing";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            Mark::Lost => self.end(),
            Mark::Idle(_) => Poll::Ready(Ok(())),
            Mark::Quiet(_) => {
                self.phase = Phase::Closing;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Mark::Lingering => {
                // The peer is gone as far as can be told. Waits and streams end; calls go on.
                self.streams.clear();
                self.connection.end_waits(WaitEnd::Cancelled);
                self.phase = Phase::Closing;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// What must not last, and how long it may.
    fn timed(&self, drained: bool) -> Option<(Mark, Duration)> {
        if self.lost.is_some() {
            return Some((Mark::Lost, LINGER));
        }
        let stall = match self.phase {
            Phase::Draining | Phase::Closing => self.limits.stall_draining,
            Phase::Open | Phase::Lingering => self.limits.stall,
        };
        match self.phase {
            phase if !drained => Some((Mark::Stalled(self.outbox.progress(), phase), stall)),
            Phase::Lingering => Some((Mark::Lingering, LINGER)),
            Phase::Open if self.calls.is_empty() && self.streams.is_empty() => {
                self.limits.idle.map(|after| (Mark::Idle(self.arrived), after))
            }
            Phase::Draining if self.is_still() => {
                let longest = self.farewell.map_or(Duration::ZERO, |(begun, _)| {
                    DRAIN_PATIENCE.saturating_sub(begun.elapsed())
                });
                Some((Mark::Quiet(self.arrived), DRAIN_QUIET.min(longest)))
            }
            Phase::Open | Phase::Draining | Phase::Closing => None,
        }
    }
}

/// What is being timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The peer takes nothing since the outbox last moved.
    Stalled(u64, Phase),
    /// The peer sends no more.
    Lingering,
    /// The peer takes no more.
    Lost,
    /// Nothing is under way since so many messages.
    Idle(u64),
    /// The same of one that is shut down.
    Quiet(u64),
}

/// A timer that starts anew whenever something else is timed.
#[derive(Default)]
struct Clock {
    mark: Option<Mark>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn stop(&mut self) {
        self.mark = None;
    }

    fn poll(&mut self, mark: Mark, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
        if self.mark != Some(mark) {
            self.mark = Some(mark);
            timer.as_mut().reset(Instant::now() + after);
        }
        timer.as_mut().poll(cx)
    }
}

//! The task of a connection: reads, lets each conversation go on, writes, in turns.
//!
//! Nothing here is spawned and no message changes threads between being read and being answered.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use descartes_rpc::{
    connection::{ConnectionLimits, serve_connection},
    error::RpcError,
    frame::Arrival,
    limits::{DRAIN_MESSAGES, DRAIN_PATIENCE, DRAIN_QUIET, MESSAGES_PER_TURN},
    peer::Peer,
    service::RpcService,
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::refusal::{malformed, packed, refused};
use crate::{
    limits::{
        CONVERSATIONS, CONVERSATIONS_KEY, OUTBOX_BYTES, ROUNDS, UNFINISHED_BYTES, UNFINISHED_KEY,
    },
    msgpack::{MsgPackError, Unreadable, to_json},
    protocol::{self, AgentProtocol, Room},
    server::{
        activity::Counted,
        conversation::{Conversation, Serving},
        envelope::{Codec, Envelope, Opened, is_probe, open},
        gate::Wire,
        signal::Task,
    },
    zmtp::{Multipart, Received, SocketType, ZmtpSocket},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages are read.
    Open,
    /// The peer sends no more; what was begun may end.
    Left,
    /// Shutting down: what the peer sends before it knows is answered, until it is quiet.
    Draining,
}

/// A connection that is served.
pub(super) struct Connection<S> {
    rpc: S,
    peer: Peer,
    limits: ConnectionLimits,
    drain: CancellationToken,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    phase: Phase,
    task: Arc<Task>,
    conversations: Vec<Conversation>,
    /// Whose turn it is to be sent something.
    turn: usize,
    /// What the long messages of all conversations take up.
    room: Room,
    /// A message from behind one envelope too many: taken up or refused once the conversations that
    /// there are have had their turn. Nothing is read in between.
    waiting: Option<(Envelope, Codec, Bytes)>,
    /// Answers to what belongs to no conversation.
    refusals: VecDeque<Multipart>,
    /// What the peer was lost with: nothing is written any more.
    lost: Option<io::Error>,
    /// Messages that came.
    heard: u64,
    /// Messages that were sent.
    sent: u64,
    clock: Clock,
    /// When it was to shut down, and how many messages had come by then.
    farewell: Option<(Instant, u64)>,
}

impl<S: RpcService> Connection<S> {
    pub(super) fn new(
        rpc: S,
        peer: Peer,
        mut limits: ConnectionLimits,
        drain: CancellationToken,
    ) -> Self {
        // The end of a ZMTP connection is the end of both its sides; what idles is told here.
        limits.half_close = false;
        Self {
            rpc,
            peer,
            limits,
            draining: Box::pin(drain.clone().cancelled_owned()),
            drain,
            phase: Phase::Open,
            task: Arc::default(),
            conversations: Vec::new(),
            turn: 0,
            room: Room::default(),
            waiting: None,
            refusals: VecDeque::new(),
            lost: None,
            heard: 0,
            sent: 0,
            clock: Clock::default(),
            farewell: None,
        }
    }

    /// Serves until the peer leaves, or, once it is drained, all is said.
    ///
    /// # Errors
    ///
    /// What the socket failed with, or `TimedOut` when the peer took nothing for too long.
    pub(super) async fn serve<IO: Wire>(mut self, mut socket: ZmtpSocket<IO>) -> io::Result<()> {
        poll_fn(|cx| self.poll(&mut socket, cx)).await?;
        socket.close().await
    }

    fn poll<IO: Wire>(
        &mut self,
        socket: &mut ZmtpSocket<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.phase == Phase::Open && self.draining.as_mut().poll(cx).is_ready() {
            self.phase = Phase::Draining;
            self.farewell = Some((Instant::now(), self.heard));
        }
        self.task.look(cx);
        for _ in 0..ROUNDS {
            let mut moved = self.poll_read(socket, cx);
            moved |= self.poll_conversations()?;
            let sent = self.sent;
            let flushed = self.poll_write(socket, cx);
            moved |= sent != self.sent;
            self.conversations.retain(|conversation| !conversation.is_over());
            moved |= self.settle();
            if flushed && self.is_done() {
                return Poll::Ready(self.lost.take().map_or(Ok(()), Err));
            }
            if !moved {
                // Who takes nothing, sends nothing and has nothing under way is gone.
                if self.conversations.is_empty()
                    && let Some(error) = self.lost.take()
                {
                    return Poll::Ready(Err(error));
                }
                self.task.rest();
                if self.conversations.iter().any(Conversation::is_due) {
                    break;
                }
                return self.poll_clock(socket, flushed, cx);
            }
        }
        self.task.rest();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Left && self.is_still()
    }

    fn is_still(&self) -> bool {
        self.conversations.is_empty() && self.refusals.is_empty()
    }

    /// Whether messages are taken.
    fn hears(&self) -> bool {
        match (self.phase, self.farewell) {
            (Phase::Open, _) => true,
            (Phase::Draining, Some((_, before))) => self.heard - before < DRAIN_MESSAGES,
            _ => false,
        }
    }

    /// Takes messages as long as somebody reads them and their answers are taken.
    fn poll_read<IO: Wire>(&mut self, socket: &mut ZmtpSocket<IO>, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..MESSAGES_PER_TURN {
            if !self.may_read() {
                break;
            }
            match socket.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(received))) => self.receive(received, socket.peer_type()),
                Poll::Ready(Some(Err(error))) => {
                    self.lose(error);
                    self.leave();
                }
                Poll::Ready(None) => self.leave(),
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    fn may_read(&self) -> bool {
        let unsent: usize = self.conversations.iter().map(Conversation::unsent).sum();
        self.hears()
            && unsent < self.limits.unsent_bytes
            && self.refusals.len() < MESSAGES_PER_TURN
            && self.waiting.is_none()
            && self.conversations.iter().all(Conversation::has_room)
    }

    /// The peer sends no more.
    fn leave(&mut self) {
        self.phase = Phase::Left;
        self.conversations.iter().for_each(Conversation::end);
    }

    /// The peer takes nothing any more. What it sent before it left may still be unread: that is
    /// read to its end, and begins.
    fn lose(&mut self, error: io::Error) {
        self.lost.get_or_insert(error);
        self.refusals.clear();
        self.conversations.iter().for_each(Conversation::break_off);
    }

    fn receive(&mut self, received: Received, peer: SocketType) {
        self.heard += 1;
        match received {
            Received::Message(message) if self.heard == 1 && is_probe(&message) => {}
            Received::Message(message) => {
                let Opened { envelope, codec, body, fault } = open(message);
                match fault {
                    None => self.hear(envelope, codec, body),
                    Some(error) => self.refuse(&envelope, malformed(codec, &body, &error)),
                }
            }
            Received::Oversize => {
                let (envelope, codec) = self.likeliest(peer);
                self.pass_on(envelope, codec, Arrival::Oversize);
            }
            Received::Crowded => {
                let (envelope, codec) = self.likeliest(peer);
                let max = u64::try_from(UNFINISHED_BYTES).unwrap_or(u64::MAX);
                let error = RpcError::exhausted(UNFINISHED_KEY, max, max)
                    .hint("others are sending long messages: send it again");
                self.refuse(&envelope, malformed(codec, b"", &error));
            }
            // Nobody subscribes to a ROUTER.
            Received::Subscribe(_) | Received::Cancel(_) => {}
        }
    }

    /// Who sent a message whose envelope is gone: most probably whoever spoke last.
    fn likeliest(&self, peer: SocketType) -> (Envelope, Codec) {
        let live = self.conversations.iter().filter(|one| !one.has_ended());
        match (live.max_by_key(|one| one.heard), peer) {
            (Some(last), _) => (last.envelope.clone(), last.codec),
            (None, SocketType::Dealer) => (Envelope::default(), Codec::Json),
            (None, _) => (Envelope::delimiter(), Codec::Json),
        }
    }

    fn hear(&mut self, envelope: Envelope, codec: Codec, body: Bytes) {
        if self.make_room_for(&envelope, codec) {
            self.take_up(envelope, codec, body);
        } else {
            self.waiting = Some((envelope, codec, body));
        }
    }

    /// Takes up what waits, now that what could be answered at once has been; or refuses it. True
    /// when something waited.
    fn settle(&mut self) -> bool {
        let Some((envelope, codec, body)) = self.waiting.take() else { return false };
        if self.make_room_for(&envelope, codec) {
            self.take_up(envelope, codec, body);
            return true;
        }
        let max = CONVERSATIONS as u64;
        let error = RpcError::exhausted(CONVERSATIONS_KEY, max, max)
            .hint("wait for answers before sending from behind another envelope");
        if let Some(answer) = refused(codec, &body, &error, self.limits.request_bytes) {
            self.refuse(&envelope, answer);
        }
        true
    }

    fn take_up(&mut self, envelope: Envelope, codec: Codec, body: Bytes) {
        let max = self.limits.request_bytes;
        let arrival = match codec {
            // What is too long is refused by whoever serves the conversation.
            Codec::Json | Codec::Agent => Arrival::Message(body),
            Codec::MsgPack if body.len() > max => Arrival::Oversize,
            Codec::MsgPack => match to_json(&body, max) {
                Ok(json) => Arrival::Message(json),
                Err(Unreadable { error: MsgPackError::TooLong { .. }, .. }) => Arrival::Oversize,
                Err(error) => {
                    return self.refuse(&envelope, malformed(codec, &body, &error.answer()));
                }
            },
        };
        self.pass_on(envelope, codec, arrival);
    }

    /// Gives a message to its conversation, which begins if there is none yet.
    fn pass_on(&mut self, envelope: Envelope, codec: Codec, arrival: Arrival) {
        let at = self.find(&envelope, codec).unwrap_or_else(|| self.begin(envelope, codec));
        self.conversations[at].heard = self.heard;
        self.conversations[at].hear(arrival);
    }

    fn find(&self, envelope: &Envelope, codec: Codec) -> Option<usize> {
        self.conversations.iter().position(|known| known.is_of(envelope, codec))
    }

    /// Whether there is such a conversation, or another one may begin; one with nothing under way
    /// gives way to it.
    fn make_room_for(&self, envelope: &Envelope, codec: Codec) -> bool {
        let live = self.conversations.iter().filter(|one| !one.has_ended());
        if self.find(envelope, codec).is_some() || live.clone().count() < CONVERSATIONS {
            return true;
        }
        let idle = live.filter(|one| one.is_idle()).min_by_key(|one| one.heard);
        idle.map(Conversation::end).is_some()
    }

    fn begin(&mut self, envelope: Envelope, codec: Codec) -> usize {
        let mut limits = self.limits;
        limits.idle = None;
        let whole = !self.conversations.iter().any(|one| one.whole && !one.has_ended());
        if !whole {
            // Most connections have one conversation; what others hold unsent is a share.
            let share = (limits.unsent_bytes / CONVERSATIONS).max(OUTBOX_BYTES);
            limits.unsent_bytes = limits.unsent_bytes.min(share);
        }
        let (rpc, peer, room) = (self.rpc.clone(), self.peer.clone(), self.room.clone());
        let drained = self.drain.clone().cancelled_owned();
        // One that begins so late is heard first.
        let mut is_late = self.phase == Phase::Draining;
        let drained = async move {
            poll_fn(|cx| match mem::take(&mut is_late) {
                true => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                false => Poll::Ready(()),
            })
            .await;
            drained.await;
        };
        let conversation =
            Conversation::new((envelope, codec), whole, &self.task, |lane, activity| -> Serving {
                let counted = Counted::new(rpc, activity);
                if codec == Codec::Agent {
                    let protocol = AgentProtocol::new(counted, peer, room);
                    Box::pin(protocol::speak(protocol, lane, limits, drained))
                } else {
                    Box::pin(serve_connection(counted, peer, lane, limits, drained))
                }
            });
        if self.lost.is_some() {
            conversation.break_off();
        }
        self.conversations.push(conversation);
        self.conversations.len() - 1
    }

    fn refuse(&mut self, envelope: &Envelope, answer: Bytes) {
        if self.lost.is_none() {
            self.refusals.push_back(envelope.around(answer));
        }
    }

    /// Lets every conversation go on that has something to do.
    fn poll_conversations(&mut self) -> io::Result<bool> {
        let mut moved = false;
        for conversation in &mut self.conversations {
            if !conversation.is_due() {
                continue;
            }
            moved = true;
            match conversation.poll() {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(error);
                }
                Poll::Ready(_) | Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    /// Sends what was said, from each conversation in turn; true when the peer has taken all.
    fn poll_write<IO: Wire>(&mut self, socket: &mut ZmtpSocket<IO>, cx: &mut Context<'_>) -> bool {
        if self.lost.is_some() {
            return true;
        }
        match self.poll_send(socket, cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.lose(error);
                true
            }
            Poll::Pending => false,
        }
    }

    fn poll_send<IO: Wire>(
        &mut self,
        socket: &mut ZmtpSocket<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if socket.poll_ready_unpin(cx)?.is_pending() {
                return Poll::Pending;
            }
            let Some(message) = self.next_message() else { break };
            socket.start_send_unpin(message)?;
            self.sent += 1;
        }
        socket.poll_flush_unpin(cx)
    }

    fn next_message(&mut self) -> Option<Multipart> {
        if let Some(refusal) = self.refusals.pop_front() {
            return Some(refusal);
        }
        let count = self.conversations.len();
        for step in 0..count {
            let conversation = &self.conversations[(self.turn + step) % count];
            if let Some(said) = conversation.said() {
                self.turn = (self.turn + step + 1) % count;
                let body = match conversation.codec {
                    Codec::Json | Codec::Agent => said,
                    Codec::MsgPack => packed(&said),
                };
                return Some(conversation.envelope.around(body));
            }
        }
        None
    }

    /// Nothing moves: watches that this does not last too long.
    fn poll_clock<IO: Wire>(
        &mut self,
        socket: &ZmtpSocket<IO>,
        flushed: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let timed = if !flushed {
            let draining = self.phase == Phase::Draining;
            let stall = if draining { self.limits.stall_draining } else { self.limits.stall };
            Some((Mark::Stalled { sent: self.sent, unsent: socket.unsent(), draining }, stall))
        } else if let (Phase::Draining, Some((begun, _))) = (self.phase, self.farewell) {
            // Conversations watch for themselves that all is said.
            let longest = DRAIN_PATIENCE.saturating_sub(begun.elapsed());
            self.is_still().then(|| (Mark::Quiet(self.heard), DRAIN_QUIET.min(longest)))
        } else if self.conversations.iter().all(Conversation::is_idle) {
            self.limits.idle.map(|after| (Mark::Idle(self.heard), after))
        } else {
            None
        };
        let Some((mark, after)) = timed else {
            self.clock.mark = None;
            return Poll::Pending;
        };
        if self.clock.poll(mark, after, cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match mark {
            Mark::Stalled { .. } => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"))
            }
            Mark::Idle(_) | Mark::Quiet(_) => Ok(()),
        })
    }
}

/// What is being timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The peer takes nothing.
    Stalled { sent: u64, unsent: usize, draining: bool },
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
    fn poll(&mut self, mark: Mark, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
        if self.mark != Some(mark) {
            self.mark = Some(mark);
            timer.as_mut().reset(Instant::now() + after);
        }
        timer.as_mut().poll(cx)
    }
}

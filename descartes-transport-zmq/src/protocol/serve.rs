//! One conversation: what is spoken on it, with the bounds and the order of every connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use descartes_rpc::connection::{Connection, ConnectionLimits, Language, Spoken, serve_language};
use descartes_rpc::error::RpcError;
use descartes_rpc::frame::Arrival;
use descartes_rpc::peer::Peer;
use descartes_rpc::service::RpcService;
use futures_core::Stream;
use futures_util::Sink;

use super::answer::{self, Answer};
use super::caller::Caller;
use super::fail::{self, Asked};
use super::follow::Following;
use super::room::Room;
use super::wire::ZmqMessage;
use super::{read, scan};
use crate::limits::{MESSAGE_BYTES, MESSAGE_BYTES_KEY};

/// Serves the agent protocol to one peer until it leaves, or `shutdown` completes and all is said.
///
/// `io` yields whole messages, or [`Arrival`]s where it can tell one that was too long to keep, and
/// takes whole messages. Everything else is as
/// [`serve_connection`](descartes_rpc::connection::serve_connection) does it for JSON-RPC: requests
/// begin in the order of arrival and run concurrently, what one conversation does to one agent takes
/// effect in the order sent, answers go out as they are ready, streams rest while the peer does not
/// read, and all of it is bounded by `limits`; only a message may have [`MESSAGE_BYTES`].
///
/// Every message is answered, also a broken one.
///
/// # Errors
///
/// What `io` failed with, or `TimedOut` when the peer took nothing for too long.
pub async fn serve<S, T, M>(
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
    speak(AgentProtocol::new(service, peer, Room::default()), io, limits, shutdown).await
}

/// The same for one of several conversations of a connection, which share the room of `protocol`.
pub(crate) async fn speak<S, T, M>(
    protocol: AgentProtocol<S>,
    io: T,
    mut limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    S: RpcService,
    T: Stream<Item = io::Result<M>> + Sink<Bytes, Error = io::Error> + Send,
    M: Into<Arrival>,
{
    limits.request_bytes = MESSAGE_BYTES;
    serve_language(protocol, io, limits, shutdown).await
}

/// The answer to a message that is not looked into, and why.
pub(crate) fn refusal(message: &[u8], error: &RpcError) -> Bytes {
    Asked::of(&scan::outline(message)).failed(error).encode()
}

/// Agent protocol v1 over the methods of a service.
pub(crate) struct AgentProtocol<S> {
    service: S,
    peer: Peer,
    room: Room,
}

impl<S> AgentProtocol<S> {
    /// For a peer whose long messages share `room`.
    pub(crate) const fn new(service: S, peer: Peer, room: Room) -> Self {
        Self { service, peer, room }
    }
}

/// An answer in the making.
pub(crate) enum Answering {
    /// It is there, or has been taken.
    Done(Option<Bytes>),
    /// It comes.
    Working(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Future for Answering {
    type Output = Spoken<Following>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut *self {
            Self::Done(body) => Spoken { body: body.take(), stream: None },
            Self::Working(answer) => {
                let (message, stream) = std::task::ready!(answer.as_mut().poll(cx));
                Spoken { body: Some(message.encode()), stream }
            }
        })
    }
}

impl<S: RpcService> Language for AgentProtocol<S> {
    type Answering = Answering;
    type Stream = Following;
    const BYTES_KEY: &'static str = MESSAGE_BYTES_KEY;

    fn answer(&mut self, connection: &Connection, message: Bytes) -> Answering {
        let taken = match self.room.take(message.len()) {
            Ok(taken) => taken,
            Err(error) => {
                self.peer.count_refusal(&error);
                return Answering::Done(Some(refusal(&message, &error)));
            }
        };
        let (outline, read) = read::message(&message);
        let mut asked = Asked::of(&outline);
        match read {
            Err(fault) => {
                let error = fail::unread(&outline, fault);
                self.peer.count_refusal(&error);
                Answering::Done(Some(asked.failed(&error).encode()))
            }
            Ok(message) => {
                asked.agent_id = agent_of(&message);
                let (service, peer) = (self.service.clone(), self.peer.clone());
                let caller = Caller { service, peer, connection: connection.clone() };
                Answering::Working(Box::pin(async move {
                    let answer = answer::answer(caller, asked, message).await;
                    drop(taken);
                    answer
                }))
            }
        }
    }

    fn over() -> Answering {
        Answering::Done(None)
    }

    fn refuse(&mut self, error: RpcError) -> Bytes {
        self.peer.count_refusal(&error);
        Asked::default().failed(&error).encode()
    }

    fn follow(message: ZmqMessage) -> Bytes {
        message.encode()
    }
}

/// The agent that a request names.
fn agent_of(message: &ZmqMessage) -> Option<String> {
    match message {
        ZmqMessage::ControlCommand(request) => request.agent_id.clone(),
        ZmqMessage::CustomActionRequest(request) => Some(request.agent_id.clone()),
        ZmqMessage::OutputQueryRequest(request) => Some(request.agent_id.clone()),
        _ => None,
    }
}

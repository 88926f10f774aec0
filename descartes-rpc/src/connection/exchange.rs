//! One message on its way to its answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use pin_project_lite::pin_project;
use tower::{ServiceExt, util::Oneshot};

use super::{Connection, batch::Batch};
use crate::{
    error::RpcError,
    frame::{self, Entry, Frame, Incoming},
    message::{Id, NotificationStream, Reply, Request, Response},
    peer::Peer,
    service::RpcService,
};

/// What goes back for one message.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) body: Option<Bytes>,
    pub(super) notifications: Option<NotificationStream>,
    /// Nothing in the message could be taken for a call.
    pub(super) malformed: bool,
}

impl Answered {
    pub(super) fn error(error: RpcError) -> Self {
        Self::refused(&Response::failed(Id::Null, error))
    }

    /// The answer to a message of which nothing was tried.
    fn refused(response: &Response) -> Self {
        let malformed = response.id == Id::Null;
        Self { body: Some(response.encode()), notifications: None, malformed }
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self {
            body: reply.response.map(|response| response.encode()),
            notifications: reply.notifications,
            malformed: false,
        }
    }
}

/// Where a message came from and what may follow its answer.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) peer: Peer,
    pub(super) connection: Connection,
    pub(super) streams: bool,
}

impl Origin {
    pub(super) fn request(&self, call: Incoming, batched: bool) -> Request {
        let mut request = Request::new(call.method, self.peer.clone(), self.connection.clone());
        request.id = call.id;
        request.params = call.params;
        request.batched = batched;
        request.streams = self.streams && !batched;
        request
    }

    /// Counts what was answered without a call.
    pub(super) fn count_refusal(&self, response: &Response) {
        if let Err(error) = &response.outcome {
            self.peer.count_refusal(error);
        }
    }
}

pin_project! {
    /// The future of the answer to one message. Its calls start when it is first polled.
    #[project = ExchangeProjection]
    pub(super) enum Exchange<S>
    where
        S: RpcService,
    {
        Done { answered: Option<Answered> },
        Call { #[pin] call: Oneshot<S, Request> },
        Batch { batch: Batch<S> },
    }
}

impl<S: RpcService> Exchange<S> {
    pub(super) fn start(service: &S, origin: &Origin, message: &Bytes) -> Self {
        match frame::parse(message) {
            Frame::Single(Entry::Call(call)) => {
                Self::Call { call: service.clone().oneshot(origin.request(call, false)) }
            }
            Frame::Single(Entry::Refused(response)) => {
                origin.count_refusal(&response);
                Self::done(Answered::refused(&response))
            }
            Frame::Single(Entry::Ignored) => Self::done(Answered::default()),
            Frame::Batch(entries) => {
                Self::Batch { batch: Batch::new(service.clone(), origin.clone(), entries) }
            }
            Frame::Malformed(error) => {
                origin.peer.count_refusal(&error);
                Self::done(Answered::error(error))
            }
        }
    }

    /// An answer that needs no call.
    pub(super) const fn done(answered: Answered) -> Self {
        Self::Done { answered: Some(answered) }
    }
}

impl<S: RpcService> Future for Exchange<S> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match self.project() {
            ExchangeProjection::Done { answered } => {
                Poll::Ready(answered.take().unwrap_or_default())
            }
            ExchangeProjection::Call { call } => {
                let Ok(reply) = ready!(call.poll(cx));
                Poll::Ready(reply.into())
            }
            ExchangeProjection::Batch { batch } => {
                batch.poll_answer(cx).map(|body| Answered { body, ..Answered::default() })
            }
        }
    }
}

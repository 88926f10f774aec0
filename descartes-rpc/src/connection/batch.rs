//! A batch: its calls run concurrently and are answered with one array.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tower::{ServiceExt, util::Oneshot};

use super::{CallClass, CallTicket, exchange::Origin};
use crate::{
    error::RpcError,
    frame::Entry,
    limits::BATCH_REPLY_BYTES,
    message::{Id, Reply, Request, Response},
    service::RpcService,
};

type Call<S> = Pin<Box<Oneshot<S, Request>>>;

/// The calls of one batch, of which those not yet begun are in `entries`.
pub(super) struct Batch<S: RpcService> {
    service: S,
    origin: Origin,
    entries: vec::IntoIter<Entry>,
    running: FuturesUnordered<Call<S>>,
    answers: Answers,
    ticket: Option<Result<CallTicket, RpcError>>,
}

impl<S: RpcService> Batch<S> {
    pub(super) fn new(service: S, origin: Origin, entries: Vec<Entry>) -> Self {
        Self {
            service,
            origin,
            entries: entries.into_iter(),
            running: FuturesUnordered::new(),
            answers: Answers::default(),
            ticket: None,
        }
    }

    /// Ready with the array of answers, or with nothing when none is due.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.begin(cx);
        while let Some(reply) = ready!(self.running.poll_next_unpin(cx)) {
            let Ok(reply) = reply;
            self.answers.add(reply);
        }
        self.ticket = None;
        Poll::Ready(self.answers.finish())
    }

    /// Starts every call in the order of the array. What is ready at once is never queued.
    fn begin(&mut self, cx: &mut Context<'_>) {
        let mut spare: Option<Call<S>> = None;
        for entry in self.entries.by_ref() {
            let call = match entry {
                Entry::Call(call) => call,
                Entry::Refused(response) => {
                    self.origin.count_refusal(&response);
                    self.answers.push(&response);
                    continue;
                }
                Entry::Ignored => continue,
            };
            let connection = &self.origin.connection;
            let ticket = self.ticket.get_or_insert_with(|| connection.begin(CallClass::Batch));
            if let Err(error) = ticket {
                self.origin.peer.count_refusal(error);
                self.answers.add(Reply::failed(call.id, error.clone()));
                continue;
            }
            let future = self.service.clone().oneshot(self.origin.request(call, true));
            let mut boxed = match spare.take() {
                Some(mut boxed) => {
                    boxed.as_mut().set(future);
                    boxed
                }
                None => Box::pin(future),
            };
            match boxed.as_mut().poll(cx) {
                Poll::Ready(Ok(reply)) => {
                    self.answers.add(reply);
                    spare = Some(boxed);
                }
                Poll::Pending => self.running.push(boxed),
            }
        }
    }
}

impl<S: RpcService> fmt::Debug for Batch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

/// The array of answers as far as it is written.
#[derive(Default)]
struct Answers {
    out: BytesMut,
}

impl Answers {
    fn add(&mut self, reply: Reply) {
        if let Some(response) = reply.response {
            self.push(&response);
        }
    }

    fn push(&mut self, response: &Response) {
        let length = response.outcome.as_ref().map_or(0, Bytes::len);
        if self.out.len() + length > BATCH_REPLY_BYTES {
            return self.push_too_large(response.id.clone());
        }
        self.separate();
        response.encode_into(&mut self.out);
    }

    /// The array keeps its bound: this answer is replaced by word that it was too large.
    fn push_too_large(&mut self, id: Id) {
        let error = RpcError::new(
            crate::error::ErrorKind::ResourceExhausted,
            "the answers of the batch are too large",
        )
        .with("limit", "limits.batch_reply_bytes")
        .with("max", BATCH_REPLY_BYTES)
        .hint("repeat this call alone");
        self.separate();
        Response::failed(id, error).encode_into(&mut self.out);
    }

    fn separate(&mut self) {
        self.out.put_u8(if self.out.is_empty() { b'[' } else { b',' });
    }

    fn finish(&mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            return None;
        }
        self.out.put_u8(b']');
        Some(self.out.split().freeze())
    }
}

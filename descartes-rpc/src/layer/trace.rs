//! One log line a call, without parameters.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tower::Service;
use tracing::Level;

use crate::message::{Reply, Request, Text};

/// Logs each call with its method, transport, outcome and time, at `debug`; parameters never.
#[derive(Clone, Copy, Debug)]
pub struct Trace<S> {
    inner: S,
}

impl<S> Trace<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request> for Trace<S>
where
    S: Service<Request, Response = Reply>,
{
    type Response = Reply;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let noted = Noted::of(&request);
        TraceFuture { noted, call: self.inner.call(request) }
    }
}

/// What is remembered of a call for its log line; nothing when nobody listens.
#[derive(Debug)]
pub(crate) struct Noted(Option<(Text, &'static str, Instant)>);

impl Noted {
    pub(crate) fn of(request: &Request) -> Self {
        Self(
            tracing::enabled!(Level::DEBUG)
                .then(|| (request.method.clone(), request.peer.transport(), Instant::now())),
        )
    }

    pub(crate) fn log(&mut self, reply: &Reply) {
        let Some((method, transport, begun)) = self.0.take() else { return };
        let outcome = match reply.response.as_ref().map(|response| &response.outcome) {
            Some(Err(error)) => error.kind().as_str(),
            Some(Ok(_)) => "ok",
            None => "unanswered",
        };
        let micros = begun.elapsed().as_micros();
        tracing::debug!(method = method.as_str(), transport, outcome, micros, "call");
    }
}

pin_project! {
    /// The future of [`Trace`].
    pub struct TraceFuture<F> {
        noted: Noted,
        #[pin]
        call: F,
    }
}

impl<F, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Reply, E>>,
{
    type Output = Result<Reply, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.call.poll(cx));
        if let Ok(reply) = &outcome {
            this.noted.log(reply);
        }
        Poll::Ready(outcome)
    }
}

impl<F> fmt::Debug for TraceFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceFuture").field("noted", &self.noted).finish_non_exhaustive()
    }
}

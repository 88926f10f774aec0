//! No call outlives its service without an answer.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{BoxError, Service};

use crate::{
    connection::WaitEnd,
    error::{ErrorKind, RpcError},
    message::{Reply, Request},
    service::CallState,
};

/// Answers calls that are at work when they are all given up.
///
/// A call that has begun to change something fails with `timeout`, because that goes on and nobody
/// can say any more how it ends; any other with `unavailable`. The reason of both is `draining`.
#[derive(Clone, Debug)]
pub struct GiveUp<S> {
    inner: S,
    given_up: GivenUp,
}

/// Whether calls are given up; clones share it.
#[derive(Clone, Debug, Default)]
pub struct GivenUp(CancellationToken);

impl GivenUp {
    /// Gives up all calls that are at work, and those to come that cannot be answered at once.
    pub fn set(&self) {
        self.0.cancel();
    }

    /// Completes when calls are given up.
    pub(crate) fn wait(&self) -> WaitForCancellationFutureOwned {
        self.0.clone().cancelled_owned()
    }
}

impl<S> GiveUp<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S, given_up: GivenUp) -> Self {
        Self { inner, given_up }
    }
}

impl<S> Service<Request> for GiveUp<S>
where
    S: Service<Request, Response = Reply>,
    S::Error: Into<BoxError>,
{
    type Response = Reply;
    type Error = BoxError;
    type Future = GiveUpFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        GiveUpFuture {
            given_up: self.given_up.clone(),
            mutating: request.traits().mutating,
            state: request.admission.state.clone(),
            over: None,
            call: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`GiveUp`].
    pub struct GiveUpFuture<F> {
        given_up: GivenUp,
        mutating: bool,
        state: Option<Arc<CallState>>,
        // Made when the call is first not ready: most are at once.
        #[pin]
        over: Option<WaitForCancellationFutureOwned>,
        #[pin]
        call: F,
    }
}

impl<F, E> Future for GiveUpFuture<F>
where
    F: Future<Output = Result<Reply, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Reply, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let state = this.state.as_deref();
        let has_begun = || state.is_none_or(CallState::has_begun);
        // The end of another may be what makes it this one's turn: that comes too late.
        let is_late = this.over.is_some() && !has_begun() && this.given_up.0.is_cancelled();
        if !is_late && let Poll::Ready(outcome) = this.call.poll(cx) {
            return Poll::Ready(outcome.map_err(Into::into));
        }
        if this.over.is_none() {
            this.over.set(Some(this.given_up.wait()));
        }
        let is_over = this.over.as_pin_mut().is_none_or(|over| over.poll(cx).is_ready());
        if !is_over {
            return Poll::Pending;
        }
        let changes = *this.mutating && has_begun();
        let key = state.and_then(CallState::key);
        Poll::Ready(Err(Box::new(given_up(changes, key))))
    }
}

/// What a call that is given up is answered with; `changes` if it may have begun to.
pub(crate) fn given_up(changes: bool, key: Option<&str>) -> RpcError {
    if !changes {
        return WaitEnd::Draining.error();
    }
    let error = RpcError::new(ErrorKind::Timeout, "no outcome before the daemon stopped");
    error.reason("draining").leading_to(key)
}

impl<F> fmt::Debug for GiveUpFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GiveUpFuture").field("given_up", &self.given_up).finish_non_exhaustive()
    }
}

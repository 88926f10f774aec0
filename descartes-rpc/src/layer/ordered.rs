//! Calls of one connection that change the same thing begin one after the other.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::{Service, ServiceExt, util::Oneshot};

use crate::{
    message::{Reply, Request},
    service::CallState,
};

/// Holds a call back until what its connection sent before it for the same thing has taken effect.
///
/// The place in the order was taken when the call arrived. Control calls have a place, so that
/// others come after them, but do not wait for it.
#[derive(Clone, Copy, Debug)]
pub struct Ordered<S> {
    inner: S,
}

impl<S> Ordered<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request> for Ordered<S>
where
    S: Service<Request, Response = Reply> + Clone,
{
    type Response = Reply;
    type Error = S::Error;
    type Future = OrderedFuture<S>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let control = request.traits().control;
        let turn = if control { None } else { request.admission.state.clone() };
        OrderedFuture { turn, call: self.inner.clone().oneshot(request) }
    }
}

pin_project! {
    /// The future of [`Ordered`].
    pub struct OrderedFuture<S>
    where
        S: Service<Request>,
    {
        // Whose turn is awaited; nothing once it has come.
        turn: Option<Arc<CallState>>,
        #[pin]
        call: Oneshot<S, Request>,
    }
}

impl<S> Future for OrderedFuture<S>
where
    S: Service<Request, Response = Reply>,
{
    type Output = Result<Reply, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(state) = this.turn {
            ready!(state.poll_turn(cx));
            *this.turn = None;
        }
        this.call.poll(cx)
    }
}

impl<S: Service<Request>> fmt::Debug for OrderedFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedFuture").field("turn", &self.turn).finish_non_exhaustive()
    }
}

//! Errors and panics of layers and methods become answers.

use std::{
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::{BoxError, Service, ServiceExt, util::Oneshot};

use crate::{
    error::RpcError,
    message::{Id, Reply, Request},
};

/// Answers a call with the error that a layer below it failed with.
///
/// An [`RpcError`] is passed on; any other error, and a panic, is `internal` and goes to the log.
#[derive(Clone, Copy, Debug)]
pub struct CatchError<S> {
    inner: S,
}

impl<S> CatchError<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request> for CatchError<S>
where
    S: Service<Request, Response = Reply> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = CatchErrorFuture<S>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // Readiness is awaited in the future, where an error still has an id to answer to.
        CatchErrorFuture { id: request.id.clone(), call: self.inner.clone().oneshot(request) }
    }
}

pin_project! {
    /// The future of [`CatchError`].
    pub struct CatchErrorFuture<S>
    where
        S: Service<Request>,
    {
        id: Option<Id>,
        #[pin]
        call: Oneshot<S, Request>,
    }
}

impl<S> Future for CatchErrorFuture<S>
where
    S: Service<Request, Response = Reply>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // After a panic the call is never polled again, so nobody sees what it left half done.
        let error = match catch_unwind(AssertUnwindSafe(|| this.call.poll(cx))) {
            Ok(polled) => match ready!(polled) {
                Ok(reply) => return Poll::Ready(Ok(reply)),
                Err(error) => answer_for(error.into()),
            },
            Err(panic) => panicked(panic.as_ref()),
        };
        Poll::Ready(Ok(Reply::failed(this.id.take(), error)))
    }
}

impl<S: Service<Request>> fmt::Debug for CatchErrorFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchErrorFuture").field("id", &self.id).finish_non_exhaustive()
    }
}

fn answer_for(error: BoxError) -> RpcError {
    match error.downcast::<RpcError>() {
        Ok(error) => *error,
        Err(error) => RpcError::internal(&error),
    }
}

/// The answer to a call whose method panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> RpcError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    RpcError::internal(&format_args!("a method panicked: {}", text.unwrap_or("(no text)")))
}

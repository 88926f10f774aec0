//! No call takes for ever.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{BoxError, Service};

use crate::{
    error::{ErrorKind, RpcError},
    message::{Reply, Request},
    service::CallState,
};

/// Fails a call with `timeout` that takes longer than a duration; waiting calls have deadlines of
/// their own.
///
/// The clock starts when the call is not ready at once. What the call has begun to change goes on;
/// the error carries the idempotency key by which its outcome is asked for.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    after: Deadline,
}

/// How long calls may take; clones share it, and it may be changed for the calls to come.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<AtomicU64>);

impl Deadline {
    /// Calls may take `after`, to the millisecond.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        let this = Self(Arc::default());
        this.set(after);
        this
    }

    /// Calls that begin from now on may take `after`.
    pub fn set(&self, after: Duration) {
        self.0.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl<S> Timeout<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S, after: Deadline) -> Self {
        Self { inner, after }
    }
}

impl<S> Service<Request> for Timeout<S>
where
    S: Service<Request, Response = Reply>,
    S::Error: Into<BoxError>,
{
    type Response = Reply;
    type Error = BoxError;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        TimeoutFuture {
            after: (!request.traits().waits).then(|| self.after.get()),
            state: request.admission.state.clone(),
            clock: None,
            call: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`Timeout`].
    pub struct TimeoutFuture<F> {
        after: Option<Duration>,
        state: Option<Arc<CallState>>,
        clock: Option<Pin<Box<Sleep>>>,
        #[pin]
        call: F,
    }
}

impl<F, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<Reply, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Reply, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(outcome) = this.call.poll(cx) {
            return Poll::Ready(outcome.map_err(Into::into));
        }
        let Some(after) = *this.after else { return Poll::Pending };
        let clock = this.clock.get_or_insert_with(|| Box::pin(sleep(after)));
        if clock.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let key = this.state.as_ref().and_then(|state| state.key());
        Poll::Ready(Err(timed_out(after, key).into()))
    }
}

fn timed_out(after: Duration, key: Option<&str>) -> RpcError {
    RpcError::new(ErrorKind::Timeout, format!("no outcome within {} s", after.as_secs()))
        .leading_to(key)
}

impl RpcError {
    /// The same with how its caller learns of the outcome that was not waited for.
    pub(super) fn leading_to(self, key: Option<&str>) -> Self {
        match key {
            Some(key) => self
                .with("idempotency_key", key)
                .hint("what was begun goes on; repeat the call with this key for its outcome"),
            None => self,
        }
    }
}

impl<F> fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture").field("after", &self.after).finish_non_exhaustive()
    }
}

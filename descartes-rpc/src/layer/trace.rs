//! One log line a call, without parameters.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tower::Service;
use tracing::Level;

use crate::message::{Reply, Request, Text};
use crate::meter::{Ended, Meter};

/// Logs each call with its method, transport, outcome and time, at `debug`; parameters never. It
/// counts them as well.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S> Trace<S> {
    /// Puts the layer around `inner`.
    pub fn new(inner: S) -> Self {
        Self::counting(inner, Arc::default())
    }

    /// The same, counting in `meter`.
    pub const fn counting(inner: S, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
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
        let noted = Noted::of(&request, Arc::clone(&self.meter));
        TraceFuture { noted, call: self.inner.call(request) }
    }
}

/// What is remembered of a call, to be counted and logged.
#[derive(Debug)]
pub(crate) struct Noted {
    /// For its log line; nothing when nobody listens.
    method: Option<Text>,
    /// The method, if there is such a one, and the transport.
    labels: (Option<&'static str>, &'static str),
    begun: Instant,
    meter: Option<Arc<Meter>>,
}

impl Noted {
    pub(crate) fn of(request: &Request, meter: Arc<Meter>) -> Self {
        let method = tracing::enabled!(Level::DEBUG).then(|| request.method.clone());
        let found = request.admission.found.map(|found| found.traits.name);
        let labels = (found, request.peer.transport());
        Self { method, labels, begun: Instant::now(), meter: Some(meter) }
    }

    /// The call has ended so; counted once.
    pub(crate) fn log(&mut self, reply: &Reply) {
        let Some(meter) = self.meter.take() else { return };
        let (outcome, ended) = match reply.response.as_ref().map(|response| &response.outcome) {
            Some(Err(error)) => (error.kind().as_str(), Ended::Failed(error.kind().as_str())),
            Some(Ok(_)) => ("ok", Ended::Succeeded),
            None => ("unanswered", Ended::Unanswered),
        };
        let took = self.begun.elapsed();
        meter.count(self.labels, ended, took);
        if let Some(method) = self.method.take() {
            let (transport, micros) = (self.labels.1, took.as_micros());
            tracing::debug!(method = method.as_str(), transport, outcome, micros, "call");
        }
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

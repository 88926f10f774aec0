//! What a log and a trace say of a call: never its parameters.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use descartes_core::trace::{End, TraceSpan};
use pin_project_lite::pin_project;
use tower::Service;
use tracing::Span;

use crate::limits::LOGGED_ID_CHARS;
use crate::message::{Id, Reply, Request};
use crate::meter::{Ended, Meter, Rejection, UnderWay};
use crate::tracer::{CallTracer, Called};

/// Puts each call into a span with its method, transport, connection and identifier, so that every
/// line of a log that belongs to it names them, and logs its outcome and time at `debug`; parameters
/// never. It counts them as well.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    inner: S,
    watch: Watch,
}

/// Who is told of calls.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(crate) meter: Meter,
    pub(crate) tracer: Option<CallTracer>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl<S> Trace<S> {
    /// Puts the layer around `inner`.
    pub fn new(inner: S) -> Self {
        Self::counting(inner, Meter::default())
    }

    /// The same, counting in `meter`.
    pub const fn counting(inner: S, meter: Meter) -> Self {
        Self::watching(inner, Watch { meter, tracer: None })
    }

    pub(crate) const fn watching(inner: S, watch: Watch) -> Self {
        Self { inner, watch }
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

    fn call(&mut self, mut request: Request) -> Self::Future {
        let noted = Noted::of(&mut request, &self.watch);
        let under_way = self.watch.meter.begin(noted.labels);
        let call = noted.span().in_scope(|| self.inner.call(request));
        TraceFuture { noted, _under_way: under_way, call }
    }
}

/// What is remembered of a call, to be counted and logged.
pub(crate) struct Noted {
    /// What happens in it is of the call.
    span: Span,
    /// The method, if there is such a one, and the transport.
    labels: (Option<&'static str>, &'static str),
    begun: Instant,
    meter: Option<Meter>,
    traced: Option<Box<dyn TraceSpan>>,
}

impl Noted {
    /// What `request` has done belongs to its span from now on, where there is one.
    pub(crate) fn of(request: &mut Request, watch: &Watch) -> Self {
        let found = request.admission.found.map(|found| found.traits.name);
        let labels = (found, request.peer.transport());
        let span = span(request, labels);
        let called = Called { method: labels.0, transport: labels.1 };
        let traced = watch.tracer.as_ref().map(|tracer| tracer(&called, request.peer.trace()));
        if let Some(context) = traced.as_ref().and_then(|traced| traced.context()) {
            request.peer = request.peer.clone().within(Some(context));
        }
        let meter = Some(watch.meter.clone());
        Self { span, labels, begun: Instant::now(), meter, traced }
    }

    /// What happens in it is of the call.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    /// The call has ended so; counted once.
    pub(crate) fn log(&mut self, reply: &Reply) {
        let Some(meter) = self.meter.take() else { return };
        let error = reply.response.as_ref().and_then(|response| response.outcome.as_ref().err());
        if let Some(why) = error.and_then(Rejection::of) {
            meter.rejected(why);
        }
        let (outcome, ended) = match reply.response.as_ref().map(|response| &response.outcome) {
            Some(Err(error)) => (error.kind().as_str(), Ended::Failed(error.kind().as_str())),
            Some(Ok(_)) => ("ok", Ended::Succeeded),
            None => ("unanswered", Ended::Unanswered),
        };
        if let Some(traced) = self.traced.take() {
            let code = error.map(|error| error.code().to_string());
            let failed = code.as_ref().map(|code| End::failed(outcome, code));
            traced.end(&failed.unwrap_or(End::of(outcome)));
        }
        let took = self.begun.elapsed();
        meter.count(self.labels, ended, took);
        let micros = took.as_micros();
        tracing::debug!(parent: &self.span, outcome, micros, "call");
    }
}

/// The span of a call. Of the level of errors, so that whatever is logged in it has its fields.
fn span(request: &Request, (method, transport): (Option<&'static str>, &'static str)) -> Span {
    let id = request.id.as_ref().filter(|id| **id != Id::Null);
    tracing::error_span!(
        "call",
        // What is no method is a text of its caller's, who is told it.
        method = method.unwrap_or("unknown"),
        transport,
        connection_id = request.peer.connection_id(),
        request_id = id.map(|id| display(Logged(id))),
    )
}

/// An identifier as a log has it: without quotes, escaped, and no longer than is needed to find it.
struct Logged<'a>(&'a Id);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.meaning();
        let mut letters = text.chars();
        for letter in letters.by_ref().take(LOGGED_ID_CHARS).flat_map(char::escape_debug) {
            fmt::Write::write_char(f, letter)?;
        }
        if letters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// A call whose answer nobody waits for any more has ended all the same.
impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.count(self.labels, Ended::Unanswered, self.begun.elapsed());
        }
        if let Some(traced) = self.traced.take() {
            traced.end(&End::of("unanswered"));
        }
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noted").field("labels", &self.labels).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Trace`].
    pub struct TraceFuture<F> {
        noted: Noted,
        _under_way: UnderWay,
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
        let outcome = {
            let _inside = this.noted.span.enter();
            ready!(this.call.poll(cx))
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_logged_escaped_and_bounded() {
        let shown = |id: &Id| Logged(id).to_string();
        assert_eq!(shown(&Id::number(7)), "7");
        assert_eq!(shown(&Id::text("a b")), "a b");
        assert_eq!(shown(&Id::text("\u{1b}[2J\n\"")), "\\u{1b}[2J\\n\\\"");
        let long = shown(&Id::text(&"x".repeat(1000)));
        assert_eq!(long.chars().count(), LOGGED_ID_CHARS + 1);
    }
}

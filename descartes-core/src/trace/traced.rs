//! Work within a trace, whether or not somebody wants to know of it.

use std::collections::BTreeMap;
use std::fmt;

use super::{End, TraceContext, TraceSpan, Tracer, Work};

/// The environment variables that programs read their context from
/// (<https://opentelemetry.io/docs/specs/otel/context/env-carriers/>).
const PARENT: &str = "TRACEPARENT";
const STATE: &str = "TRACESTATE";

/// Work within a trace: below a span of its own where there is a tracer, and below its caller's where
/// there is none.
#[derive(Default)]
pub(crate) struct Traced {
    span: Option<Box<dyn TraceSpan>>,
    parent: Option<TraceContext>,
}

impl Traced {
    /// Begins `work`, which was asked for within `parent`.
    pub(crate) fn begin(
        tracer: Option<&dyn Tracer>,
        work: &Work<'_>,
        parent: Option<TraceContext>,
    ) -> Self {
        let span = tracer.map(|tracer| tracer.begin(work, parent.as_ref()));
        Self { span, parent }
    }

    /// What is done below belongs to this.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.span.as_ref().and_then(|span| span.context()).or_else(|| self.parent.clone())
    }

    /// The work has ended so.
    pub(crate) fn end(self, end: &End<'_>) {
        if let Some(span) = self.span {
            span.end(end);
        }
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("context", &self.context()).finish()
    }
}

impl TraceContext {
    /// Tells a program what it belongs to, unless somebody has told it something else.
    pub(crate) fn put_into(&self, env: &mut BTreeMap<String, String>) {
        if env.contains_key(PARENT) || env.contains_key(STATE) {
            return;
        }
        env.insert(PARENT.into(), self.to_string());
        env.extend(self.state().map(|state| (STATE.into(), state.to_owned())));
    }
}

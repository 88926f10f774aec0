//! Who is told of calls as spans.

use std::sync::Arc;

pub use descartes_core::trace::{End, TraceContext, TraceSpan};

/// Begins the span of a call, below its caller's where that is told; given to a service with
/// [`RpcBuilder::tracer`](crate::service::RpcBuilder::tracer).
///
/// It is called where the call is taken, so it must not wait. The span ends when the call is
/// answered, with the code of its error where it has one, and what the call does belongs to it.
pub type CallTracer =
    Arc<dyn Fn(&Called, Option<&TraceContext>) -> Box<dyn TraceSpan> + Send + Sync>;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Called {
    /// The method; none if there is no such one: what it was called instead is a text of its
    /// caller's.
    pub method: Option<&'static str>,
    /// The transport.
    pub transport: &'static str,
}

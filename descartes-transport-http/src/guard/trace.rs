//! The trace of a request: `traceparent` and `tracestate` (W3C Trace Context, level 1, section 3).

use std::borrow::Cow;

use descartes_rpc::tracer::TraceContext;
use http::{HeaderMap, HeaderName};

use super::Field;

const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Reads the two fields. What is not well-formed is as good as not there, never an error; several
/// fields of the state are one list.
pub(super) fn read(parent: Field<'_>, headers: &HeaderMap) -> Option<TraceContext> {
    let Field::Once(parent) = parent else { return None };
    let mut fields = headers.get_all(STATE).iter().filter_map(|value| value.to_str().ok());
    let state = fields.next().map(|first| {
        fields.fold(Cow::Borrowed(first), |list, next| Cow::Owned(format!("{list},{next}")))
    });
    TraceContext::parse(parent.to_str().ok()?.trim(), state.as_deref())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::guard::Head;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read_from(fields: &[(&'static str, &'static str)]) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let trace = Head::read(&headers).trace(&headers)?;
        Some((trace.to_string(), trace.state().map(str::to_owned)))
    }

    #[test]
    fn a_trace_is_read_and_what_is_no_trace_is_as_good_as_not_there() {
        let read = |state: Option<&str>| Some((PARENT.to_owned(), state.map(str::to_owned)));
        let parent = ("traceparent", PARENT);
        for (fields, expected) in [
            (&[parent][..], read(None)),
            (&[parent, ("tracestate", "a=1")], read(Some("a=1"))),
            (&[parent, ("tracestate", "a=1"), ("tracestate", "b=2")], read(Some("a=1,b=2"))),
            (&[parent, ("tracestate", "a=1"), ("tracestate", "a=2")], read(None)),
            (&[("tracestate", "a=1")], None),
            (&[parent, parent], None),
            (&[("traceparent", "01")], None),
            (&[], None),
        ] {
            assert_eq!(read_from(fields), expected, "{fields:?}");
        }
    }
}

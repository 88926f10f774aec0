//! What browsers are told, so that pages of configured origins may call and read the answers.
//!
//! The words are those of the CORS protocol (Fetch standard, section 3.2). Pages of other origins
//! are told nothing and so can read nothing; what they send is refused by the guard besides. No
//! cookie means anything here, so none is asked for.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};

use crate::{guard::origin, response_body::ResponseBody};

/// What a page may send beyond what needs no asking.
const SENT: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, x-api-key, last-event-id, traceparent, tracestate",
);
/// What a page may read beyond what needs no asking.
const READ: HeaderValue = HeaderValue::from_static("descartes-api, allow");
/// How long a browser may remember the permission, in seconds: an origin that is taken out of the
/// configuration is refused by the guard at once anyway.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// Whether a browser asks on behalf of a page of one of the `allowed` origins if it may send more
/// than a form could.
pub(crate) fn is_preflight(parts: &request::Parts, allowed: &[String]) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && page(&parts.headers, allowed).is_some()
}

/// It may, with the methods that the path has.
pub(crate) fn permission(methods: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SENT);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

/// Lets a page of one of the `allowed` origins read the answer, whatever it is.
pub(crate) fn tell(request: &HeaderMap, allowed: &[String], answer: &mut HeaderMap) {
    if allowed.is_empty() {
        return;
    }
    answer.append(header::VARY, ORIGIN);
    if let Some(origin) = page(request, allowed) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READ);
    }
}

/// The origin of the page that asks, if it is one of `allowed`.
fn page<'a>(headers: &'a HeaderMap, allowed: &[String]) -> Option<&'a HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().filter(|_| !allowed.is_empty())?;
    (origins.next().is_none() && origin::is_allowed(origin, allowed)).then_some(origin)
}

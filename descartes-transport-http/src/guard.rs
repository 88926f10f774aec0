//! What a browser, a proxy or a confused client is refused for, before anything is read.
//!
//! Each guard is a pure function over a [`Head`], which is filled by one walk over the fields of
//! the request: a call over HTTP should not pay for ten hash lookups.

mod authority;
pub(crate) mod content_type;
pub(crate) mod credentials;
pub(crate) mod forwarded;
pub(crate) mod host;
pub(crate) mod origin;
pub(crate) mod site;
mod trace;

use descartes_rpc::tracer::TraceContext;
use http::{HeaderMap, HeaderValue, header};

/// The fields of a request that a decision is made on.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) host: Field<'a>,
    pub(crate) origin: Field<'a>,
    pub(crate) fetch_site: Field<'a>,
    pub(crate) content_type: Field<'a>,
    pub(crate) content_length: Option<&'a HeaderValue>,
    pub(crate) accept: Option<&'a HeaderValue>,
    authorization: Field<'a>,
    api_key: Field<'a>,
    pub(crate) last_event_id: Option<&'a HeaderValue>,
    trace_parent: Field<'a>,
    /// A bearer in `Authorization`, or `X-API-Key`, is there: no page can send it without a
    /// preflight.
    pub(crate) credentials: bool,
    /// The request came through a proxy that says so.
    pub(crate) forwarded: bool,
}

/// A field that must not be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    #[default]
    Absent,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> Field<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

impl<'a> Head<'a> {
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            match *name {
                header::HOST => head.host.add(value),
                header::ORIGIN => head.origin.add(value),
                header::CONTENT_TYPE => head.content_type.add(value),
                header::CONTENT_LENGTH => head.content_length = Some(value),
                header::ACCEPT => head.accept = Some(value),
                header::AUTHORIZATION => {
                    head.credentials |= is_bearer(value);
                    head.authorization.add(value);
                }
                header::FORWARDED | header::VIA => head.forwarded = true,
                _ => head.read_unregistered(name.as_str(), value),
            }
        }
        head
    }

    fn read_unregistered(&mut self, name: &str, value: &'a HeaderValue) {
        match name {
            "x-api-key" => {
                self.credentials = true;
                self.api_key.add(value);
            }
            "sec-fetch-site" => self.fetch_site.add(value),
            "last-event-id" => self.last_event_id = Some(value),
            "traceparent" => self.trace_parent.add(value),
            _ if forwarded::is_forwarding(name) => self.forwarded = true,
            _ => {}
        }
    }

    /// Whether a page of another site is behind the request, and none of those that may call;
    /// `secure`: it came over TLS, over which our own pages came too.
    pub(crate) fn is_foreign(&self, allowed_origins: &[String], secure: bool) -> bool {
        match self.origin {
            // The name of a page counts more than how far away its site is.
            Field::Once(origin) if origin::is_allowed(origin, allowed_origins) => false,
            origin => {
                origin::is_foreign(origin, self.host, secure) || site::is_foreign(self.fetch_site)
            }
        }
    }

    /// The key or token that the caller shows.
    pub(crate) fn presented(&self) -> credentials::Presented {
        credentials::read(self.authorization, self.api_key)
    }

    /// The trace that the caller says this belongs to; `headers` are those that this was read from.
    pub(crate) fn trace(&self, headers: &HeaderMap) -> Option<TraceContext> {
        trace::read(self.trace_parent, headers)
    }

    /// Whether the caller asks for a stream of server-sent events.
    pub(crate) fn wants_events(&self) -> bool {
        self.accept.is_some_and(|accept| {
            accept.as_bytes().split(|byte| *byte == b',').any(|range| {
                let essence = range.split(|byte| *byte == b';').next().unwrap_or_default();
                essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
            })
        })
    }
}

/// Whether the value of `Authorization` is a token.
///
/// What else it may carry (`Basic`, `Negotiate`) a browser remembers, and sends for any page.
fn is_bearer(value: &HeaderValue) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    value.as_bytes().get(..SCHEME.len()).is_some_and(|said| said.eq_ignore_ascii_case(SCHEME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_repeated_field_is_seen_as_repeated() {
        let map = headers(&[("host", "localhost"), ("Host", "localhost")]);
        assert_eq!(Head::read(&map).host, Field::Repeated);
        let map = headers(&[("host", "localhost")]);
        assert_eq!(Head::read(&map).host, Field::Once(&HeaderValue::from_static("localhost")));
        assert_eq!(Head::read(&HeaderMap::new()).host, Field::Absent);
    }

    #[test]
    fn proxies_and_credentials_are_seen_under_each_of_their_names() {
        for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert!(Head::read(&headers(&[(name, "x")])).forwarded, "{name}");
        }
        for field in
            [("authorization", "Bearer x"), ("authorization", "bearer x"), ("x-api-key", "x")]
        {
            let map = headers(&[field]);
            assert!(Head::read(&map).credentials, "{field:?}");
            assert!(!Head::read(&map).forwarded, "{field:?}");
        }
    }

    #[test]
    fn what_a_browser_sends_by_itself_vouches_for_nothing() {
        for said in ["Basic dTpw", "Negotiate x", "Digest x", "Bearer", "Bearerx", "", "x"] {
            assert!(!Head::read(&headers(&[("authorization", said)])).credentials, "{said}");
        }
    }

    #[test]
    fn an_event_stream_is_given_to_whoever_lists_it() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("application/json, text/event-stream", true),
            ("application/json,TEXT/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("text/event-stream-x", false),
            ("", false),
        ] {
            assert_eq!(Head::read(&headers(&[("accept", accept)])).wants_events(), expected);
        }
    }
}

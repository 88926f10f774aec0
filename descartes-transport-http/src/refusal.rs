//! What never reaches a method: one row for each reason, with its status and its error.

use bytes::{BufMut, BytesMut};
use descartes_rpc::{
    error::{ErrorKind, RpcError},
    message::{Id, Response as RpcResponse},
    meter::Rejection,
};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    alias::Alias,
    caller::Stranger,
    guard::host::HostFault,
    query::QueryError,
    response_body::ResponseBody,
    service::json,
    ws::handshake::{self, NoHandshake},
};

/// The scheme of RFC 6750; `X-API-Key` has no name of this kind.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"descartes\"");

/// Why a request is refused by the transport itself.
#[derive(Debug)]
pub(crate) enum Refusal {
    Host(HostFault),
    /// A page of another site is behind it, by its `Origin` or by what its browser says.
    ForeignOrigin,
    /// Nobody vouches for the caller.
    Stranger(Stranger),
    /// The caller's credentials are not valid.
    Credentials(RpcError),
    /// Too many of that address have failed.
    TooManyLogins(RpcError),
    /// Who calls is known, and may not have what is asked for.
    Denied(RpcError),
    NotFound,
    NotAllowed(&'static str),
    ContentType,
    TooLarge(usize),
    /// The body ended early or was garbled.
    BrokenBody,
    /// The query does not fit the row that it belongs to.
    Query(QueryError, &'static Alias),
    /// A WebSocket is served here, and the request asks for none that we speak.
    Handshake(NoHandshake),
    /// There are as many connections as there may be.
    Full,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Host(HostFault::Invalid)
            | Self::BrokenBody
            | Self::Query(..)
            | Self::Handshake(NoHandshake::Malformed) => StatusCode::BAD_REQUEST,
            Self::Handshake(NoHandshake::UpgradeRequired) => StatusCode::UPGRADE_REQUIRED,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Host(HostFault::Misdirected) => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::Stranger(_) | Self::Credentials(_) => StatusCode::UNAUTHORIZED,
            Self::TooManyLogins(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Denied(error) => status_of(error),
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// What it is counted as.
    pub(crate) fn reason(&self) -> Rejection {
        match self {
            Self::Host(_) => Rejection::Host,
            Self::ForeignOrigin => Rejection::Origin,
            Self::Stranger(_) | Self::Credentials(_) | Self::TooManyLogins(_) => {
                Rejection::Unauthenticated
            }
            Self::Denied(_) => Rejection::Forbidden,
            Self::NotFound | Self::NotAllowed(_) | Self::ContentType | Self::Handshake(_) => {
                Rejection::NotServed
            }
            Self::TooLarge(_) => Rejection::TooLarge,
            Self::BrokenBody | Self::Query(..) => Rejection::Malformed,
            Self::Full => Rejection::TooManyConnections,
        }
    }

    pub(crate) fn error(&self) -> RpcError {
        let invalid = |message: &'static str| RpcError::new(ErrorKind::InvalidRequest, message);
        match self {
            Self::Host(HostFault::Invalid) => invalid("exactly one valid Host is needed"),
            Self::Host(HostFault::Misdirected) => {
                invalid("this server does not answer to that Host")
                    .hint("add the name to [server] allowed_hosts, or use 127.0.0.1")
            }
            Self::ForeignOrigin => {
                RpcError::new(ErrorKind::Forbidden, "pages of other sites are refused")
                    .with("required", "an Origin of this server")
                    .hint("add the origin to [server] allowed_origins")
            }
            Self::Stranger(stranger) => stranger.error(),
            Self::Credentials(error) | Self::TooManyLogins(error) | Self::Denied(error) => {
                error.clone()
            }
            Self::NotFound => invalid("nothing is served here").hint("send calls to POST /"),
            Self::NotAllowed(allow) => invalid("this path is not served for that HTTP method")
                .hint(format!("allowed: {allow}")),
            Self::ContentType => invalid("the body is not declared as JSON")
                .hint("send Content-Type: application/json"),
            Self::TooLarge(max) => {
                RpcError::oversize(descartes_rpc::limits::REQUEST_BYTES_KEY, *max as u64)
            }
            Self::BrokenBody => invalid("the body ended early or was garbled"),
            Self::Query(error, alias) => RpcError::new(ErrorKind::InvalidParams, error.to_string())
                .with("expected", alias.query_names()),
            Self::Handshake(NoHandshake::Malformed) => invalid("not a WebSocket handshake"),
            Self::Handshake(NoHandshake::UpgradeRequired) => {
                invalid("WebSocket alone is served here").hint("connect with ws://, version 13")
            }
            Self::Full => full(),
        }
    }

    /// Whether somebody is refused, and not something.
    pub(crate) const fn is_of_stranger(&self) -> bool {
        matches!(
            self,
            Self::Host(HostFault::Misdirected)
                | Self::ForeignOrigin
                | Self::Stranger(_)
                | Self::Credentials(_)
                | Self::TooManyLogins(_)
        )
    }

    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        let mut response = error_response(self.status(), self.error());
        let headers = response.headers_mut();
        match self {
            // RFC 9110 section 15.5.2: what would be taken.
            Self::Stranger(_) | Self::Credentials(_) => {
                headers.insert(header::WWW_AUTHENTICATE, BEARER);
            }
            Self::NotAllowed(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            // RFC 6455 section 4.4 and RFC 9110 section 15.5.22: what would be taken instead.
            Self::Handshake(NoHandshake::UpgradeRequired) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, handshake::VERSION);
            }
            _ => {}
        }
        response
    }
}

/// The status of an error that is not in a JSON-RPC response.
pub(crate) fn status_of(error: &RpcError) -> StatusCode {
    let code = error.kind().http_status();
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// There are as many connections as there may be.
pub(crate) fn full() -> RpcError {
    RpcError::new(ErrorKind::Unavailable, "too many connections").reason("no_slot")
}

/// A JSON-RPC error that belongs to no call, under an HTTP status.
pub(crate) fn error_response(status: StatusCode, error: RpcError) -> Response<ResponseBody> {
    let retry = retry_after(&error);
    let mut response = json(RpcResponse::failed(Id::Null, error).encode());
    *response.status_mut() = status;
    response.headers_mut().extend(retry);
    response
}

/// The error object alone, under the status of its kind.
pub(crate) fn bare_error(error: &RpcError) -> Response<ResponseBody> {
    let mut body = BytesMut::new();
    error.encode_into(&mut body);
    let mut response = json(body.freeze());
    *response.status_mut() = status_of(error);
    response.headers_mut().extend(retry_after(error));
    response
}

/// When to come again, in whole seconds (RFC 9110 section 10.2.3), where the error says it.
fn retry_after(error: &RpcError) -> Option<(HeaderName, HeaderValue)> {
    let millis = error.detail("retry_after_ms")?.as_u64()?;
    Some((header::RETRY_AFTER, millis.div_ceil(1000).into()))
}

/// A whole HTTP answer as bytes, for connections that are refused before hyper sees them.
pub(crate) fn raw(status: StatusCode, error: RpcError) -> BytesMut {
    let body = RpcResponse::failed(Id::Null, error).encode();
    let mut out = BytesMut::with_capacity(256 + body.len());
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    if status == StatusCode::UNAUTHORIZED {
        out.put_slice(b" \r\nwww-authenticate: ");
        out.put_slice(BEARER.as_bytes());
    } else {
        out.put_u8(b' ');
    }
    out.put_slice(b"\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ");
    out.put_slice(body.len().to_string().as_bytes());
    out.put_slice(b"\r\n\r\n");
    out.put_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_status_and_code_of_the_contract() {
        for (refusal, status, code) in [
            (Refusal::Host(HostFault::Invalid), 400, -32600),
            (Refusal::Host(HostFault::Misdirected), 421, -32600),
            (Refusal::ForeignOrigin, 403, -32012),
            (Refusal::Stranger(Stranger::Forwarded), 401, -32001),
            (Refusal::Credentials(RpcError::new(ErrorKind::Unauthenticated, "no")), 401, -32001),
            (Refusal::TooManyLogins(RpcError::exhausted("x", 1, 1)), 429, -32011),
            (Refusal::Denied(RpcError::new(ErrorKind::Forbidden, "no")), 403, -32012),
            (Refusal::NotFound, 404, -32600),
            (Refusal::NotAllowed("POST"), 405, -32600),
            (Refusal::ContentType, 415, -32600),
            (Refusal::TooLarge(7), 413, -32011),
            (Refusal::BrokenBody, 400, -32600),
            (Refusal::Query(QueryError::Encoding, &crate::alias::EVENTS), 400, -32602),
            (Refusal::Handshake(NoHandshake::Malformed), 400, -32600),
            (Refusal::Handshake(NoHandshake::UpgradeRequired), 426, -32600),
            (Refusal::Full, 503, -32007),
        ] {
            assert_eq!(refusal.status(), status, "{refusal:?}");
            assert_eq!(refusal.error().code(), code, "{refusal:?}");
        }
    }

    #[test]
    fn when_to_come_again_is_said_in_whole_seconds_where_it_is_known() {
        for (millis, expected) in [(1, "1"), (1000, "1"), (1001, "2"), (86_400_000, "86400")] {
            let error = RpcError::exhausted("x", 1, 1).with("retry_after_ms", millis);
            let status = StatusCode::TOO_MANY_REQUESTS;
            for response in [bare_error(&error), error_response(status, error)] {
                assert_eq!(response.status(), status);
                assert_eq!(response.headers()[header::RETRY_AFTER], expected);
            }
        }
        let unknown = bare_error(&RpcError::exhausted("x", 1, 1));
        assert!(!unknown.headers().contains_key(header::RETRY_AFTER));
    }
}

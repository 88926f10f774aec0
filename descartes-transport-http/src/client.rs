//! The client's side: calls and event streams over HTTP, for the typed
//! [`Client`](descartes_rpc::client::Client).

pub(crate) mod decoder;
mod pool;
mod stream;

use std::{
    fmt,
    io::{self, ErrorKind},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use descartes_rpc::{client::Exchange, limits::REPLY_BYTES};
use futures_core::stream::BoxStream;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::caller::TRANSPORT;
use pool::Pool;

/// The largest answer, with what stands around it.
const MAX_ANSWER_BYTES: usize = REPLY_BYTES + (1 << 20);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Reaches a daemon by its address; a few connections are kept open between calls.
///
/// `Client::exchange(HttpClient::new(url)?)` is the typed client over it. Cheap to clone; clones
/// share their connections. A connection that the daemon has closed meanwhile is noticed, and the
/// call goes out on a new one. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct HttpClient {
    uri: Uri,
    host: HeaderValue,
    pool: Arc<Pool>,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not a URL.
    #[error("`{0}` is not a URL")]
    Invalid(String),
    /// Only plain HTTP is spoken.
    #[error("`{0}` does not begin with http://")]
    Scheme(String),
}

impl HttpClient {
    /// Calls the daemon at `url`, such as `http://127.0.0.1:8080`; a path is where the service is
    /// mounted. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when `url` is not a plain `http://` address.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let invalid = || AddressError::Invalid(url.to_owned());
        let uri: Uri = url.parse().ok().ok_or_else(invalid)?;
        if uri.scheme_str() != Some("http") {
            return Err(AddressError::Scheme(url.to_owned()));
        }
        let authority = uri.authority().ok_or_else(invalid)?;
        let host = HeaderValue::from_str(authority.as_str()).ok().ok_or_else(invalid)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let pool = Pool::new(name.to_owned(), authority.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = path.parse().ok().ok_or_else(invalid)?;
        Ok(Self { uri, host, pool: Arc::new(pool) })
    }

    fn request(&self, message: Bytes, accept: HeaderValue) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::ACCEPT, accept);
        request
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("host", &self.host).field("uri", &self.uri).finish()
    }
}

#[async_trait]
impl Exchange for HttpClient {
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes> {
        let (response, connection) = self.pool.send(self.request(message, JSON)).await?;
        let answer = read_answer(response).await?;
        // Only now: a connection whose answer was not read to its end is of no more use.
        self.pool.give_back(connection);
        Ok(answer)
    }

    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let request = self.request(message, EVENT_STREAM);
        let (response, connection) = self.pool.send(request).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return Ok(Box::pin(stream::messages(response.into_body(), connection)));
        }
        let answer = read_answer(response).await;
        Ok(Box::pin(futures_util::stream::iter([answer])))
    }

    fn transport_name(&self) -> &'static str {
        TRANSPORT
    }
}

/// The JSON-RPC message in an answer, whatever its status; nothing in a 204.
async fn read_answer(response: Response<Incoming>) -> io::Result<Bytes> {
    let (parts, body) = response.into_parts();
    let is_json = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json && parts.status != StatusCode::NO_CONTENT {
        let what = format!("HTTP {} from something that is no Descartes", parts.status);
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(io::Error::new(ErrorKind::InvalidData, "an answer beyond all bounds"))
        }
        Err(error) => Err(io::Error::new(ErrorKind::ConnectionReset, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (url, host, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/"),
            ("http://localhost", "localhost", "/"),
            ("http://[::1]:80/", "[::1]:80", "/"),
            ("http://app.example:7/descartes/rpc", "app.example:7", "/descartes/rpc"),
        ] {
            let client = HttpClient::new(url).unwrap();
            assert_eq!((client.host.to_str().unwrap(), client.uri.path()), (host, path), "{url}");
        }
        for url in ["", "127.0.0.1:8080", "https://localhost", "unix:///run/x", "http://"] {
            assert!(HttpClient::new(url).is_err(), "{url}");
        }
    }
}

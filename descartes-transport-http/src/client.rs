//! The client's side: calls and event streams over HTTP, for the typed
//! [`Client`](descartes_rpc::client::Client).

mod address;
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
use descartes_rpc::{auth::Secret, client::Exchange, limits::REPLY_BYTES};
use futures_core::stream::BoxStream;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::caller::TRANSPORT;
#[cfg(feature = "tls")]
use crate::tls::Roots;

pub use address::AddressError;
pub(crate) use address::{Address, CONNECT_DEADLINE};
use pool::Pool;
pub(crate) use pool::lost;

/// The largest answer, with what stands around it.
pub(crate) const MAX_ANSWER_BYTES: usize = REPLY_BYTES + (1 << 20);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Reaches a daemon by its address; a few connections are kept open between calls.
///
/// `Client::exchange(HttpClient::new(url)?)` is the typed client over it. Cheap to clone; clones
/// share their connections. A connection that the daemon has closed meanwhile is noticed, and the
/// call goes out on a new one. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct HttpClient {
    address: Address,
    pool: Arc<Pool>,
}

impl HttpClient {
    /// Calls the daemon at `url`, such as `http://127.0.0.1:8080`; a path is where the service is
    /// mounted. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when `url` is not an `http://` address, nor with the feature `tls` one of
    /// `https://`.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let address = Address::read(url, "http")?;
        Ok(Self { pool: Arc::new(Pool::new(address.clone())), address })
    }

    /// Believes `roots` when it connects to a `https://` address; without them such a connection is
    /// an error. The name in the address must be one of the server's certificate.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trusting(mut self, roots: Roots) -> Self {
        self.address.trust(roots);
        self.pool = Arc::new(Pool::new(self.address.clone()));
        self
    }

    /// Shows `token`, a key or a token of the daemon, with each call.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a builder takes what it is given")]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.address.show(&token);
        self
    }

    fn request(&self, message: Bytes, accept: HeaderValue) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.address.host.clone());
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::ACCEPT, accept);
        if let Some(authorization) = &self.address.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("address", &self.address).finish()
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

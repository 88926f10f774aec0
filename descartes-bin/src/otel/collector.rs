//! One request to a collector: a connection, a `POST`, an answer that is hardly read.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::settings::Settings;

/// What is read of an answer, which says how many spans were not wanted.
const ANSWER_BYTES: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("descartes-daemon/", env!("CARGO_PKG_VERSION")));
/// Where systems keep the certificates that they believe, as one file.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A collector, which is connected to for each request: there are few.
pub(super) struct Collector {
    name: String,
    port: u16,
    host: HeaderValue,
    path: Uri,
    headers: HeaderMap,
    timeout: Duration,
    tls: Option<TlsConnector>,
}

/// Why a collector cannot be spoken to at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectorError {
    #[error("the URL of the collector is of no use")]
    Url,
    #[error("certificates to believe the collector by cannot be read: {0}")]
    Certificates(String),
}

/// Why spans were not taken. Neither fields nor what was answered are told.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it answered {0}")]
    Refused(StatusCode),
}

impl NotTaken {
    /// Whether it may be taken another time (OTLP, "Failures" of OTLP/HTTP).
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::TimedOut => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

impl Collector {
    pub(super) fn of(settings: Settings) -> Result<Self, CollectorError> {
        let Settings { endpoint, headers, timeout, certificate, .. } = settings;
        let secure = endpoint.scheme_str() == Some("https");
        let host = endpoint.host().ok_or(CollectorError::Url)?.to_owned();
        let port = endpoint.port_u16();
        // Without what some put before the host: a name and a password.
        let shown = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = endpoint.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            name: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            host: HeaderValue::try_from(shown).ok().ok_or(CollectorError::Url)?,
            path: path.parse().ok().ok_or(CollectorError::Url)?,
            headers,
            timeout,
            tls: if secure { Some(connector(certificate.as_deref())?) } else { None },
        })
    }

    /// Where it is, for logs.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    /// Sends spans; how many of them were not wanted.
    ///
    /// # Cancel safety
    /// Dropped, it is not known whether they arrived.
    pub(super) async fn send(&self, body: Bytes) -> Result<u64, NotTaken> {
        timeout(self.timeout, self.exchange(body)).await.unwrap_or(Err(NotTaken::TimedOut))
    }

    async fn exchange(&self, body: Bytes) -> Result<u64, NotTaken> {
        let stream = TcpStream::connect((&*self.name, self.port)).await?;
        let Some(tls) = &self.tls else { return self.post(stream, body).await };
        let name = ServerName::try_from(self.name.clone());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = tls.connect(name, stream).await?;
        self.post(stream, body).await
    }

    async fn post<S>(&self, stream: S, body: Bytes) -> Result<u64, NotTaken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(self.request(body)).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(NotTaken::Refused(status));
        }
        // They are taken, whatever is said of them.
        let answer = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let answer = answer.map(|answer| answer.to_bytes()).unwrap_or_default();
        let said = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let rejected = said.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, PROTOBUF);
        headers.insert(header::USER_AGENT, AGENT);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        request
    }
}

/// Believes the certificates of `file`, those of the system when there is none.
fn connector(file: Option<&Path>) -> Result<TlsConnector, CollectorError> {
    let wrong = |error: String| CollectorError::Certificates(error);
    let system = || SYSTEM_CERTIFICATES.iter().map(Path::new).find(|path| path.is_file());
    let file = file.or_else(system).ok_or_else(|| wrong("there are none".to_owned()))?;
    let pem = fs::read(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    let mut roots = RootCertStore::empty();
    let (kept, _) = roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(&pem).filter_map(|certificate| certificate.ok()),
    );
    if kept == 0 {
        return Err(wrong(format!("{}: there is none in PEM", file.display())));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(error.to_string()))?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

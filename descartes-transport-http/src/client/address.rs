//! Where a daemon is.

use std::{io, time::Duration};

use descartes_rpc::auth::Secret;
use http::{HeaderValue, Uri};
use tokio::{net::TcpStream, time::timeout};

/// How long a connection may take to be made.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not a URL.
    #[error("`{0}` is not a URL")]
    Invalid(String),
    /// It is for something else; nothing is spoken over TLS.
    #[error("`{url}` does not begin with {expected}://")]
    Scheme {
        /// The address.
        url: String,
        /// What it would have to begin with.
        expected: &'static str,
    },
}

/// An address, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The field `Host`.
    pub(crate) host: HeaderValue,
    pub(crate) path: Uri,
    /// The field `Authorization`, if credentials are shown.
    pub(crate) authorization: Option<HeaderValue>,
    name: String,
    port: u16,
}

impl Address {
    pub(crate) fn read(url: &str, scheme: &'static str) -> Result<Self, AddressError> {
        let invalid = || AddressError::Invalid(url.to_owned());
        let uri: Uri = url.parse().ok().ok_or_else(invalid)?;
        if uri.scheme_str() != Some(scheme) {
            return Err(AddressError::Scheme { url: url.to_owned(), expected: scheme });
        }
        let authority = uri.authority().ok_or_else(invalid)?;
        let host = HeaderValue::from_str(authority.as_str()).ok().ok_or_else(invalid)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().ok().ok_or_else(invalid)?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { host, path, authorization: None, name, port })
    }

    /// Shows `token` with each request. A field cannot carry every text; what it cannot carry is no
    /// token of a daemon either, and is shown as an empty one.
    pub(crate) fn show(&mut self, token: &Secret) {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        self.authorization = Some(value);
    }

    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let connected = timeout(CONNECT_DEADLINE, TcpStream::connect((&*self.name, self.port)));
        let stream = connected.await.map_err(io::Error::from)??;
        stream.set_nodelay(true)?;
        Ok(stream)
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
            let address = Address::read(url, "http").unwrap();
            assert_eq!(
                (address.host.to_str().unwrap(), address.path.path()),
                (host, path),
                "{url}"
            );
        }
        for url in ["", "127.0.0.1:8080", "https://localhost", "unix:///run/x", "http://"] {
            assert!(Address::read(url, "http").is_err(), "{url}");
        }
    }
}

//! Where a daemon is.

use std::{io, net::SocketAddr, time::Duration};

use descartes_rpc::auth::Secret;
use http::{HeaderValue, Uri};
#[cfg(feature = "tls")]
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;
#[cfg(feature = "tls")]
use tokio_util::either::Either;

#[cfg(feature = "tls")]
use crate::tls::Roots;

/// How long a connection may take to be made.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not a URL.
    #[error("`{0}` is not a URL")]
    Invalid(String),
    /// It is for something else. One for TLS takes the cargo feature `tls`.
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
    /// Whose certificates are believed, where TLS is spoken.
    #[cfg(feature = "tls")]
    secure: Option<Option<Roots>>,
}

/// What is spoken over.
#[cfg(feature = "tls")]
pub(crate) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;
#[cfg(not(feature = "tls"))]
pub(crate) type Wire = TcpStream;

impl Address {
    /// `scheme` is the one without TLS; that with it has an `s` behind.
    pub(crate) fn read(url: &str, scheme: &'static str) -> Result<Self, AddressError> {
        let invalid = || AddressError::Invalid(url.to_owned());
        let uri: Uri = url.parse().ok().ok_or_else(invalid)?;
        let behind = uri.scheme_str().and_then(|said| said.strip_prefix(scheme));
        let secure = match behind {
            Some("") => false,
            Some("s") if cfg!(feature = "tls") => true,
            _ => return Err(AddressError::Scheme { url: url.to_owned(), expected: scheme }),
        };
        let authority = uri.authority().ok_or_else(invalid)?;
        let host = HeaderValue::from_str(authority.as_str()).ok().ok_or_else(invalid)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().ok().ok_or_else(invalid)?;
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self {
            host,
            path,
            authorization: None,
            name,
            port,
            #[cfg(feature = "tls")]
            secure: secure.then_some(None),
        })
    }

    /// Believes these certificates, where TLS is spoken.
    #[cfg(feature = "tls")]
    pub(crate) fn trust(&mut self, roots: Roots) {
        if let Some(trusted) = &mut self.secure {
            *trusted = Some(roots);
        }
    }

    /// Shows `token` with each request. A field cannot carry every text; what it cannot carry is no
    /// token of a daemon either, and is shown as an empty one.
    pub(crate) fn show(&mut self, token: &Secret) {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        self.authorization = Some(value);
    }

    /// Connects, and shakes hands where TLS is spoken.
    pub(crate) async fn connect(&self) -> io::Result<Wire> {
        timeout(CONNECT_DEADLINE, self.open()).await.map_err(io::Error::from)?
    }

    async fn open(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(&*self.found().await?).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        let stream = self.secured(stream).await?;
        Ok(stream)
    }

    /// The addresses of its name. Where it has none nothing was sent, which the kind of error says.
    async fn found(&self) -> io::Result<Vec<SocketAddr>> {
        let found = lookup_host((&*self.name, self.port)).await;
        let nowhere = |error| {
            let what = format!("no address of {} is known here: {error}", self.name);
            io::Error::new(io::ErrorKind::NotFound, what)
        };
        Ok(found.map_err(nowhere)?.collect())
    }

    #[cfg(feature = "tls")]
    async fn secured(&self, stream: TcpStream) -> io::Result<Wire> {
        let roots = match &self.secure {
            None => return Ok(Either::Left(stream)),
            Some(Some(roots)) => roots,
            Some(None) => {
                let what = "nothing is said of whose certificates to believe";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        let name = ServerName::try_from(self.name.clone());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let shaken = roots.connector().connect(name, stream).await?;
        Ok(Either::Right(Box::new(shaken)))
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
        for url in [
            "",
            "127.0.0.1:8080",
            "httpx://localhost",
            "ws://localhost",
            "unix:///run/x",
            "http://",
        ] {
            assert!(Address::read(url, "http").is_err(), "{url}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn an_address_of_tls_has_its_own_port() {
        let address = Address::read("https://agents.example/rpc", "http").unwrap();
        assert_eq!((address.port, address.secure.is_some()), (443, true));
        let address = Address::read("wss://[::1]:8081/ws", "ws").unwrap();
        assert_eq!((&*address.name, address.port), ("::1", 8081));
        assert!(Address::read("https://localhost", "ws").is_err());
    }
}

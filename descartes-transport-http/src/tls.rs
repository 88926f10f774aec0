//! `https://` and `wss://`: what the server shows, and whom clients believe.
//!
//! TLS 1.2 and 1.3 with the `ring` provider, which is named each time: what an application has
//! made the default of its process is neither used nor changed.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

/// What is spoken inside; the server knows no HTTP/2.
const ALPN: &[u8] = b"http/1.1";

/// A certificate with its key: what a server shows to whoever connects.
///
/// Put into [`HttpConfig::tls`](crate::HttpConfig::tls) it turns the port into one of `https://`
/// and `wss://`. Another one that is stored there is shown to those that connect from then on;
/// connections that there are stay as they are. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[CertificateDer<'static>]>,
    config: Arc<ServerConfig>,
}

/// Why a certificate and its key cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The certificate is none.
    #[error("the certificate is of no use: {0}")]
    Certificate(String),
    /// The key is none. It is never told itself.
    #[error("the key is of no use: {0}")]
    Key(String),
    /// They are of two different pairs.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Reads a certificate, its intermediate ones behind it, and its key without a password; both
    /// texts are PEM.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when one of them is not what it should be, or when they are no pair. That
    /// the certificate is out of date is none: see [`Identity::out_of_date`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = certificates(certificate).map_err(IdentityError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| IdentityError::Key(said(&error, NO_KEY)))?;
        let provider = Arc::new(ring::default_provider());
        let unusable = |error: rustls::Error| IdentityError::Key(error.to_string());
        let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
        let pair = CertifiedKey::new(chain.clone(), key);
        pair.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch,
            other => IdentityError::Certificate(other.to_string()),
        })?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let shown = Arc::new(SingleCertAndKey::from(pair));
        let mut config = builder.with_no_client_auth().with_cert_resolver(shown);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { chain: chain.into(), config: Arc::new(config) })
    }

    /// Why clients will not believe the certificate at this hour, if it is for another time.
    #[must_use]
    pub fn out_of_date(&self) -> Option<&'static str> {
        use rustls::CertificateError as Why;

        // Its dates are looked at before who has signed it, so any root does.
        let own = &self.chain[0];
        let mut roots = RootCertStore::empty();
        roots.add(own.clone()).ok()?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let name = ServerName::try_from("localhost").ok()?;
        let judged =
            verifier.build().ok()?.verify_server_cert(own, &[], &name, &[], UnixTime::now());
        match judged {
            Err(rustls::Error::InvalidCertificate(Why::Expired | Why::ExpiredContext { .. })) => {
                Some("it has expired")
            }
            Err(rustls::Error::InvalidCertificate(
                Why::NotValidYet | Why::NotValidYetContext { .. },
            )) => Some("it is not valid yet"),
            _ => None,
        }
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        Arc::clone(&self.config).into()
    }
}

/// The same certificates, and so the same key.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Whose signatures a client believes. Cheap to clone.
///
/// There are none by default, not those of the system either: a daemon's certificate is mostly one
/// that somebody has made for it. A file with those of the system serves as well.
#[derive(Clone)]
pub struct Roots(Arc<ClientConfig>);

/// Why certificates cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificates to believe are of no use: {0}")]
pub struct RootsError(String);

impl Roots {
    /// Believes whoever shows one of these certificates, or one that is signed by one of them; `pem`
    /// is one or more of them, as PEM.
    ///
    /// # Errors
    ///
    /// [`RootsError`] when there is none, or one is garbled.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem).map_err(RootsError)? {
            roots.add(certificate).map_err(|error| RootsError(error.to_string()))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| RootsError(error.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    #[cfg(feature = "client")]
    pub(crate) fn connector(&self) -> tokio_rustls::TlsConnector {
        Arc::clone(&self.0).into()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").finish_non_exhaustive()
    }
}

const NO_CERTIFICATE: &str = "there is none in PEM";
const NO_KEY: &str = "there is none in PEM; one with a password cannot be used";

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| said(&error, NO_CERTIFICATE))?;
    if all.is_empty() { Err(NO_CERTIFICATE.to_owned()) } else { Ok(all) }
}

/// What is wrong with a PEM, without a word of what it says.
fn said(error: &pem::Error, none: &str) -> String {
    match error {
        pem::Error::NoItemsFound => none.to_owned(),
        _ => "its PEM is garbled".to_owned(),
    }
}

#[cfg(test)]
mod tests;

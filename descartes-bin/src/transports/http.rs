//! HTTP.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use descartes_rpc::Swap;
use descartes_transport_http::{
    Allowed, BindError, HttpConfig, HttpTransport, Identity, IdentityError,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Change, Door, Ground, Listener, Prepared};
use crate::config::{Config, ConfigError, Server, private};
use crate::daemon::Failure;

/// Opens the port, or serves the given ones.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let mut doors = Vec::new();
        for (address, given) in ground.places("http", ground.config.server.http())? {
            let mut config = config(ground, address)?;
            config.given = given;
            let (scheme, change) = (scheme("http", &config), change(&config));
            let transport = HttpTransport::bind(config).await.map_err(failure)?;
            doors.push(Door::Open(Listener {
                name: "http",
                addresses: vec![format!("{scheme}://{}", transport.local_addr())],
                publish: |endpoints, address| endpoints.http = Some(address),
                change,
                serve: Box::new(|rpc, stop| {
                    async move { transport.serve(rpc, stop.cancelled_owned()).await }.boxed()
                }),
            }));
        }
        Ok(doors)
    }
    .boxed()
}

/// What every port of this kind is served with.
pub(super) fn config(ground: &Ground<'_>, address: SocketAddr) -> Result<HttpConfig, ConfigError> {
    let server = &ground.config.server;
    let mut config = HttpConfig::new(address);
    config.options.allowed.store(allowed(server));
    let idle = Duration::from_secs(ground.config.pool.idle_timeout_secs);
    config.options.limits.idle_timeout = idle;
    config.options.limits.drain = ground.drain;
    config.options.auth = Some(ground.auth.clone());
    config.options.limits.connections_per_address = ground.per_address();
    config.options.limits.newcomers = ground.newcomers();
    config.options.limits.websocket = ground.connection_limits();
    config.options.meter = ground.meter.clone();
    #[cfg(feature = "metrics")]
    if server.enable_metrics {
        config.options.numbers = Some(ground.scrape.route());
    }
    config.trust_loopback = ground.trust_loopback;
    config.connections = Arc::clone(&ground.connections);
    config.closing = ground.closing.clone();
    config.tls = identity(ground.config)?.map(Swap::new);
    Ok(config)
}

/// How the addresses of a port begin.
pub(super) fn scheme(plain: &'static str, config: &HttpConfig) -> String {
    let secure = if config.tls.is_some() { "s" } else { "" };
    format!("{plain}{secure}")
}

/// What of a port of this kind can change while it is served.
pub(super) fn change(config: &HttpConfig) -> Change {
    let (there, shown) = (config.options.allowed.clone(), config.tls.clone());
    Box::new(move |config| {
        let (there, allowed) = (there.clone(), allowed(&config.server));
        let other = identity(config)?;
        let other = shown.clone().zip(other).filter(|(shown, other)| *shown.load() != *other);
        let anew = other.iter().flat_map(|_| ["server.tls_cert", "server.tls_key"]).collect();
        let take_over = Box::new(move || {
            there.store(allowed);
            if let Some((shown, other)) = other {
                shown.store(other);
            }
        });
        Ok(Prepared { anew, take_over })
    })
}

/// Bytes of a file with certificates; a longer one is none.
const CERTIFICATE_BYTES: u64 = 1024 * 1024;

/// What is shown over TLS, read from its files; nothing without TLS. What clients will not believe is
/// told in the log.
fn identity(config: &Config) -> Result<Option<Identity>, ConfigError> {
    let identity = checked(config)?;
    if let Some((identity, (certificate, _))) = identity.as_ref().zip(config.server.tls())
        && let Some(why) = identity.out_of_date()
    {
        let path = certificate.display();
        tracing::warn!(%path, "clients will not believe the certificate: {why}");
    }
    Ok(identity)
}

/// The same, in silence.
pub(super) fn checked(config: &Config) -> Result<Option<Identity>, ConfigError> {
    of_files(&config.server).map_err(|error| error.at(&config.places))
}

fn of_files(server: &Server) -> Result<Option<Identity>, ConfigError> {
    let Some((certificate, key)) = server.tls() else { return Ok(None) };
    let refused = |(key, path): (&'static str, &Path), why: String| ConfigError::Certificate {
        key,
        path: path.to_owned(),
        why,
    };
    let of_certificate = ("server.tls_cert", certificate);
    let chain = read(certificate).map_err(|error| refused(of_certificate, error.to_string()))?;
    let secret = private::read("server.tls_key", key)?;
    let identity = Identity::from_pem(&chain, secret.expose().as_bytes());
    let identity = identity.map_err(|error| match error {
        IdentityError::Certificate(_) => refused(of_certificate, error.to_string()),
        _ => refused(("server.tls_key", key), error.to_string()),
    })?;
    Ok(Some(identity))
}

fn read(certificate: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(certificate)?;
    if !metadata.is_file() || metadata.len() > CERTIFICATE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file of at most 1 MiB"));
    }
    fs::read(certificate)
}

fn allowed(server: &Server) -> Allowed {
    let (hosts, origins) = (server.allowed_hosts.0.clone(), server.allowed_origins.0.clone());
    Allowed { hosts, origins }
}

fn failure(error: BindError) -> Failure {
    match error {
        BindError::InUse { address } => {
            let address = address.to_string();
            Failure::AddressInUse { address, flag: "--http-port" }
        }
        other => Failure::internal("open the port of HTTP")(other),
    }
}

//! What the daemon listens with: one file for each transport, behind its cargo feature.
//!
//! To add one: its file with a function like the others', its line in [`ALL`], its endpoint in
//! `endpoints.rs`.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "zmq")]
mod places;
#[cfg(feature = "zmq")]
mod publish;
#[cfg(any(feature = "http", feature = "zmq", feature = "metrics"))]
mod taken;
#[cfg(feature = "unix")]
mod unix;
#[cfg(feature = "http")]
mod ws;
#[cfg(feature = "zmq")]
mod zmq;

#[cfg(any(feature = "http", feature = "metrics"))]
use std::io;
#[cfg(any(feature = "http", feature = "metrics"))]
use std::net::SocketAddr;
#[cfg(any(feature = "http", feature = "zmq", feature = "metrics"))]
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use descartes_rpc::auth::Authenticator;
#[cfg(any(feature = "http", feature = "unix", feature = "zmq"))]
use descartes_rpc::connection::ConnectionLimits;
use descartes_rpc::meter::Meter;
use descartes_rpc::service::Rpc;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};
use crate::daemon::{Failure, Given};
use crate::directories::Directories;
use crate::endpoints::Endpoints;

/// What every transport is opened with.
pub(crate) struct Ground<'a> {
    /// What was configured.
    pub(crate) config: &'a Config,
    /// Where files belong.
    #[cfg_attr(
        not(any(feature = "unix", feature = "zmq")),
        expect(dead_code, reason = "only sockets are files")
    )]
    pub(crate) directories: &'a Directories,
    /// One permit is one connection, of whatever transport.
    #[cfg_attr(
        not(any(feature = "http", feature = "unix", feature = "zmq")),
        expect(dead_code, reason = "the page of numbers counts its readers itself")
    )]
    pub(crate) connections: Arc<Semaphore>,
    /// What callers are known by who have credentials.
    #[cfg_attr(
        not(any(feature = "http", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "the socket knows its callers")
    )]
    pub(crate) auth: Authenticator,
    /// Whether a loopback peer of the same user is the owner.
    #[cfg_attr(
        not(any(feature = "http", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "only TCP has a loopback")
    )]
    pub(crate) trust_loopback: bool,
    /// Where numbers are read.
    #[cfg(feature = "metrics")]
    pub(crate) scrape: crate::metrics::Scrape,
    /// Where it is counted who comes and who is refused.
    #[cfg_attr(
        not(any(feature = "http", feature = "unix", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "nobody comes")
    )]
    pub(crate) meter: Meter,
    /// How long calls may go on once the daemon stops.
    #[cfg_attr(
        not(any(feature = "http", feature = "unix", feature = "zmq")),
        expect(dead_code, reason = "the page of numbers is no connection to be drained")
    )]
    pub(crate) drain: Duration,
    /// Cancelled when nobody is accepted any more.
    pub(crate) closing: CancellationToken,
    /// Sockets that are served in place of those that are configured.
    pub(crate) given: &'a Given,
}

impl Ground<'_> {
    /// The bounds of one connection, of whatever transport.
    #[cfg(any(feature = "http", feature = "unix", feature = "zmq"))]
    pub(crate) fn connection_limits(&self) -> ConnectionLimits {
        let (given, mut limits) = (&self.config.limits, ConnectionLimits::default());
        limits.calls = size(given.calls_per_connection);
        limits.waits = size(given.waits_per_connection);
        limits.subscriptions = size(given.subscriptions_per_connection);
        limits
    }

    /// The TCP sockets that were given to `name`, if they are safe to be served.
    #[cfg(any(feature = "http", feature = "zmq", feature = "metrics"))]
    pub(crate) fn given(&self, name: &str) -> Result<Vec<Arc<TcpListener>>, Failure> {
        let given = self.given.tcp(name);
        for listener in &given {
            let address = listener.local_addr().map_err(Failure::internal("use a given socket"))?;
            let is_meant = name == "metrics" && self.config.server.metrics_public;
            if !self.config.auth.guards(address.ip()) && !is_meant {
                return Err(Failure::Unsafe {
                    address: format!("{address}, the given socket `{name}`"),
                    why: "anything beyond loopback needs authentication ([auth] enabled = true)"
                        .to_owned(),
                });
            }
        }
        Ok(given)
    }

    /// Where `name` is served: at each socket that was given to it, or else where it is configured.
    #[cfg(any(feature = "http", feature = "metrics"))]
    pub(crate) fn places(
        &self,
        name: &str,
        configured: Option<SocketAddr>,
    ) -> Result<Vec<Place>, Failure> {
        let given = self.given(name)?;
        if given.is_empty() {
            return Ok(configured.map(|address| (address, None)).into_iter().collect());
        }
        let place = |listener: Arc<TcpListener>| Ok((listener.local_addr()?, Some(listener)));
        let places: io::Result<_> = given.into_iter().map(place).collect();
        places.map_err(Failure::internal("use a given socket"))
    }

    /// Connections of one address that is not loopback.
    #[cfg(any(feature = "http", feature = "zmq"))]
    pub(crate) fn per_address(&self) -> usize {
        size(self.config.server.max_connections_per_address)
    }

    /// Connections that have not yet shown what they are.
    #[cfg(any(feature = "http", feature = "zmq"))]
    pub(crate) fn newcomers(&self) -> usize {
        size(self.config.limits.newcomers)
    }
}

/// A number of the configuration as one of this machine.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An address to listen at, and the socket that listens there already.
#[cfg(any(feature = "http", feature = "metrics"))]
pub(crate) type Place = (SocketAddr, Option<Arc<TcpListener>>);

/// A place that is listened at and where nobody is served yet.
pub(crate) struct Listener {
    /// The transport's name.
    pub(crate) name: &'static str,
    /// Where it listens; clients are told the first.
    pub(crate) addresses: Vec<String>,
    /// Writes where it listens into `endpoints.json`.
    pub(crate) publish: fn(&mut Endpoints, address: String),
    /// Takes over what of another configuration it can while it serves.
    pub(crate) change: Change,
    /// Serves until the token is cancelled, then drains.
    pub(crate) serve: Box<dyn FnOnce(Rpc, CancellationToken) -> BoxFuture<'static, ()> + Send>,
}

/// Prepares what of a configuration a transport can take over while it serves. Nothing has changed
/// when that fails, or as long as nobody asks for it.
pub(crate) type Change = Box<dyn Fn(&Config) -> Result<Prepared, ConfigError> + Send + Sync>;

/// What a transport is about to take over.
pub(crate) struct Prepared {
    /// Keys whose files say something else than before, though they are the same.
    pub(crate) anew: Vec<&'static str>,
    /// Takes it over.
    pub(crate) take_over: Box<dyn FnOnce() + Send>,
}

/// The change of a transport of which nothing can change while it serves.
pub(crate) fn nothing() -> Change {
    Box::new(|_| Ok(Prepared { anew: Vec::new(), take_over: Box::new(|| {}) }))
}

/// Reads the files that transports are configured with, as [`open`] does.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    #[cfg(feature = "http")]
    http::checked(config)?;
    #[cfg(not(feature = "http"))]
    let _ = config;
    Ok(())
}

/// What came of opening a transport.
pub(crate) enum Door {
    /// It listens.
    Open(Listener),
    /// Somebody else listens at its usual place, which nobody has insisted on.
    #[cfg_attr(
        not(any(feature = "http", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "only ports may be taken")
    )]
    Taken {
        /// The transport's name.
        name: &'static str,
        /// What is taken.
        why: String,
    },
}

/// Opens a transport; no door when it is turned off.
type Open = for<'a> fn(&'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>>;

/// The transports of this build.
const ALL: &[Open] = &[
    #[cfg(feature = "http")]
    http::open,
    #[cfg(feature = "http")]
    ws::open,
    #[cfg(feature = "unix")]
    unix::open,
    #[cfg(feature = "zmq")]
    zmq::open,
    #[cfg(feature = "zmq")]
    publish::open,
    #[cfg(feature = "metrics")]
    metrics::open,
];

/// Opens all transports that are not turned off, or none.
pub(crate) async fn open(ground: &Ground<'_>) -> Result<Vec<Door>, Failure> {
    let mut doors = Vec::new();
    for open in ALL {
        doors.extend(open(ground).await?);
    }
    ground.given.used_up()?;
    Ok(doors)
}

#[cfg(all(test, feature = "http", feature = "unix", feature = "zmq", feature = "metrics"))]
mod tests;

//! HTTP.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use descartes_transport_http::{Allowed, BindError, HttpConfig, HttpTransport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Change, Door, Ground, Listener};
use crate::config::Server;
use crate::daemon::Failure;

/// Opens the port.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let given = ground.given("http")?;
        let Some(address) = place(given.as_deref(), ground.config.server.http()) else {
            return Ok(Vec::new());
        };
        let mut config = config(ground, address);
        config.given = given;
        let change = change(&config);
        let transport = HttpTransport::bind(config).await.map_err(failure)?;
        Ok(vec![Door::Open(Listener {
            name: "http",
            addresses: vec![format!("http://{}", transport.local_addr())],
            publish: |endpoints, address| endpoints.http = Some(address),
            change,
            serve: Box::new(|rpc, stop| {
                async move { transport.serve(rpc, stop.cancelled_owned()).await }.boxed()
            }),
        })])
    }
    .boxed()
}

/// Where a given socket listens, or else where one is configured to.
pub(super) fn place(
    given: Option<&TcpListener>,
    configured: Option<SocketAddr>,
) -> Option<SocketAddr> {
    given.and_then(|listener| listener.local_addr().ok()).or(configured)
}

/// What every port of this kind is served with.
pub(super) fn config(ground: &Ground<'_>, address: SocketAddr) -> HttpConfig {
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
    config.trust_loopback = ground.trust_loopback;
    config.connections = Arc::clone(&ground.connections);
    config.closing = ground.closing.clone();
    config
}

/// What of a port of this kind can change while it is served.
pub(super) fn change(config: &HttpConfig) -> Change {
    let there = config.options.allowed.clone();
    Box::new(move |config| there.store(allowed(&config.server)))
}

fn allowed(server: &Server) -> Allowed {
    let (hosts, origins) = (server.allowed_hosts.clone(), server.allowed_origins.0.clone());
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

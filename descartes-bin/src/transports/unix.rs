//! The Unix socket.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use descartes_transport_unix::{BindError, UnixConfig, UnixTransport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Door, Ground, Listener};
use crate::daemon::Failure;

/// Takes the socket, or serves the given ones.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let mut given: Vec<_> = ground.given.unix("unix").into_iter().map(Some).collect();
        if given.is_empty() {
            given.push(None);
        }
        given.into_iter().map(|given| door(ground, given)).collect()
    }
    .boxed()
}

fn door(ground: &Ground<'_>, given: Option<Arc<UnixListener>>) -> Result<Door, Failure> {
    let mut config = config(ground);
    config.given = given;
    let transport = UnixTransport::bind(config).map_err(failure)?;
    Ok(Door::Open(Listener {
        name: "unix",
        addresses: vec![transport.path().display().to_string()],
        publish: |endpoints, address| endpoints.unix = Some(PathBuf::from(address)),
        change: super::nothing(),
        serve: Box::new(|rpc, stop| {
            async move {
                if let Err(error) = transport.serve(rpc, stop.cancelled_owned()).await {
                    tracing::error!(%error, "the unix socket cannot be served");
                }
            }
            .boxed()
        }),
    }))
}

/// What the socket is served with.
pub(super) fn config(ground: &Ground<'_>) -> UnixConfig {
    let server = &ground.config.server;
    let path = server.unix_socket.clone().unwrap_or_else(|| ground.directories.socket());
    let mut config = UnixConfig::new(path);
    config.connections = Arc::clone(&ground.connections);
    config.drain = ground.drain;
    config.closing = ground.closing.clone();
    config.meter = ground.meter.clone();
    config.logins = true;
    config.limits = ground.connection_limits();
    config.group = server.unix_socket_group.as_ref().map(|group| group.id);
    config
}

fn failure(error: BindError) -> Failure {
    match error {
        BindError::InUse { path } => {
            Failure::AddressInUse { address: path.display().to_string(), flag: "--unix-socket" }
        }
        BindError::UnsafeDirectory { directory } => Failure::Unsafe {
            address: directory.display().to_string(),
            why: "others may write to that directory".to_owned(),
        },
        other => Failure::internal("take the unix socket")(other),
    }
}

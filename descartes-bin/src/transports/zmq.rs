//! ZeroMQ: by TCP, and in the runtime directory.

use std::sync::Arc;

use descartes_transport_zmq::{ZmqConfig, ZmqTransport};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::places::Places;
use super::taken::UsualPort;
use super::{Door, Ground, Listener, places};
use crate::daemon::Failure;

const PORT: UsualPort = UsualPort { name: "zmq", key: "zmq_port", flag: "--zmq-port" };

/// Takes the port and the socket.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let given = ground.given(PORT.name)?;
        let (tcp, ipc) = (ground.config.server.zmq(), ground.directories.zmq_socket());
        let mut doors = Vec::new();
        for places in Places::of(tcp, given, ipc) {
            let bind = |places| ZmqTransport::bind(config(ground, places));
            let (taken, transport) = places.bind(ground, &PORT, bind).await?;
            doors.extend(taken);
            if let Some(transport) = transport {
                doors.push(Door::Open(Listener {
                    name: PORT.name,
                    addresses: places::urls(transport.local_addr(), transport.ipc_path()),
                    publish: |endpoints, address| endpoints.zmq = Some(address),
                    change: super::nothing(),
                    serve: Box::new(|rpc, stop| {
                        async move {
                            if let Err(error) = transport.serve(rpc, stop.cancelled_owned()).await {
                                tracing::error!(%error, "ZeroMQ cannot be served");
                            }
                        }
                        .boxed()
                    }),
                }));
            }
        }
        Ok(doors)
    }
    .boxed()
}

/// What it is served with.
pub(super) fn config(ground: &Ground<'_>, places: Places) -> ZmqConfig {
    let mut config = ZmqConfig::new();
    config.tcp = places.tcp;
    config.given = places.given;
    config.ipc = places.ipc;
    config.trust_loopback = ground.trust_loopback;
    config.auth = Some(ground.auth.clone());
    config.connections = Arc::clone(&ground.connections);
    config.drain = ground.drain;
    config.closing = ground.closing.clone();
    config.meter = ground.meter.clone();
    config.connections_per_address = ground.per_address();
    config.newcomers = ground.newcomers();
    config.limits = ground.connection_limits();
    config
}

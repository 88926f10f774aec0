//! WebSockets on a port of their own.

use descartes_transport_http::{BindError, HttpTransport, Routes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Door, Ground, Listener, http};
use crate::daemon::Failure;

const NAME: &str = "ws";

/// Opens the port. A usual one that is taken is done without: WebSockets are served on the port of
/// HTTP as well.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Option<Door>, Failure>> {
    async move {
        let Some(address) = ground.config.server.ws() else { return Ok(None) };
        let mut config = http::config(ground, address);
        config.options.routes = Routes::WebSocket;
        let transport = match HttpTransport::bind(config).await {
            Ok(transport) => transport,
            Err(error) => return taken(error, ground.config.ws_port_chosen).map(Some),
        };
        Ok(Some(Door::Open(Listener {
            name: NAME,
            address: format!("ws://{}", transport.local_addr()),
            publish: |endpoints, address| endpoints.ws = Some(address),
            serve: Box::new(|rpc, stop| {
                async move { transport.serve(rpc, stop.cancelled_owned()).await }.boxed()
            }),
        })))
    }
    .boxed()
}

fn taken(error: BindError, chosen: bool) -> Result<Door, Failure> {
    match error {
        BindError::InUse { .. } if !chosen => {
            Ok(Door::Taken { name: NAME, why: error.to_string() })
        }
        BindError::InUse { address } => {
            let address = address.to_string();
            Err(Failure::AddressInUse { address, flag: "--ws-port" })
        }
        other => Err(Failure::internal("open the port of WebSockets")(other)),
    }
}

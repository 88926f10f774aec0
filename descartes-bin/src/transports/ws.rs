//! WebSockets on a port of their own.

use descartes_transport_http::{BindError, HttpTransport, Routes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::taken::UsualPort;
use super::{Door, Ground, Listener, http};
use crate::daemon::Failure;

const PORT: UsualPort = UsualPort { name: "ws", key: "ws_port", flag: "--ws-port" };

/// Opens the port. A usual one that is taken is done without: WebSockets are served on the port of
/// HTTP as well.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let mut doors = Vec::new();
        for (address, given) in ground.places(PORT.name, ground.config.server.ws())? {
            let mut config = http::config(ground, address)?;
            config.given = given;
            config.options.routes = Routes::WebSocket;
            let (scheme, change) = (http::scheme("ws", &config), http::change(&config));
            let transport = match HttpTransport::bind(config).await {
                Ok(transport) => transport,
                Err(BindError::InUse { address }) => {
                    doors.push(PORT.taken(ground, &address.to_string())?);
                    continue;
                }
                Err(error) => return Err(Failure::internal("open the port of WebSockets")(error)),
            };
            doors.push(Door::Open(Listener {
                name: PORT.name,
                addresses: vec![format!("{scheme}://{}", transport.local_addr())],
                publish: |endpoints, address| endpoints.ws = Some(address),
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

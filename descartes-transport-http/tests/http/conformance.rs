//! The suite that every transport passes, by each door of the server.

use std::{net::SocketAddr, sync::Arc};

use descartes_rpc::testing::{
    Served,
    conformance::{self, Link},
    fake_service,
};
use descartes_transport_http::{HttpClient, HttpConfig, HttpTransport, Routes, WsClient};

#[tokio::test]
async fn the_transport_conforms() {
    conforms(Routes::All, |address| {
        Link::Exchange(Arc::new(HttpClient::new(&format!("http://{address}")).unwrap()))
    })
    .await;
}

#[tokio::test]
async fn the_transport_conforms_over_websocket() {
    conforms(Routes::All, |address| {
        Link::Duplex(Arc::new(WsClient::new(&format!("ws://{address}/ws")).unwrap()))
    })
    .await;
}

#[tokio::test]
async fn a_port_of_websockets_alone_conforms() {
    conforms(Routes::WebSocket, |address| {
        Link::Duplex(Arc::new(WsClient::new(&format!("ws://{address}")).unwrap()))
    })
    .await;
}

async fn conforms(routes: Routes, link: impl FnOnce(SocketAddr) -> Link) {
    let mut config = HttpConfig::new("127.0.0.1:0".parse().unwrap());
    config.options.routes = routes;
    let rpc = fake_service(config.own_uid).await;
    let transport = HttpTransport::bind(config).await.unwrap();
    let link = link(transport.local_addr());
    let served = Served::start(link, |stopped| transport.serve(rpc, stopped));
    conformance::run(&served).await.assert_passed();
    served.stop().await;
}

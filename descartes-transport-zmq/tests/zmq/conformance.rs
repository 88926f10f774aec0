//! The suite that every transport passes: over TCP and a Unix socket, in JSON and in MessagePack.

use std::sync::Arc;

use descartes_rpc::testing::{
    Served,
    conformance::{self, Link, Report},
    fake_service,
};
use descartes_transport_zmq::{ZmqConfig, ZmqConnect, ZmqTransport};

use crate::{
    dealer::{Dealer, Place},
    server::patient,
};

/// A server, and what its clients have to know of it.
async fn served(
    configure: impl FnOnce(&mut ZmqConfig),
    link: impl FnOnce(Place) -> Link,
) -> Served {
    let mut config = ZmqConfig::new();
    config.zmtp = patient();
    configure(&mut config);
    let rpc = fake_service(config.own_uid).await;
    let transport = ZmqTransport::bind(config).await.unwrap();
    let place = match (transport.local_addr(), transport.ipc_path()) {
        (Some(address), _) => Place::Tcp(address),
        (None, path) => Place::Ipc(path.unwrap().to_owned()),
    };
    Served::start(link(place), |stopped| async move {
        transport.serve(rpc, stopped).await.unwrap();
    })
}

fn assert_passed(report: &Report, skipped: usize) {
    report.assert_passed();
    // The one that is for answers of their own, the one that needs a service that counts, and in
    // MessagePack the one of spelling.
    assert_eq!(report.skipped().count(), skipped, "{report}");
}

async fn conforms_in_json(configure: impl FnOnce(&mut ZmqConfig)) {
    let link = |place: Place| {
        let connect = ZmqConnect::new(&place.to_string()).unwrap();
        Link::Duplex(Arc::new(connect))
    };
    let served = served(configure, link).await;
    assert_passed(&conformance::run(&served).await, 2);
    served.stop().await;
}

async fn conforms_in_messagepack(configure: impl FnOnce(&mut ZmqConfig)) {
    let mut packed = Arc::default();
    let link = |place| {
        let dealer = Dealer::new(place);
        packed = dealer.packed();
        Link::Duplex(Arc::new(dealer))
    };
    let served = served(configure, link).await.translated();
    assert_passed(&conformance::run(&served).await, 3);
    let packed = packed.load(std::sync::atomic::Ordering::Relaxed);
    assert!(packed > 300, "only {packed} messages went as MessagePack");
    served.stop().await;
}

fn tcp(config: &mut ZmqConfig) {
    config.tcp = Some("127.0.0.1:0".parse().unwrap());
}

#[tokio::test]
async fn the_transport_conforms_over_tcp_in_json() {
    conforms_in_json(tcp).await;
}

#[tokio::test]
async fn the_transport_conforms_over_tcp_in_messagepack() {
    conforms_in_messagepack(tcp).await;
}

#[tokio::test]
async fn the_transport_conforms_over_ipc_in_json() {
    let home = tempfile::tempdir().unwrap();
    conforms_in_json(|config| config.ipc = Some(home.path().join("zmq.sock"))).await;
}

#[tokio::test]
async fn the_transport_conforms_over_ipc_in_messagepack() {
    let home = tempfile::tempdir().unwrap();
    conforms_in_messagepack(|config| config.ipc = Some(home.path().join("zmq.sock"))).await;
}

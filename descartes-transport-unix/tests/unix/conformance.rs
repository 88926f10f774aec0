//! The suite that every transport passes.

use std::sync::Arc;

use descartes_rpc::testing::{
    Served,
    conformance::{self, Link},
    fake_service,
};
use descartes_transport_unix::{UnixClient, UnixConfig, UnixTransport};

#[tokio::test]
async fn the_transport_conforms() {
    let home = tempfile::tempdir().unwrap();
    let config = UnixConfig::new(home.path().join("descartes.sock"));
    let rpc = fake_service(config.own_uid).await;
    let transport = UnixTransport::bind(config).unwrap();
    let link = Link::Duplex(Arc::new(UnixClient::new(transport.path())));
    let served = Served::start(link, |stopped| async move {
        transport.serve(rpc, stopped).await.unwrap();
    });
    let report = conformance::run(&served).await;
    report.assert_passed();
    // The one that is for answers of their own, and the one that needs a service that counts.
    assert_eq!(report.skipped().count(), 2, "{report}");
    served.stop().await;
}

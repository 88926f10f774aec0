//! The suite that every transport passes.

use std::sync::Arc;

use descartes_rpc::testing::{
    Served,
    conformance::{self, Link},
    fake_service,
};
use descartes_transport_http::{HttpClient, HttpConfig, HttpTransport};

#[tokio::test]
async fn the_transport_conforms() {
    let config = HttpConfig::new("127.0.0.1:0".parse().unwrap());
    let rpc = fake_service(config.own_uid).await;
    let transport = HttpTransport::bind(config).await.unwrap();
    let client = HttpClient::new(&format!("http://{}", transport.local_addr())).unwrap();
    let link = Link::Exchange(Arc::new(client));
    let served = Served::start(link, |stopped| transport.serve(rpc, stopped));
    conformance::run(&served).await.assert_passed();
    served.stop().await;
}

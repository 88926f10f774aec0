//! One suite, every transport: here over HTTP, WebSocket, Unix and ZeroMQ to the real daemon, with its real agents.
//! In memory it runs beside the suite itself.

use std::sync::Arc;

use descartes_rpc::testing::conformance::{Harness, Link, run};
use descartes_transport_http::{HttpClient, WsClient};
use descartes_transport_unix::UnixClient;
use descartes_transport_zmq::{ZmqConnect, client::Encoding};
use rustix::process::Signal;

use crate::rig::daemon::{Daemon, Setup};

/// The daemon, reached in one way.
struct UnderTest {
    daemon: Daemon,
    link: Link,
    keeps_spelling: bool,
}

impl UnderTest {
    const fn new(daemon: Daemon, link: Link) -> Self {
        Self { daemon, link, keeps_spelling: true }
    }
}

#[async_trait::async_trait]
impl Harness for UnderTest {
    fn link(&self) -> Link {
        self.link.clone()
    }

    fn keeps_spelling(&self) -> bool {
        self.keeps_spelling
    }

    async fn shut_down(&self) -> bool {
        self.daemon.signal(Signal::TERM);
        true
    }
}

#[tokio::test]
async fn the_daemon_conforms_over_http() {
    let daemon = Daemon::start();
    let url = format!("http://{}", daemon.http_address());
    let exchange = HttpClient::new(&url).expect("the daemon's address is a URL");
    let link = Link::Exchange(Arc::new(exchange));
    run(&UnderTest::new(daemon, link)).await.assert_passed();
}

#[tokio::test]
async fn the_daemon_conforms_over_http_as_websocket() {
    let daemon = Daemon::start();
    conforms_as_websocket(&format!("ws://{}/ws", daemon.http_address()), daemon).await;
}

#[tokio::test]
async fn the_daemon_conforms_over_http_on_the_port_of_websockets() {
    let daemon = Setup::new().flag("--ws-port=0").start();
    let url = daemon.endpoints["ws"].as_str().expect("the port is told").to_owned();
    conforms_as_websocket(&url, daemon).await;
}

async fn conforms_as_websocket(url: &str, daemon: Daemon) {
    let connect = WsClient::new(url).expect("the daemon's address is a URL");
    let link = Link::Duplex(Arc::new(connect));
    run(&UnderTest::new(daemon, link)).await.assert_passed();
}

#[tokio::test]
async fn the_daemon_conforms_over_unix() {
    let daemon = Daemon::start();
    let link = Link::Duplex(Arc::new(UnixClient::new(daemon.socket_path())));
    run(&UnderTest::new(daemon, link)).await.assert_passed();
}

#[tokio::test]
async fn the_daemon_conforms_over_zmq() {
    conforms_as_zmq(by_tcp(), Encoding::Json).await;
}

#[tokio::test]
async fn the_daemon_conforms_over_zmq_in_messagepack() {
    conforms_as_zmq(by_tcp(), Encoding::MessagePack).await;
}

#[tokio::test]
async fn the_daemon_conforms_over_zmq_in_the_runtime_directory() {
    conforms_as_zmq(by_ipc(), Encoding::Json).await;
}

#[tokio::test]
async fn the_daemon_conforms_over_zmq_in_the_runtime_directory_in_messagepack() {
    conforms_as_zmq(by_ipc(), Encoding::MessagePack).await;
}

fn by_tcp() -> Daemon {
    let daemon = Setup::new().flag("--zmq-port=0").start();
    assert!(daemon.zmq().starts_with("tcp://"), "{}", daemon.zmq());
    daemon
}

fn by_ipc() -> Daemon {
    let daemon = Daemon::start();
    assert!(daemon.zmq().starts_with("ipc://"), "{}", daemon.zmq());
    daemon
}

async fn conforms_as_zmq(daemon: Daemon, encoding: Encoding) {
    let connect = ZmqConnect::new(daemon.zmq()).expect("the daemon's address is one");
    let link = Link::Duplex(Arc::new(connect.encoding(encoding)));
    let mut under_test = UnderTest::new(daemon, link);
    under_test.keeps_spelling = encoding == Encoding::Json;
    run(&under_test).await.assert_passed();
}

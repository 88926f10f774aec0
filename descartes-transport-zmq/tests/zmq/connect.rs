//! The typed client over ZeroMQ.

use std::sync::atomic::Ordering;

use descartes_rpc::client::{Client, ClientError, Update};
use descartes_rpc::wire::event::SubscribeParams;
use descartes_rpc::wire::system::NoParams;
use descartes_transport_zmq::client::Encoding;
use descartes_transport_zmq::zmtp::{Received, SocketType, ZmtpLimits, ZmtpSocket};
use descartes_transport_zmq::{ZmqConfig, ZmqConnect, ZmqTransport};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::daemon::Daemon;

fn client(daemon: &Daemon) -> Client {
    Client::connect(ZmqConnect::new(&daemon.endpoint()).unwrap())
}

fn why(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { source, .. } => source.to_string(),
        other => panic!("it was sent: {other}"),
    }
}

#[tokio::test]
async fn methods_are_called_and_a_subscription_goes_on_where_it_was() {
    let mut daemon = Daemon::there().await;
    let client = client(&daemon);
    let fake = serde_json::from_value(descartes_rpc::testing::fake_agent()).unwrap();
    let agent = client.agent_spawn(fake).await.unwrap();
    let params = SubscribeParams {
        topics: vec![format!("agent/{}/status", agent.agent_id)],
        after: Some(agent.cursor),
        ..SubscribeParams::default()
    };
    let mut subscription = client.subscribe(params).await.unwrap();
    loop {
        if let Update::Synced { .. } = subscription.next().await.unwrap().unwrap() {
            break;
        }
    }
    daemon.go_away().await;
    let owner = Client::in_memory(daemon.rpc.clone());
    let kill = serde_json::from_value(serde_json::json!({"agent_id": agent.agent_id})).unwrap();
    owner.agent_kill(kill).await.unwrap();
    daemon.begin();
    let exited = async {
        loop {
            if let Update::Event(event) = subscription.next().await.unwrap().unwrap()
                && event.kind() == "agent.exited"
            {
                break;
            }
        }
    };
    exited.await;
    assert!(daemon.moods.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn where_nobody_listens_a_call_fails_at_once_and_was_never_sent() {
    let daemon = Daemon::away().await;
    let error = client(&daemon).system_health(NoParams {}).await.unwrap_err();
    why(&error);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://localhost:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let client = Client::connect(ZmqConnect::new(&address).unwrap());
    why(&client.system_health(NoParams {}).await.unwrap_err());
}

#[tokio::test]
async fn what_is_no_daemon_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let client = Client::connect(ZmqConnect::new(&address).unwrap());
    let call = client.system_health(NoParams {});
    let text = async {
        let (mut io, _) = listener.accept().await.unwrap();
        io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        io
    };
    let (answer, _io) = tokio::join!(call, text);
    let why_not = why(&answer.unwrap_err());
    assert!(why_not.contains("does not speak ZMTP"), "{why_not}");

    let publisher = async {
        let (io, _) = listener.accept().await.unwrap();
        drop(ZmtpSocket::accept(io, SocketType::XPub, ZmtpLimits::default()).await);
    };
    let (answer, ()) = tokio::join!(client.system_health(NoParams {}), publisher);
    let why_not = why(&answer.unwrap_err());
    assert!(why_not.contains("XPUB") || why_not.contains("refused"), "{why_not}");

    let dealer = async {
        let (io, _) = listener.accept().await.unwrap();
        ZmtpSocket::accept(io, SocketType::Dealer, ZmtpLimits::default()).await.unwrap()
    };
    let (answer, _dealer) = tokio::join!(client.system_health(NoParams {}), dealer);
    let why_not = why(&answer.unwrap_err());
    assert!(why_not.contains("a DEALER listens there"), "{why_not}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_left_within_the_time_that_was_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let client = Client::connect(ZmqConnect::new(&address).unwrap());
    let began = tokio::time::Instant::now();
    let error = client.system_health(NoParams {}).await.unwrap_err();
    assert!(why(&error).contains("10s"), "{error}");
    assert!(began.elapsed().as_secs() <= 11);
}

#[tokio::test]
async fn in_messagepack_a_client_is_answered_in_messagepack() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ZmqConfig::new();
    config.ipc = Some(dir.path().join("zmq.sock"));
    let rpc = descartes_rpc::testing::fake_service(config.own_uid).await;
    let transport = ZmqTransport::bind(config).await.unwrap();
    let address = format!("ipc://{}", transport.ipc_path().unwrap().display());
    let serving = tokio::spawn(transport.serve(rpc, std::future::pending()));
    let connect = ZmqConnect::new(&address).unwrap().encoding(Encoding::MessagePack);
    let client = Client::connect(connect);
    let fake = serde_json::from_value(descartes_rpc::testing::fake_agent()).unwrap();
    let agent = client.agent_spawn(fake).await.unwrap();
    let params = SubscribeParams {
        topics: vec![format!("agent/{}/status", agent.agent_id)],
        after: Some(agent.cursor),
        ..SubscribeParams::default()
    };
    let mut subscription = client.subscribe(params).await.unwrap();
    let first = subscription.next().await.unwrap().unwrap();
    assert!(matches!(first, Update::Event(event) if event.head().topic.contains(&agent.agent_id)));
    serving.abort();
}

#[tokio::test]
async fn the_encoding_that_was_asked_for_is_what_is_sent() {
    for (encoding, begins) in [(Encoding::Json, b'{'), (Encoding::MessagePack, 0x84)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let client = Client::connect(ZmqConnect::new(&address).unwrap().encoding(encoding));
        let asked = async {
            let (io, _) = listener.accept().await.unwrap();
            let limits = ZmtpLimits::default();
            let mut router = ZmtpSocket::accept(io, SocketType::Router, limits).await.unwrap();
            match router.next().await.unwrap().unwrap() {
                Received::Message(message) => message.into_frames(),
                other => panic!("{other:?}"),
            }
        };
        // The router leaves without an answer.
        let (answer, frames) = tokio::join!(client.system_health(NoParams {}), asked);
        answer.unwrap_err();
        assert!(frames[0].is_empty());
        // `jsonrpc`, `id`, `method` and `params`.
        assert_eq!((frames.len(), frames[1][0]), (2, begins), "{encoding:?}");
    }
}

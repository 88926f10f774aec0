//! Who is let in.

use std::{io, sync::Arc};

use descartes_rpc::{
    auth::{AuthSettings, Authenticator, Secret},
    same_user::{PeerSocket, UidLookup},
};
use descartes_transport_zmq::{
    BindError, ZmqConfig, ZmqTransport,
    zmtp::{HandshakeError, SocketType, ZmtpSocket},
};
use serde_json::json;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    fake::PATIENCE,
    node::Node,
    packed::{map, text},
    server::{Server, Talk, call, patient},
};

#[derive(Debug)]
struct Always(Option<u32>);

impl UidLookup for Always {
    fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn the_same_user_is_known_by_the_kernels_word() {
    let server = Server::start().await;
    let own = ZmqConfig::new().own_uid;
    let mut talk = server.dealer().await;
    assert_eq!(talk.ask(1, "whoami", "{}").await, json!(format!("zmq {own}")));
    server.stop().await;
}

#[tokio::test]
async fn a_stranger_is_told_so_in_answer_to_its_first_message() {
    for (lookup, trust, reason) in [
        (Always(Some(4242)), true, "other_user"),
        (Always(None), true, "unknown_user"),
        (Always(Some(0)), false, "loopback_not_trusted"),
    ] {
        let server = Server::start_with(|config| {
            config.own_uid = 4000;
            config.uid_lookup = Arc::new(lookup);
            config.trust_loopback = trust;
        })
        .await;
        let mut talk = server.connect(SocketType::Req).await;
        talk.send(&[b"", &call(1, "whoami", "{}")]).await;
        let frames = talk.frames().await.unwrap();
        assert_eq!(frames[0], "");
        let answer: serde_json::Value = serde_json::from_slice(&frames[1]).unwrap();
        assert_eq!(answer["error"]["code"], -32001, "{answer}");
        assert_eq!(
            (&answer["id"], &answer["error"]["data"]["reason"]),
            (&json!(1), &json!(reason))
        );
        assert!(talk.frames().await.is_none());

        // In each language; a probe and a notification are not answered, so the call behind is.
        let mut talk = server.dealer().await;
        talk.send(&[b""]).await;
        talk.send(&[b"{\"jsonrpc\":\"2.0\",\"method\":\"whoami\"}"]).await;
        talk.send(&[&Node::pack(&call(7, "whoami", "{}")).unwrap()]).await;
        let answer = Node::unpack(&talk.frames().await.unwrap()[0]);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32001)));

        let mut talk = server.dealer().await;
        let health = [("type", text("health_check_request")), ("request_id", text("r"))];
        talk.send(&[&map(&health)]).await;
        let answer = Node::unpack(&talk.frames().await.unwrap()[0]);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["request_id"], "r", "{answer}");
        assert_eq!(answer["error"]["code"], -32001, "{answer}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_key_lets_in_whom_the_same_user_rule_keeps_out_and_names_whom_it_does_not() {
    const KEY: &str = "a key of this test of some length";
    for same_user in [true, false] {
        let server = Server::start_with(|config| {
            let mut settings = AuthSettings::default();
            settings.api_key = Some(Secret::new(KEY));
            config.auth = Some(Authenticator::new(settings));
            config.own_uid = 4000;
            config.uid_lookup = Arc::new(Always(Some(4000 + u32::from(!same_user))));
        })
        .await;
        let shown = async |key: &str| {
            let stream = TcpStream::connect(server.address).await.unwrap();
            ZmtpSocket::connect_plain(stream, SocketType::Dealer, patient(), &Secret::new(key))
                .await
        };
        let mut known = Talk(shown(KEY).await.unwrap());
        assert_eq!(known.ask(1, "principal", "{}").await, json!("api_key"), "{same_user}");
        let Err(HandshakeError::Refused(status)) = shown("another").await else { panic!() };
        assert_eq!(status, "400");

        let mut unnamed = server.dealer().await;
        unnamed.send(&[&call(1, "principal", "{}")]).await;
        let answer = unnamed.json().await;
        let expected = if same_user { ("result", "local") } else { ("error", "other_user") };
        let said = answer["error"]["data"].get("reason").unwrap_or(&answer["result"]);
        assert!(answer.get(expected.0).is_some() && said == expected.1, "{answer}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_is_full_closes_at_once_and_serves_again() {
    let server =
        Server::start_with(|config| config.connections = Arc::new(Semaphore::new(2))).await;
    let mut first = server.dealer().await;
    let second = server.dealer().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let refused = ZmtpSocket::connect(stream, SocketType::Dealer, patient()).await;
    assert!(refused.is_err());
    assert_eq!(first.ask(1, "echo", "{}").await, json!({}));
    drop(second);
    // Its place is free when the server has seen that it left.
    let again = async {
        loop {
            let stream = TcpStream::connect(server.address).await.unwrap();
            if let Ok(socket) = ZmtpSocket::connect(stream, SocketType::Dealer, patient()).await {
                return Talk(socket);
            }
        }
    };
    let mut third = timeout(PATIENCE, again).await.unwrap();
    assert_eq!(third.ask(1, "echo", "{}").await, json!({}));
    server.stop().await;
}

#[tokio::test]
async fn a_path_is_taken_once_and_left_clean() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run/zmq.sock");
    let config = || {
        let mut config = ZmqConfig::new();
        config.ipc = Some(path.clone());
        config
    };
    let first = ZmqTransport::bind(config()).await.unwrap();
    assert_eq!(first.ipc_path(), Some(&*path));
    let second = ZmqTransport::bind(config()).await;
    assert!(matches!(second, Err(BindError::InUse { endpoint }) if endpoint.starts_with("ipc://")));
    let stream = UnixStream::connect(&path).await.unwrap();
    drop((first, stream));
    assert!(!path.exists());
    // What a server that was killed left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(ZmqTransport::bind(config()).await.unwrap());
}

#[tokio::test]
async fn a_port_is_taken_once_and_nowhere_is_refused() {
    let mut config = ZmqConfig::new();
    assert!(matches!(ZmqTransport::bind(config.clone()).await, Err(BindError::Nowhere)));
    config.tcp = Some("127.0.0.1:0".parse().unwrap());
    let first = ZmqTransport::bind(config.clone()).await.unwrap();
    config.tcp = first.local_addr();
    let second = ZmqTransport::bind(config).await;
    assert!(matches!(second, Err(BindError::InUse { endpoint }) if endpoint.starts_with("tcp://")));
}

//! The client's side against the server.

use std::io;

use bytes::Bytes;
use descartes_rpc::client::Connect;
use descartes_transport_unix::UnixClient;
use futures_util::{SinkExt, StreamExt};

use crate::server::{Server, call};

#[tokio::test]
async fn frames_go_there_and_back() {
    let server = Server::start().await;
    let mut frames = UnixClient::new(&server.path).connect().await.unwrap();
    let large = format!("[\"{}\"]", "x".repeat(900_000));
    for (id, params) in [(1, "[1]"), (2, large.as_str()), (3, "{}")] {
        let message = call(id, "echo", params);
        frames.send(Bytes::from(message.trim_end().to_owned())).await.unwrap();
        let answer = frames.next().await.unwrap().unwrap();
        assert_eq!(answer, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{params}}}"));
    }
    server.stop().await;
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn nobody_there_is_told_by_the_kind_of_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let missing = UnixClient::new(&path).connect().await.err().unwrap();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let refused = UnixClient::new(&path).connect().await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

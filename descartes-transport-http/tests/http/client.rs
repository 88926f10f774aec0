//! The client against the server.

use std::{io, time::Duration};

use bytes::Bytes;
use descartes_rpc::client::Exchange;
use descartes_transport_http::HttpClient;
use futures_util::StreamExt;

use crate::server::Server;

fn echo(id: u32) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"echo","params":[{id}]}}"#).into()
}

fn echoed(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":[{id}]}}"#)
}

fn client(server: &Server) -> HttpClient {
    HttpClient::new(&format!("http://{}", server.address)).unwrap()
}

#[tokio::test]
async fn calls_share_a_connection() {
    // A second connection at a time would be refused.
    let server = Server::start_with(|config| {
        config.connections = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    })
    .await;
    let client = client(&server);
    for id in 0..20 {
        assert_eq!(client.exchange(echo(id)).await.unwrap(), echoed(id));
    }
    server.stop().await;
}

#[tokio::test]
async fn calls_at_once_do_not_wait_for_each_other() {
    let server = Server::start().await;
    let client = client(&server);
    let held = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"held"}"#);
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.exchange(held).await }
    });
    drop(server.stage.begun.acquire().await);
    assert_eq!(client.exchange(echo(2)).await.unwrap(), echoed(2));
    server.stage.release.add_permits(1);
    let held = held.await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&held).contains("released"));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let server = Server::start_with(|config| {
        config.options.limits.idle_timeout = Duration::from_millis(20);
    })
    .await;
    let client = client(&server);
    for id in 0..5 {
        assert_eq!(client.exchange(echo(id)).await.unwrap(), echoed(id));
        // A bystander of the same age shows that the idle time is over.
        let mut bystander = server.connect().await;
        bystander.send(crate::server::get("/health")).await;
        assert_eq!(bystander.rest().await.lines().last(), Some("OK"));
    }
    server.stop().await;
}

#[tokio::test]
async fn errors_and_notifications_come_through() {
    let server = Server::start().await;
    let client = client(&server);
    let answer = client.exchange(Bytes::from_static(b"rubbish")).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("-32700"));
    let note = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"echo"}"#);
    assert!(client.exchange(note).await.unwrap().is_empty());
    let address = format!("http://{}/nothing", server.address);
    let lost = HttpClient::new(&address).unwrap().exchange(echo(1)).await.unwrap();
    assert!(String::from_utf8_lossy(&lost).contains("nothing is served here"));
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_gets_its_answer() {
    let server = Server::start().await;
    let client = client(&server);
    for bytes in [(1 << 20) + 1, 8 << 20] {
        let answer = client.exchange(Bytes::from("x".repeat(bytes))).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("-32011"), "{bytes}");
        assert_eq!(client.exchange(echo(1)).await.unwrap(), echoed(1));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_the_answer_and_what_follows_it() {
    let server = Server::start().await;
    let client = client(&server);
    let call =
        r#"{"jsonrpc":"2.0","id":5,"method":"event.subscribe","params":{"topics":["agent/a"]}}"#;
    let mut messages = client.stream(Bytes::from_static(call.as_bytes())).await.unwrap();
    let mut next = async || {
        let message = messages.next().await.unwrap().unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    };
    assert!(next().await.contains(r#""id":5"#));
    for method in ["event.gap", "event.next", "event.next", "event.next", "event.synced"] {
        assert!(next().await.contains(method), "{method}");
    }
    let stopped = tokio::spawn(server.stop());
    assert!(next().await.contains("event.ended"));
    assert!(messages.next().await.is_none());
    stopped.await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_told_from_a_lost_connection() {
    let server = Server::start().await;
    let client = client(&server);
    assert!(client.exchange(echo(1)).await.is_ok());
    server.stop().await;
    let refused = client.exchange(echo(2)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_without_an_address_is_nobody_and_no_lost_connection() {
    // A label of 64 letters is in no zone: nobody is asked for it.
    let name = format!("{}.invalid", "x".repeat(64));
    let client = HttpClient::new(&format!("http://{name}:8080")).unwrap();
    let nowhere = client.exchange(echo(1)).await.unwrap_err();
    assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    assert!(nowhere.to_string().contains(&name), "{nowhere}");
}

//! Events over HTTP.

use std::time::Duration;

use crate::{
    fake::LARGE,
    server::{Server, get, post_with},
};

/// Undoes the chunked framing of what has been read so far.
fn unchunk(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
    out
}

const HISTORY: &str = concat!(
    "id: c0\nevent: gap\ndata: {\"subscription_id\":\"s\",\"topic\":\"agent/a\",\"from_offset\":0,\"to_offset\":1,\"cursor\":\"c0\"}\n\n",
    "id: c1\ndata: {\"cursor\":\"c1\",\"data\":\"a\"}\n\n",
    "id: c2\ndata: {\"cursor\":\"c2\",\"data\":\"a\"}\n\n",
    "id: c3\ndata: {\"cursor\":\"c3\",\"data\":\"a\"}\n\n",
    "id: c3\nevent: synced\ndata: {\"subscription_id\":\"s\",\"cursor\":\"c3\"}\n\n",
);
const FAREWELL: &str = "id: c3\nevent: ended\ndata: {\"subscription_id\":\"s\",\"reason\":\"shutdown\",\"cursor\":\"c3\"}\n\n";

#[tokio::test]
async fn a_stream_is_history_then_synced_and_ends_with_the_server() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(get("/events?topic=agent/a&after=start")).await;
    let head = talk.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    assert!(head.contains("no-store"), "{head}");
    let begun = talk.until("\"cursor\":\"c3\"}\n\n\r\n").await;
    server.stop().await;
    let stream = unchunk(&(begun + &talk.rest().await));
    assert_eq!(stream, format!("retry: 1000\n\n{HISTORY}{FAREWELL}"));
}

#[tokio::test]
async fn a_stopped_server_leaves_the_token_of_its_application_alone() {
    let token = tokio_util::sync::CancellationToken::new();
    let given = token.clone();
    let server = Server::start_with(|config| config.options.shutdown = given).await;
    let mut talk = server.connect().await;
    talk.send(get("/events?topic=agent/a")).await;
    talk.until("event: synced").await;
    server.stop().await;
    assert!(talk.rest().await.contains("event: ended"));
    assert!(!token.is_cancelled());
}

#[tokio::test]
async fn the_last_event_id_wins_over_the_address() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    let request = get("/events?topic=agent/a&after=start&tail=9");
    talk.send(request.replace("Host", "Last-Event-ID: c2\r\nHost")).await;
    let stream = talk.until("event: synced").await;
    assert!(stream.contains("id: c3") && !stream.contains("id: c2"), "{stream}");
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_store_ends_the_visits_of_an_event_source() {
    let server = Server::start().await;
    let answer = server.ask(get("/events?topic=agent/a&after=foreign")).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let answer = server.ask(get("/events")).await;
    assert_eq!((answer.status, answer.code()), (400, Some(-32602)));
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_accepts_a_stream_gets_its_response_first() {
    let server = Server::start().await;
    let accept = "Accept: application/json, text/event-stream\r\n";
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"event.subscribe","params":{"topics":["agent/ended"]}}"#;
    let mut talk = server.connect().await;
    talk.send(post_with(&format!("{accept}Connection: close\r\n"), call)).await;
    talk.until("\r\n\r\n").await;
    assert_eq!(
        unchunk(&talk.rest().await),
        concat!(
            "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"subscription_id\":\"s\",\"cursor\":\"c0\"}}\n\n",
            "id: c1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"event.next\",\"params\":{\"subscription_id\":\"s\",\"event\":{\"cursor\":\"c1\",\"data\":\"a\"}}}\n\n",
        )
    );
    let echo = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    let mut talk = server.connect().await;
    talk.send(post_with(&format!("{accept}Connection: close\r\n"), echo)).await;
    talk.until("\r\n\r\n").await;
    let answer = unchunk(&talk.rest().await);
    assert_eq!(answer, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\n\n");
    let without = server.ask(post_with("", call)).await;
    assert_eq!(without.code(), Some(-32602), "no stream can follow a plain call");
    server.stop().await;
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let server = Server::start_with(|config| {
        config.options.limits.heartbeat = Duration::from_millis(20);
    })
    .await;
    let mut talk = server.connect().await;
    talk.send(get("/events?topic=agent/a&after=c2")).await;
    let stream = talk.until(":\n\n\r\n3\r\n:\n\n").await;
    assert!(stream.contains("event: synced"), "{stream}");
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_never_reads_does_not_keep_the_server() {
    let server = Server::start_with(|config| {
        config.options.limits.drain = Duration::from_millis(50);
        config.options.limits.stall_timeout = Duration::from_millis(50);
    })
    .await;
    let mut talk = server.connect().await;
    talk.send(get("/events?topic=agent/large")).await;
    server.stop().await;
    let read = talk.rest().await.len();
    assert!(read < usize::try_from(LARGE.0).unwrap() * LARGE.1);
}

#[tokio::test]
async fn a_fast_reader_gets_every_event_of_a_large_history() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(get("/events?topic=agent/large")).await;
    let last = format!("id: c{}\n", LARGE.0 - 1);
    let mut read = Vec::new();
    loop {
        use tokio::io::AsyncReadExt as _;
        assert_ne!(talk.0.read_buf(&mut read).await.unwrap(), 0);
        let tail = &read[read.len().saturating_sub(2 * LARGE.1)..];
        if tail.windows(last.len()).any(|window| window == last.as_bytes()) {
            break;
        }
    }
    server.stop().await;
}

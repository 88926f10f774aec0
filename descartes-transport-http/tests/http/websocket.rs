//! WebSocket in bytes: the handshake, frames, bounds, and how a connection ends.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    fake::PATIENCE,
    server::{Server, Talk, get, post},
};

const ECHO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const LAST: u8 = 0x80;

/// `GET /ws` with these fields beside the usual ones.
fn upgrade(fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}{fields}\r\n"
    )
}

/// A connection after the handshake.
async fn websocket(server: &Server) -> Talk {
    let mut talk = server.connect().await;
    talk.send(upgrade("")).await;
    let answer = talk.answer().await;
    assert_eq!(answer.status, 101, "{}", answer.head);
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    talk
}

/// A frame as a client sends it, masked with zeros: the payload is read as it stands.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn text(message: &str) -> Vec<u8> {
    frame(LAST | TEXT, message.as_bytes())
}

/// The next frame of the server, which is never masked: its opcode and its payload.
async fn heard(talk: &mut Talk) -> (u8, Vec<u8>) {
    let read = async {
        let first = talk.0.read_u8().await.unwrap();
        assert_eq!(first & 0xf0, LAST, "whole frames without reserved bits");
        let length = match talk.0.read_u8().await.unwrap() {
            126 => u64::from(talk.0.read_u16().await.unwrap()),
            127 => talk.0.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        talk.0.read_exact(&mut payload).await.unwrap();
        (first & 0x0f, payload)
    };
    timeout(PATIENCE, read).await.expect("a frame in time")
}

async fn answer(talk: &mut Talk) -> String {
    let (opcode, payload) = heard(talk).await;
    assert_eq!(opcode, TEXT);
    String::from_utf8(payload).unwrap()
}

/// The code of the close frame that comes next; nothing comes after it.
async fn closed(talk: &mut Talk) -> u16 {
    let (opcode, payload) = heard(talk).await;
    assert_eq!(opcode, CLOSE, "{}", String::from_utf8_lossy(&payload));
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    drop(talk.0.write_all(&frame(LAST | CLOSE, &payload[..2])).await);
    assert_eq!(talk.rest().await, "");
    code
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_as_http() {
    let server = Server::start().await;
    let without = |field: &str| upgrade("").replace(field, "");
    let cases = [
        ("an ordinary request", get("/ws"), 426),
        ("no upgrade", without("Upgrade: websocket\r\n"), 426),
        ("an older version", upgrade("").replace("Version: 13", "Version: 8"), 426),
        ("no key", without(KEY), 400),
        ("two keys", upgrade(KEY), 400),
        ("HTTP/1.0", upgrade("").replace("HTTP/1.1", "HTTP/1.0"), 426),
        ("POST", post(ECHO).replacen("POST /", "POST /ws", 1), 405),
        ("a page of another site", upgrade("Origin: https://evil.example\r\n"), 403),
        ("another host", upgrade("").replace("localhost", "evil.example"), 421),
        ("a body", upgrade("Content-Length: 2\r\n") + "{}", 400),
    ];
    for (name, request, status) in cases {
        let answer = server.ask(request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.head);
        assert!(answer.code().is_some(), "{name}: {}", answer.body);
        if status == 426 {
            assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{name}");
        }
    }
    let own = upgrade("Origin: http://localhost\r\n");
    assert_eq!(server.ask(own).await.status, 101);
    server.stop().await;
}

#[tokio::test]
async fn messages_come_whole_in_pieces_and_many_at_once() {
    let server = Server::start().await;
    let mut talk = websocket(&server).await;
    let (begin, end) = ECHO.split_at(20);
    let pieces = [
        frame(TEXT, begin.as_bytes()),
        frame(LAST | PING, b"still there?"),
        frame(0, b""),
        frame(LAST, end.as_bytes()),
        text(ECHO),
        text("nonsense"),
    ];
    // Byte by byte at first, then all the rest at once.
    let stream = pieces.concat();
    for byte in &stream[..40] {
        talk.send([*byte]).await;
    }
    talk.send(&stream[40..]).await;
    assert_eq!(heard(&mut talk).await, (PONG, b"still there?".to_vec()));
    assert!(answer(&mut talk).await.contains("result"));
    assert!(answer(&mut talk).await.contains("result"));
    assert!(answer(&mut talk).await.contains("-32700"));
    talk.send(frame(LAST | CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(closed(&mut talk).await, 1000);
    server.stop().await;
}

#[tokio::test]
async fn each_breach_ends_the_connection_with_its_code() {
    let server = Server::start().await;
    let mut unmasked = text(ECHO);
    unmasked[1] &= 0x7f;
    let mut huge = vec![LAST | TEXT, 0x80 | 127];
    huge.extend((1_u64 << 40).to_be_bytes());
    huge.extend([0; 4]);
    for (name, bytes, code) in [
        ("bytes", frame(LAST | BINARY, ECHO.as_bytes()), 1003),
        ("no mask", unmasked, 1002),
        ("a reserved bit", frame(LAST | 0x40 | TEXT, b"{}"), 1002),
        ("not UTF-8", frame(LAST | TEXT, b"\"\xff\""), 1007),
        ("a terabyte", huge, 1009),
        ("a long ping", frame(LAST | PING, &[b'x'; 126]), 1002),
    ] {
        let mut talk = websocket(&server).await;
        talk.send(&bytes).await;
        assert_eq!(closed(&mut talk).await, code, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_the_next_is_answered() {
    let server = Server::start_with(|config| config.options.limits.request_bytes = 1000).await;
    let mut talk = websocket(&server).await;
    talk.send(text(&format!("\"{}\"", "x".repeat(100_000)))).await;
    talk.send(text(ECHO)).await;
    let refused = answer(&mut talk).await;
    assert!(refused.contains("-32011") && refused.contains("\"id\":null"), "{refused}");
    assert!(answer(&mut talk).await.contains("result"));
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut() {
    let ping = Duration::from_millis(50);
    let server = Server::start_with(|config| config.options.limits.ping = ping).await;
    let mut talk = websocket(&server).await;
    assert_eq!(heard(&mut talk).await, (PING, Vec::new()));
    talk.send(frame(LAST | PONG, b"")).await;
    assert_eq!(heard(&mut talk).await, (PING, Vec::new()));
    // Nothing is said any more, as of a machine that has lost its power.
    timeout(PATIENCE, async { while talk.0.read_u8().await.is_ok() {} }).await.expect("it is cut");
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_closes_with_1001() {
    let mut server = Server::start().await;
    let mut talk = websocket(&server).await;
    talk.send(text(ECHO)).await;
    answer(&mut talk).await;
    server.begin_stop();
    assert_eq!(closed(&mut talk).await, 1001);
    server.stop().await;
}

#[tokio::test]
async fn who_finds_no_room_hears_so_in_a_close_frame() {
    let connections = Arc::new(Semaphore::new(1));
    let budget = Arc::clone(&connections);
    let server = Server::start_with(|config| config.connections = budget).await;
    let mut first = websocket(&server).await;
    let mut second = websocket(&server).await;
    assert_eq!(closed(&mut second).await, 1013);
    first.send(text(ECHO)).await;
    assert!(answer(&mut first).await.contains("result"));
    server.stop().await;
}

#[tokio::test]
async fn another_user_hears_so_in_a_close_frame() {
    let server = Server::start_with(|config| config.own_uid += 1).await;
    let mut talk = server.connect().await;
    talk.send(upgrade("Forwarded: for=192.0.2.1\r\n")).await;
    assert_eq!(talk.answer().await.status, 101);
    assert_eq!(closed(&mut talk).await, 4401);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_at_rest_outlives_the_idle_limit_of_http() {
    let server = Server::start_with(|config| {
        config.options.limits.idle_timeout = Duration::from_millis(20);
        config.options.limits.ping = Duration::from_millis(60);
    })
    .await;
    let mut talk = websocket(&server).await;
    for _ in 0..3 {
        assert_eq!(heard(&mut talk).await, (PING, Vec::new()));
        talk.send(frame(LAST | PONG, b"")).await;
    }
    talk.send(text(ECHO)).await;
    assert!(answer(&mut talk).await.contains("result"));
    server.stop().await;
}

//! WebSocket in bytes: the handshake, frames, and how a connection ends.

use std::{io, sync::Arc, time::Duration};

use descartes_transport_http::{HttpConfig, PeerSocket, Routes, UidLookup};
use tokio::{io::AsyncReadExt, sync::Semaphore, time::timeout};

use crate::{
    fake::PATIENCE,
    server::{Server, Talk, get, post},
};

const MASK: [u8; 4] = [1, 2, 3, 4];
const ECHO: &str = r#"{"jsonrpc":"2.0","id":7,"method":"echo","params":[1]}"#;
const ECHOED: &str = r#"{"jsonrpc":"2.0","id":7,"result":[1]}"#;
const SUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["agent/a"]}}"#;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A handshake; `change` replaces the line of a field, or adds one.
fn handshake(path: &str, change: (&str, &str)) -> String {
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    let usual = [
        ("Host", "localhost"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in usual.iter().filter(|(name, _)| *name != change.0).chain([&change]) {
        if !value.is_empty() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head + "\r\n"
}

/// A masked frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((long as u16).to_be_bytes());
        }
        longer => {
            out.push(0x80 | 127);
            out.extend((longer as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

impl Server {
    /// The code of the close frame that comes of a handshake with `fields` and silence.
    pub(crate) async fn close_code(&self, fields: &str) -> Option<u16> {
        let mut talk = self.connect().await;
        let request = handshake("/ws", ("", "")).replace("Host", &format!("{fields}Host"));
        talk.send(request).await;
        assert_eq!(talk.answer().await.status, 101);
        let (first, payload) = talk.frame().await;
        (first == CLOSE).then(|| u16::from_be_bytes([payload[0], payload[1]]))
    }

    /// A connection that has become a WebSocket.
    async fn upgraded(&self) -> Talk {
        let mut talk = self.connect().await;
        talk.send(handshake("/ws", ("", ""))).await;
        let answer = talk.answer().await;
        assert_eq!(answer.status, 101, "{}", answer.head);
        talk
    }
}

impl Talk {
    /// The next frame: its first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, self.read_frame()).await.expect("a frame in time")
    }

    async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.0.read_u8().await.unwrap();
        let length = match self.0.read_u8().await.unwrap() {
            126 => u64::from(self.0.read_u16().await.unwrap()),
            127 => self.0.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        (first, payload)
    }

    async fn text(&mut self) -> String {
        let (first, payload) = self.frame().await;
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The code of the close frame that comes next, after which there is nothing.
    async fn closed(mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(self.rest().await, "");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_with_its_status() {
    let server = Server::start().await;
    let old = handshake("/ws", ("", "")).replace("HTTP/1.1", "HTTP/1.0");
    for (request, status) in [
        (get("/ws"), 426),
        (old, 426),
        (handshake("/ws", ("Upgrade", "h2c")), 426),
        (handshake("/ws", ("Connection", "keep-alive")), 426),
        (handshake("/ws", ("Sec-WebSocket-Version", "8")), 426),
        (handshake("/ws", ("Sec-WebSocket-Key", "")), 400),
        (handshake("/ws", ("Sec-WebSocket-Key", "c2hvcnQ=")), 400),
        (handshake("/ws", ("Host", "evil.example")), 421),
        (handshake("/ws", ("Origin", "http://evil.example")), 403),
        (handshake("/ws", ("Origin", "null")), 403),
        (handshake("/ws", ("", "")).replace("GET", "POST"), 405),
        (post("{}").replace("POST / ", "POST /ws "), 405),
        (handshake("/rpc", ("", "")), 405),
    ] {
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.code().is_some(), "{request}");
        let version = answer.field("sec-websocket-version");
        assert_eq!(version, (status == 426).then_some("13"), "{request}");
    }
    let own = handshake("/ws", ("Origin", "http://localhost"));
    assert_eq!(server.ask(own).await.status, 101);
    server.stop().await;
}

#[tokio::test]
async fn calls_batches_and_notifications_are_answered_on_one_connection() {
    let server = Server::start().await;
    let mut talk = server.upgraded().await;
    let many: Vec<u8> = (0..200).flat_map(|_| frame(TEXT, ECHO.as_bytes())).collect();
    talk.send(many).await;
    for _ in 0..200 {
        assert_eq!(talk.text().await, ECHOED);
    }
    talk.send(frame(TEXT, br#"{"jsonrpc":"2.0","method":"echo"}"#)).await;
    talk.send(frame(TEXT, format!("[{ECHO},{ECHO}]").as_bytes())).await;
    assert_eq!(talk.text().await, format!("[{ECHOED},{ECHOED}]"));
    talk.send(frame(TEXT, b"rubbish")).await;
    assert!(talk.text().await.contains("-32700"));
    server.stop().await;
}

#[tokio::test]
async fn a_message_in_pieces_is_one_and_a_ping_between_them_is_answered() {
    let server = Server::start().await;
    let mut talk = server.upgraded().await;
    let (first, rest) = ECHO.as_bytes().split_at(9);
    talk.send(frame(0x01, first)).await;
    talk.send(frame(PING, b"still there?")).await;
    assert_eq!(talk.frame().await, (PONG, b"still there?".to_vec()));
    for byte in frame(0x00, &rest[..5]) {
        talk.send([byte]).await;
    }
    talk.send(frame(0x80, &rest[5..])).await;
    assert_eq!(talk.text().await, ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_the_next_is_answered() {
    let server = Server::start().await;
    let mut talk = server.upgraded().await;
    for bytes in [(1 << 20) + 1, 16 << 20] {
        let long = frame(TEXT, &vec![b' '; bytes]);
        let (sent, answer) = {
            let (mut read, mut write) = talk.0.split();
            let send = async { tokio::io::AsyncWriteExt::write_all(&mut write, &long).await };
            let hear = async {
                let mut head = [0; 4];
                read.read_exact(&mut head).await.unwrap();
                let mut rest = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
                read.read_exact(&mut rest).await.unwrap();
                String::from_utf8(rest).unwrap()
            };
            tokio::join!(send, hear)
        };
        sent.unwrap();
        assert!(answer.contains("-32011") && answer.contains("\"id\":null"), "{answer}");
        talk.send(frame(TEXT, ECHO.as_bytes())).await;
        assert_eq!(talk.text().await, ECHOED);
    }
    server.stop().await;
}

#[tokio::test]
async fn each_breach_ends_the_connection_with_its_code() {
    let server = Server::start().await;
    let mut unmasked = frame(TEXT, b"x");
    unmasked[1] &= 0x7f;
    let beyond = [&[TEXT, 0xff][..], &(17_u64 << 20).to_be_bytes(), &MASK].concat();
    for (bytes, code) in [
        (frame(0x82, b"binary"), 1003),
        (frame(TEXT, &[b'"', 0xff, b'"']), 1007),
        (beyond, 1009),
        (unmasked, 1002),
        (frame(0xc1, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(CLOSE, b"\x03\xe8bye"), 1000),
        (frame(CLOSE, &[0x0f, 0xa0]), 4000),
        (frame(CLOSE, &[0x03]), 1002),
    ] {
        let mut talk = server.upgraded().await;
        talk.send(&bytes).await;
        assert_eq!(talk.closed().await, code, "{bytes:?}");
    }
    server.stop().await;
}

/// A kernel that knows nobody.
#[derive(Debug)]
struct KnowsNobody;

impl UidLookup for KnowsNobody {
    fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(None)
    }
}

#[tokio::test]
async fn whoever_may_not_stay_is_told_after_the_upgrade() {
    let strangers = |config: &mut HttpConfig| config.uid_lookup = Arc::new(KnowsNobody);
    let server = Server::start_with(strangers).await;
    assert_eq!(server.upgraded().await.closed().await, 4401);
    server.stop().await;

    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(handshake("/ws", ("X-Forwarded-For", "192.0.2.1"))).await;
    assert_eq!(talk.answer().await.status, 101);
    assert_eq!(talk.closed().await, 4401);
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_until_it_ends() {
    let connections = Arc::new(Semaphore::new(1));
    let budget = Arc::clone(&connections);
    let server = Server::start_with(|config| config.connections = budget).await;
    let mut first = server.upgraded().await;
    assert_eq!(server.ask(post(ECHO)).await.status, 503);
    assert_eq!(server.upgraded().await.closed().await, 1013);
    first.send(frame(CLOSE, &[0x03, 0xe8])).await;
    assert_eq!(first.closed().await, 1000);
    drop(timeout(PATIENCE, connections.acquire()).await.unwrap());
    let mut again = server.upgraded().await;
    again.send(frame(TEXT, ECHO.as_bytes())).await;
    assert_eq!(again.text().await, ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_answers_what_was_begun_and_then_closes() {
    let mut server = Server::start().await;
    let mut talk = server.upgraded().await;
    talk.send(frame(TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"held"}"#)).await;
    drop(timeout(PATIENCE, server.stage.begun.acquire()).await.unwrap());
    server.begin_stop();
    server.stage.release.add_permits(1);
    assert!(talk.text().await.contains("released"), "what was begun is answered");
    assert_eq!(talk.closed().await, 1001);
    server.stop().await;
}

#[tokio::test]
async fn notifications_follow_their_answer() {
    let server = Server::start().await;
    let mut talk = server.upgraded().await;
    talk.send(frame(TEXT, SUBSCRIBE.as_bytes())).await;
    assert!(talk.text().await.contains("subscription_id"));
    let heard = [talk.text().await, talk.text().await, talk.text().await, talk.text().await];
    assert!(heard[0].contains("event.gap") && heard[3].contains("c3"), "{heard:?}");
    assert!(talk.text().await.contains("event.synced"));
    talk.send(frame(CLOSE, &[0x03, 0xe8])).await;
    assert_eq!(talk.closed().await, 1000);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_websocket_is_pinged_and_stays_and_a_mute_one_is_cut() {
    // Long enough that a loaded machine does not keep the answer to a ping for it.
    let short = Duration::from_secs(1);
    let server = Server::start_with(|config| {
        config.options.limits.ping = short;
        config.options.limits.idle_timeout = short;
        config.options.limits.header_deadline = short * 10;
    })
    .await;
    let mut talk = server.upgraded().await;
    for _ in 0..3 {
        assert_eq!(talk.frame().await, (PING, Vec::new()));
        talk.send(frame(PONG, b"")).await;
    }
    talk.send(frame(TEXT, ECHO.as_bytes())).await;
    loop {
        match talk.frame().await {
            (PING, _) => talk.send(frame(PONG, b"")).await,
            (first, payload) => {
                assert_eq!((first, payload), (TEXT, ECHOED.as_bytes().to_vec()));
                break;
            }
        }
    }
    // Now it says nothing more: pings, and then the end without a farewell.
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, talk.0.read_to_end(&mut rest)).await.expect("it is cut in time"));
    assert!(rest.len() <= 4 && rest.chunks(2).all(|ping| ping == [PING, 0]), "{rest:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut() {
    let connections = Arc::new(Semaphore::new(1));
    let budget = Arc::clone(&connections);
    let server = Server::start_with(|config| {
        config.connections = budget;
        config.options.limits.stall_timeout = Duration::from_millis(100);
    })
    .await;
    let mut talk = server.upgraded().await;
    let large = SUBSCRIBE.replace("agent/a", "agent/large");
    talk.send(frame(TEXT, large.as_bytes())).await;
    // It reads nothing and stays; its place is free again all the same.
    drop(timeout(PATIENCE, connections.acquire()).await.expect("it is cut").unwrap());
    let mut taken = Vec::new();
    drop(timeout(PATIENCE, talk.0.read_to_end(&mut taken)).await.unwrap());
    assert!(taken.len() < 32 << 20, "{}", taken.len());
    server.stop().await;
}

#[tokio::test]
async fn a_port_for_websocket_alone_serves_it_at_its_root() {
    let server = Server::start_with(|config| config.options.routes = Routes::WebSocket).await;
    for path in ["/", "/ws"] {
        let mut talk = server.connect().await;
        talk.send(handshake(path, ("", ""))).await;
        assert_eq!(talk.answer().await.status, 101);
        talk.send(frame(TEXT, ECHO.as_bytes())).await;
        assert_eq!(talk.text().await, ECHOED);
    }
    for (request, status) in [(get("/"), 426), (get("/health"), 404), (post(ECHO), 405)] {
        assert_eq!(server.ask(&request).await.status, status, "{request}");
    }
    server.stop().await;
}

#[tokio::test]
async fn mounted_in_an_application_it_is_served_too() {
    use descartes_transport_http::{HttpOptions, service};
    let stop = tokio_util::sync::CancellationToken::new();
    let options = HttpOptions::default().everyone_is_owner().shutdown(stop.clone());
    let stage = Arc::new(crate::fake::Stage::default());
    let routes = service(crate::fake::service(stage), options);
    let app = axum::Router::new().nest_service("/descartes", routes);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async { axum::serve(listener, app).await });
    let mut talk = Talk(tokio::net::TcpStream::connect(address).await.unwrap());
    talk.send(handshake("/descartes/ws", ("", ""))).await;
    assert_eq!(talk.answer().await.status, 101);
    talk.send(frame(TEXT, ECHO.as_bytes())).await;
    assert_eq!(talk.text().await, ECHOED);
    stop.cancel();
    assert_eq!(talk.closed().await, 1001);
    serving.abort();
}

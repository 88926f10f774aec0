//! What the pages of strangers try from a browser on this machine, and what becomes of it.
//!
//! The browser is the same user as the server, so nothing but what it says of the page keeps the
//! page out. Each row is one request as a browser sends it; none may reach the service.

use std::sync::atomic::Ordering;

use crate::server::Server;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"echo","params":{"a":1}}"#;

/// A request line, the fields beside `Content-Length`, and the status of the refusal.
type Row = (&'static str, &'static [&'static str], u16);

const JSON: &str = "Content-Type: application/json";
const LOCAL: &str = "Host: localhost:8080";
const EVIL: &str = "Origin: https://evil.example";

/// A name that leads here but is not ours: rebinding, and what only looks like loopback.
const REBOUND: &[Row] = &[
    ("POST /", &["Host: evil.example", JSON], 421),
    ("POST /rpc", &["Host: evil.example:8080", JSON], 421),
    ("POST /rpc/echo", &["Host: EVIL.EXAMPLE", JSON], 421),
    ("POST /", &["Host: evil.example", "Origin: http://evil.example", JSON], 421),
    (
        "POST /",
        &["Host: a.example:80", "Origin: http://a.example", "Sec-Fetch-Site: same-origin", JSON],
        421,
    ),
    ("GET /", &["Host: evil.example"], 421),
    ("GET /events?topic=agent/", &["Host: evil.example"], 421),
    ("GET /agents/a/logs", &["Host: evil.example"], 421),
    ("GET /openrpc.json", &["Host: evil.example."], 421),
    ("POST /", &["Host: localhost.evil.example", JSON], 421),
    ("POST /", &["Host: evillocalhost", JSON], 421),
    ("POST /", &["Host: 127.0.0.1.evil.example", JSON], 421),
    ("POST /", &["Host: 127-0-0-1.evil.example", JSON], 421),
    ("POST /", &["Host: 0.0.0.0:8080", JSON], 421),
    ("POST /", &["Host: [::]:8080", JSON], 421),
    ("POST /", &["Host: 127.1", JSON], 421),
    ("POST /", &["Host: 0x7f000001", JSON], 421),
    ("POST /", &["Host: 2130706433", JSON], 421),
    ("POST /", &["Host: 192.168.0.1", JSON], 421),
    ("POST /", &["Host: host.docker.internal", JSON], 421),
    ("POST http://evil.example/", &[LOCAL, JSON], 421),
    ("POST http://evil.example/rpc", &["Host: evil.example", JSON], 421),
    ("POST /", &["Host: evil.example", "X-Forwarded-Host: localhost", JSON], 421),
    ("POST /", &[LOCAL, "Host: evil.example", JSON], 400),
    ("POST /", &[JSON], 400),
    ("POST /", &["Host: localhost@evil.example", JSON], 400),
    ("POST /", &["Host: evil.example\\.localhost", JSON], 400),
    ("POST /", &["Host: evil.example/localhost", JSON], 400),
];

/// Pages that name themselves.
const NAMED: &[Row] = &[
    ("POST /", &[LOCAL, EVIL, JSON], 403),
    ("POST /rpc/echo", &[LOCAL, EVIL, JSON], 403),
    ("GET /", &[LOCAL, EVIL], 403),
    ("GET /events?topic=agent/", &[LOCAL, EVIL, "Accept: text/event-stream"], 403),
    ("GET /agents/a/logs?follow=1", &[LOCAL, EVIL], 403),
    ("POST /", &[LOCAL, "Origin: null", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:3000", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://127.0.0.1:8080", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:8080.evil.example", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:8080@evil.example", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://evil.example/localhost:8080", JSON], 403),
    ("POST /", &[LOCAL, "Origin: localhost:8080", JSON], 403),
    ("POST /", &[LOCAL, "Origin: file://", JSON], 403),
    ("POST /", &[LOCAL, "Origin: chrome-extension://abcdef", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:8080 https://evil.example", JSON], 403),
    ("POST /", &[LOCAL, "Origin:", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:8080", EVIL, JSON], 403),
    ("POST /", &[LOCAL, EVIL, JSON, "Authorization: Bearer guessed"], 403),
    ("POST /", &[LOCAL, EVIL, JSON, "X-API-Key: guessed"], 403),
];

/// Forms and beacons that say nothing of their page: what they can send is not JSON by its type.
const FORMS: &[Row] = &[
    ("POST /", &[LOCAL, "Content-Type: text/plain"], 415),
    ("POST /rpc", &[LOCAL, "Content-Type: text/plain;charset=UTF-8"], 415),
    ("POST /rpc/echo", &[LOCAL, "Content-Type: text/plain"], 415),
    ("POST /", &[LOCAL, "Content-Type: application/x-www-form-urlencoded"], 415),
    ("POST /", &[LOCAL, "Content-Type: multipart/form-data; boundary=application/json"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain; application/json"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain, application/json"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain", JSON], 415),
    ("POST /", &[LOCAL, "Content-Type: application/jsonp"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/json"], 415),
    ("POST /", &[LOCAL, "Content-Type:"], 415),
    ("POST /", &[LOCAL], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain", "Authorization: Basic dTpw"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain", "Authorization: Negotiate YII="], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain", "Cookie: token=x"], 415),
    ("POST /", &[LOCAL, "Content-Type: text/plain", "X-HTTP-Method-Override: GET"], 415),
];

/// Pages that do not name themselves, but whose browser says where they are.
const FETCHED: &[Row] = &[
    // An image, a script, a frame, a link.
    ("GET /", &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"], 403),
    ("GET /agents/a/logs", &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: script"], 403),
    ("GET /openrpc.json", &[LOCAL, "Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: script"], 403),
    ("GET /", &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: iframe"], 403),
    (
        "GET /",
        &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"],
        403,
    ),
    ("HEAD /", &[LOCAL, "Sec-Fetch-Site: cross-site"], 403),
    ("GET /events?topic=agent/", &[LOCAL, "Sec-Fetch-Site: same-site"], 403),
    ("POST /", &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", JSON], 403),
    ("POST /", &[LOCAL, "Origin: http://localhost:8080", "Sec-Fetch-Site: same-site", JSON], 403),
    ("POST /", &[LOCAL, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", JSON], 403),
    ("POST /", &[LOCAL, "Sec-Fetch-Site: tomorrow", JSON], 403),
    ("POST /", &[LOCAL, "Sec-Fetch-Site: cross-site", "Authorization: Bearer x", JSON], 403),
];

/// Questions whether one may ask: answered to nobody.
const PREFLIGHTS: &[Row] = &[
    ("OPTIONS /", &[LOCAL, EVIL, "Access-Control-Request-Method: POST"], 403),
    ("OPTIONS /rpc", &[LOCAL, EVIL, "Access-Control-Request-Headers: content-type"], 403),
    (
        "OPTIONS /",
        &[
            LOCAL,
            EVIL,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Private-Network: true",
        ],
        403,
    ),
    ("OPTIONS /", &["Host: evil.example", "Access-Control-Request-Method: POST"], 421),
    ("OPTIONS *", &[LOCAL, EVIL], 403),
];

/// A page that opens a WebSocket: it may read and write on it, whatever the other guards say.
const SOCKETS: &[Row] = &[
    ("GET /ws", &[LOCAL, EVIL], 403),
    ("GET /ws", &[LOCAL, "Origin: null"], 403),
    ("GET /ws", &[LOCAL, "Origin: http://localhost:3000"], 403),
    ("GET /ws", &[LOCAL, "Origin: http://127.0.0.1:8080"], 403),
    ("GET /ws", &[LOCAL, "Origin: ws://localhost:8080"], 403),
    ("GET /ws", &[LOCAL, "Origin: http://localhost:8080", EVIL], 403),
    ("GET /ws", &[LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: websocket"], 403),
    ("GET /ws", &[LOCAL, EVIL, "Sec-WebSocket-Protocol: bearer.guessed"], 403),
    ("GET /ws", &["Host: evil.example", "Origin: http://evil.example"], 421),
    ("GET /ws", &["Host: evil.example:8080"], 421),
    ("GET /ws", &["Host: 0.0.0.0:8080"], 421),
    ("GET http://evil.example/ws", &[LOCAL], 421),
    ("GET /ws", &["Origin: http://localhost:8080"], 400),
];

const UPGRADE: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn request(line: &str, fields: &[&str]) -> String {
    let body = if line.starts_with("POST") { CALL } else { "" };
    let length = format!("Content-Length: {}", body.len());
    let upgrade = if line.ends_with("/ws") { UPGRADE } else { &[] };
    let mut head = format!("{line} HTTP/1.1\r\n");
    for field in fields.iter().chain(upgrade).chain([&length.as_str()]) {
        head.push_str(&format!("{field}\r\n"));
    }
    head + "\r\n" + body
}

/// Fails with every row that is not refused as it should be.
async fn assert_refused(server: &Server, rows: &[Row]) {
    let mut complaints = Vec::new();
    for (line, fields, expected) in rows {
        let mut talk = server.connect().await;
        talk.send(request(line, fields)).await;
        let head = talk.until("\r\n\r\n").await.to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        if status != Some(*expected) || head.contains("access-control-") {
            complaints.push(format!("{line} {fields:?}: {expected} expected\n{head}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(server.stage.reached.load(Ordering::Relaxed), 0, "nothing reached the service");
}

#[tokio::test]
async fn nothing_that_a_strangers_page_can_send_is_let_in() {
    let tables = [REBOUND, NAMED, FORMS, FETCHED, PREFLIGHTS, SOCKETS];
    assert!(tables.iter().map(|rows| rows.len()).sum::<usize>() >= 60, "all that is known");
    let server = Server::start().await;
    for rows in tables {
        assert_refused(&server, rows).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_allowed_to_one_page_is_allowed_to_no_other() {
    let server = Server::start_with(|config| {
        let options = std::mem::take(&mut config.options);
        config.options =
            options.allow_origin("https://console.example").allow_host("agents.example");
    })
    .await;
    for rows in [REBOUND, NAMED, FORMS, FETCHED, PREFLIGHTS, SOCKETS] {
        assert_refused(&server, rows).await;
    }
    server.stop().await;
}

/// The fields of somebody who may, and the status of the answer.
const WELCOME: &[Row] = &[
    // A program.
    ("POST /", &[LOCAL, JSON], 200),
    ("POST /", &["Host: 127.0.0.1:8080", "Content-Type: Application/JSON; charset=utf-8"], 200),
    ("POST /", &["Host: [::1]:8080", JSON], 200),
    ("GET /ws", &[LOCAL], 101),
    // A person who types the address.
    ("GET /", &[LOCAL, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"], 200),
    // A page of this server.
    ("POST /", &[LOCAL, "Origin: http://localhost:8080", "Sec-Fetch-Site: same-origin", JSON], 200),
    ("GET /ws", &[LOCAL, "Origin: http://localhost:8080", "Sec-Fetch-Site: same-origin"], 101),
    // A page of the configured origin, which is of another site.
    (
        "POST /",
        &[LOCAL, "Origin: https://console.example", "Sec-Fetch-Site: cross-site", JSON],
        200,
    ),
    ("GET /ws", &[LOCAL, "Origin: https://console.example", "Sec-Fetch-Site: cross-site"], 101),
    // Under the configured name.
    ("POST /", &["Host: agents.example", JSON], 200),
    // Anybody may ask whether it lives, and learns one word.
    ("GET /health", &["Host: evil.example", EVIL, "Sec-Fetch-Site: cross-site"], 200),
];

#[tokio::test]
async fn whoever_may_come_in_is_not_kept_out() {
    let server = Server::start_with(|config| {
        let options = std::mem::take(&mut config.options);
        config.options =
            options.allow_origin("https://console.example").allow_host("agents.example");
    })
    .await;
    for (line, fields, expected) in WELCOME {
        let answer = server.ask(request(line, fields)).await;
        assert_eq!(answer.status, *expected, "{line} {fields:?}\n{}", answer.body);
    }
    server.stop().await;
}

//! HTTP as strangers, proxies, browsers and broken programs speak it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::READY;
use crate::rig::Caller;
use crate::rig::daemon::{Daemon, Setup};

/// A claim, the headers sent beside `Content-Type: application/json`, and status and code.
type Guarded = (&'static str, &'static [(&'static str, &'static str)], u16, i64);

/// Zero stands for an answered call.
const GUARDED: &[Guarded] = &[
    ("loopback by name", &[("Host", "localhost")], 200, 0),
    ("loopback by name and port", &[("Host", "localhost:1")], 200, 0),
    ("loopback by address", &[("Host", "127.0.0.1")], 200, 0),
    ("a name under localhost", &[("Host", "agents.localhost")], 200, 0),
    ("a foreign name", &[("Host", "evil.example")], 421, -32600),
    ("a foreign name with our port", &[("Host", "evil.example:8080")], 421, -32600),
    ("a name that begins like ours", &[("Host", "localhost.evil.example")], 421, -32600),
    ("a name that ends like ours", &[("Host", "evillocalhost")], 421, -32600),
    ("any address", &[("Host", "0.0.0.0")], 421, -32600),
    ("an empty Host", &[("Host", "")], 400, -32600),
    ("two Hosts", &[("Host", "localhost"), ("Host", "localhost")], 400, -32600),
    ("two different Hosts", &[("Host", "localhost"), ("Host", "evil.example")], 400, -32600),
    ("a Host with a user", &[("Host", "a@localhost")], 400, -32600),
    ("a foreign Origin", &[("Origin", "https://evil.example")], 403, -32012),
    ("a foreign Origin on our port", &[("Origin", "http://evil.example:8080")], 403, -32012),
    ("the Origin null", &[("Origin", "null")], 403, -32012),
    ("an Origin of another port here", &[("Origin", "http://localhost:1")], 403, -32012),
    ("our own Origin", &[("Host", "localhost:8080"), ("Origin", "http://localhost:8080")], 200, 0),
    ("a proxy that says so", &[("X-Forwarded-For", "10.0.0.1")], 401, -32001),
    ("a proxy that says so in one word", &[("Forwarded", "for=10.0.0.1")], 401, -32001),
    ("a proxy that says its name", &[("Via", "1.1 proxy")], 401, -32001),
    ("an unknown header", &[("X-Whatever", "1")], 200, 0),
];

#[test]
fn each_guard_answers_with_its_status_and_code() {
    let daemon = Daemon::start();
    let mut complaints = Vec::new();
    for (claim, headers, status, code) in GUARDED {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        let reply = daemon.http().request("POST", "/", &all, READY.as_bytes());
        let error = reply.json()["error"]["code"].as_i64().unwrap_or(0);
        if (reply.status, error) != (*status, *code) {
            complaints.push(format!("{claim}: {} {}", reply.status, reply.text()));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    daemon.http().ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn a_body_that_a_page_could_send_unasked_is_not_json() {
    let daemon = Daemon::start();
    let made = daemon.socket().ok("auth.key.create", json!({"name": "plain", "role": "viewer"}));
    let key = made["key"].as_str().expect("a key");
    for (content_type, status) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("APPLICATION/JSON"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (Some("application/json, text/plain"), 415),
        (Some(""), 415),
        (None, 415),
    ] {
        let headers: Vec<_> = content_type.map(|t| ("Content-Type", t)).into_iter().collect();
        let reply = daemon.http().request("POST", "/", &headers, READY.as_bytes());
        assert_eq!(reply.status, status, "{content_type:?}: {}", reply.text());
        let plain = [("X-API-Key", key), ("Content-Type", content_type.unwrap_or("text/plain"))];
        let reply = daemon.http().request("POST", "/", &plain, READY.as_bytes());
        assert_eq!(reply.status, 200, "with credentials: {content_type:?}");
    }
}

#[test]
fn each_path_has_its_methods() {
    let daemon = Daemon::start();
    let json = [("Content-Type", "application/json")];
    for (method, path, status) in [
        ("POST", "/", 200),
        ("POST", "/rpc", 200),
        ("GET", "/", 200),
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/openrpc.json", 200),
        ("GET", "/rpc", 405),
        ("PUT", "/", 405),
        ("DELETE", "/rpc", 405),
        ("OPTIONS", "/", 405),
        ("PATCH", "/health", 405),
        ("POST", "/health", 405),
        ("POST", "/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/rpc/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/%2e%2e/", 404),
        ("GET", "/agents", 404),
    ] {
        let reply = daemon.http().request(method, path, &json, READY.as_bytes());
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("descartes-api"), Some("1.0"), "{method} {path}");
        if status == 405 {
            assert!(reply.header("allow").is_some(), "{method} {path}");
        }
        if status >= 400 {
            assert_eq!(reply.json()["error"]["code"], -32600, "{method} {path}");
        }
    }
}

#[test]
fn health_is_told_to_anyone_in_one_word() {
    let daemon = Daemon::start();
    for headers in [&[][..], &[("Host", "evil.example")], &[("Origin", "https://evil.example")]] {
        let reply = daemon.http().request("GET", "/health", headers, b"");
        assert_eq!((reply.status, reply.text()), (200, "OK"), "{headers:?}");
        let reply = daemon.http().request("GET", "/ready", headers, b"");
        assert_eq!((reply.status, reply.text()), (200, "READY"), "{headers:?}");
    }
    let page = daemon.http().request("GET", "/", &[("Host", "evil.example")], b"");
    assert_eq!(page.status, 421);
}

#[test]
fn no_answer_invites_pages_of_other_sites() {
    let daemon = Daemon::start();
    let json = [("Content-Type", "application/json")];
    let reply = daemon.http().request("POST", "/", &json, READY.as_bytes());
    let cors = reply.headers.iter().find(|(name, _)| name.starts_with("access-control"));
    assert_eq!(cors, None);
}

#[test]
fn a_body_may_come_in_chunks() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let mut sent = head.as_bytes().to_vec();
    for piece in READY.as_bytes().chunks(7) {
        write!(sent, "{:x}\r\n", piece.len()).expect("memory can be written");
        sent.extend_from_slice(piece);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"0\r\n\r\n");
    http.send(&sent).expect("the daemon reads");
    let reply = http.reply().expect("the daemon answers");
    assert_eq!((reply.status, &reply.json()["id"]), (200, &Value::from(1)));
    http.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn a_chunked_body_is_bounded_like_any_other() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    http.send(head.as_bytes()).expect("the daemon reads");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        if http.send(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let reply = http.reply().expect("the daemon answers before it closes");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (413, &Value::from(-32011)));
}

#[test]
fn a_length_that_is_too_large_is_refused_before_the_body() {
    let daemon = Daemon::start();
    for length in ["1048577", "99999999999"] {
        let mut http = daemon.http();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        http.send(head.as_bytes()).expect("the daemon reads");
        let reply = http.reply().expect("the daemon answers");
        assert_eq!(reply.status, 413, "{length}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], -32011, "{length}");
    }
}

#[test]
fn a_truncated_body_runs_nothing() {
    let daemon = Daemon::start();
    let put = r#"{"jsonrpc":"2.0","id":1,"method":"state.put","params":{"key":"k","value":1}}"#;
    let mut http = daemon.http();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{put}",
        put.len() + 1
    );
    http.send(head.as_bytes()).expect("the daemon reads");
    http.finish();
    if let Ok(reply) = http.reply() {
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &Value::from(-32600)));
    }
    let state = daemon.http().ok("state.query", serde_json::json!({"key": "k"}));
    assert_eq!(state["state"], serde_json::json!({}));
}

#[test]
fn requests_that_are_pipelined_are_answered_in_order() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let json = [("Content-Type", "application/json")];
    let mut sent = Vec::new();
    for id in 0..20 {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"system.ready"}}"#);
        sent.extend(http.format("POST", "/", &json, body.as_bytes()));
    }
    http.send(&sent).expect("the daemon reads");
    for id in 0..20 {
        assert_eq!(http.reply().expect("an answer").json()["id"], id);
    }
}

#[test]
fn what_is_not_http_is_answered_or_cut_and_harms_nobody() {
    let daemon = Daemon::start();
    let mut healthy = daemon.http();
    healthy.ok("system.health", Value::Array(Vec::new()));
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(200_000));
    let many_headers =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: 1\r\n".repeat(5_000));
    let smuggled = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let two_lengths = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                       Content-Length: 4\r\nContent-Length: 5\r\n\r\nnull";
    for sent in [
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "SSH-2.0-x\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\r\n\r\n",
        "{\"jsonrpc\":\"2.0\"}\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        &long_line,
        &many_headers,
        smuggled,
        two_lengths,
    ] {
        let mut http = daemon.http();
        let sent_whole = http.send(sent.as_bytes()).is_ok();
        if sent_whole {
            http.finish();
        }
        if let Ok(reply) = http.reply() {
            let start: String = sent.chars().take(40).collect();
            assert!((400..500).contains(&reply.status), "{start:?}: {}", reply.status);
        }
    }
    healthy.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn a_head_that_trickles_is_cut_after_its_deadline() {
    let daemon = Daemon::start();
    let mut slow = daemon.http();
    let mut healthy = daemon.http();
    let began = Instant::now();
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    slow.send(head).expect("the daemon reads");
    while slow.send(b"x").is_ok() {
        healthy.ok("system.health", Value::Array(Vec::new()));
        assert!(began.elapsed() < Duration::from_secs(30), "a trickle keeps the connection");
        std::thread::park_timeout(Duration::from_millis(200));
    }
    assert!(began.elapsed() > Duration::from_secs(5), "cut after {:?}", began.elapsed());
}

#[test]
fn a_configured_host_and_origin_are_served() {
    let daemon = Setup::new()
        .config(
            "[server]\nallowed_hosts = [\"agents.example\"]\n\
             allowed_origins = [\"https://console.example\"]\n",
        )
        .start();
    let headers = [
        ("Content-Type", "application/json"),
        ("Host", "agents.example"),
        ("Origin", "https://console.example"),
    ];
    let reply = daemon.http().request("POST", "/", &headers, READY.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

//! Who is given the page: nobody's pages, and whoever has a token where one is needed.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{checked, value};
use crate::rig::agents::{events, log, spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Reply;
use crate::rig::socket::Socket;
use crate::rig::{Caller, PATIENCE};

const KEY: &str = "a configured key of this test";

fn scrape(daemon: &Daemon, headers: &[(&str, &str)]) -> Reply {
    daemon.metrics().request("GET", "/metrics", headers, b"")
}

fn guarded(config: &str) -> Daemon {
    let setup = Setup::new().flag("--metrics-port=0");
    let key = setup.home().file("key", KEY.as_bytes());
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is ours");
    let auth = format!("[auth]\nenabled = true\napi_key_file = {:?}\n", key.display().to_string());
    setup.config(&auth).config(config).start()
}

#[test]
fn with_authentication_off_a_key_that_is_over_is_refused_where_none_is_needed() {
    let daemon = Setup::new().flag("--metrics-port=0").start();
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "scraper", "scopes": ["metrics"]}));
    let key = text(&made["key"]);
    let status = |headers: &[(&str, &str)]| scrape(&daemon, headers).status;
    assert_eq!((status(&[]), status(&[("X-API-Key", key)])), (200, 200));
    owner.ok("auth.key.revoke", json!({"key_id": made["key_id"]}));
    for bad in [("X-API-Key", key), ("Authorization", "Bearer a.b.c"), ("Authorization", "x")] {
        assert_eq!(status(&[bad]), 401, "{bad:?}");
    }
    // What browsers and proxies send by themselves is meant for somebody else.
    assert_eq!((status(&[("Authorization", "Basic dTpw")]), status(&[])), (200, 200));
}

#[test]
fn with_authentication_on_a_scrape_needs_a_token_with_the_scope() {
    let daemon = guarded("");
    let mut owner = daemon.socket();
    let mut token = |scope: &str| {
        let made = owner.ok("auth.token.create", json!({"sub": "scraper", "scopes": [scope]}));
        format!("Bearer {}", text(&made["token"]))
    };
    let (reader, other) = (token("metrics"), token("agent:read"));
    let status = |headers: &[(&str, &str)]| scrape(&daemon, headers).status;
    assert_eq!(status(&[]), 401, "being the same user is not enough");
    assert_eq!(status(&[("Authorization", "Bearer wrong")]), 401);
    assert_eq!(status(&[("Authorization", "Basic wrong")]), 401);
    assert_eq!(status(&[("Authorization", &other)]), 403);
    assert_eq!(status(&[("X-API-Key", KEY)]), 200);
    // A pod is scraped by an address or a name that nobody has configured.
    assert_eq!(status(&[("Authorization", &reader), ("Host", "daemon.svc:9090")]), 200);
    assert_eq!(status(&[("Authorization", &reader), ("Origin", "http://evil.example")]), 403);
    check_audit(&mut owner, "scraper");
    let page = checked(scrape(&daemon, &[("Authorization", &reader)]).text());
    for (key, expected) in [
        ("auth_failures_total{reason=\"no_credentials\"}", 1.0),
        ("auth_failures_total{reason=\"invalid_token\"}", 1.0),
        ("auth_failures_total{reason=\"malformed\"}", 1.0),
        ("requests_rejected_total{reason=\"unauthenticated\"}", 3.0),
        ("requests_rejected_total{reason=\"forbidden\"}", 1.0),
        ("requests_rejected_total{reason=\"origin\"}", 1.0),
    ] {
        assert_eq!(value(&page, key), expected, "{key}");
    }
    check_port_of_http(&daemon, &reader, &other);
}

/// The port of HTTP lets the same in, and says so in its own words.
fn check_port_of_http(daemon: &Daemon, reader: &str, other: &str) {
    let ask =
        |token: &str| daemon.http().request("GET", "/metrics", &[("Authorization", token)], b"");
    assert_eq!(daemon.http().get("/metrics").status, 401);
    let refused = ask(other);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!(-32012)));
    assert_eq!(ask(reader).status, 200);
    let written = events(&mut daemon.socket(), "audit", "start");
    let denied = written.iter().any(|event| {
        let data = &event["data"];
        data["outcome"] == "forbidden" && text(&data["peer"]).starts_with("http 127.0.0.1:")
    });
    assert!(denied, "{written:?}");
}

/// Whoever was turned away is in the audit, with why and without what it has shown.
fn check_audit(owner: &mut Socket, name: &str) {
    let written = events(owner, "audit", "start");
    let denied: Vec<_> = written
        .iter()
        .filter(|event| text(&event["data"]["peer"]).starts_with("metrics 127.0.0.1:"))
        // Those of a kind that was written before are counted together a while later.
        .filter(|event| event["data"]["count"].is_null())
        .map(|event| (text(&event["data"]["principal"]), text(&event["data"]["outcome"])))
        .collect();
    // No credentials, wrong ones, unreadable ones; then one without the scope, and a page.
    let nobody = ("nobody", "unauthenticated");
    assert_eq!(denied, [nobody, nobody, (name, "forbidden"), ("nobody", "forbidden")]);
    let all = serde_json::Value::from(written).to_string();
    assert!(!all.contains("wrong") && !all.contains(KEY), "{all}");
}

/// Each way of not being believed, and of asking too much, is counted as what it is.
#[test]
fn who_is_not_believed_and_who_asks_too_much_are_counted() {
    let daemon = guarded("[limits]\nrate_per_second = 1\nburst = 2\n");
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "short", "scopes": ["metrics"]}));
    let key = text(&made["key"]).to_owned();
    owner.ok("auth.key.revoke", json!({"key_id": made["key_id"]}));
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"auth.whoami"}"#;
    let json_type = ("Content-Type", "application/json");
    let ask = |credentials: &[(&str, &str)]| {
        let headers = [&[json_type], credentials].concat();
        daemon.http().request("POST", "/", &headers, call).status
    };
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&[("X-API-Key", &key)]), 401);
    assert_eq!(ask(&[("Authorization", "Bearer a.b.c")]), 401);
    let (mut passed, mut refused) = (0.0, 0.0);
    let mut reader = daemon.socket();
    for _ in 0..6 {
        match reader.call("agent.list", json!({})) {
            Ok(_) => passed += 1.0,
            Err(error) => {
                assert_eq!(error["data"]["limit"], "limits.rate_per_second", "{error}");
                refused += 1.0;
            }
        }
    }
    let page = checked(scrape(&daemon, &[("X-API-Key", KEY)]).text());
    let list = "requests_total{method=\"agent.list\",transport=\"unix\",outcome=\"ok\"}";
    assert_eq!(page.get(list).copied().unwrap_or(0.0), passed);
    for (key, expected) in [
        ("requests_rejected_total{reason=\"rate_limited\"}", refused),
        ("requests_rejected_total{reason=\"unauthenticated\"}", 3.0),
        ("auth_failures_total{reason=\"no_credentials\"}", 1.0),
        ("auth_failures_total{reason=\"wrong_key\"}", 1.0),
        ("auth_failures_total{reason=\"invalid_token\"}", 1.0),
    ] {
        assert_eq!(value(&page, key), expected, "{key}");
    }
}

#[test]
fn an_agent_reads_no_numbers() {
    let daemon = Setup::new().flag("--metrics-port=0").start();
    assert_eq!(scrape(&daemon, &[]).status, 200);
    let url = text(&daemon.endpoints["metrics"]).to_owned();
    let port = url.trim_end_matches("/metrics").rsplit(':').next().expect("a port");
    let ask = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         printf 'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' >&3; \
         read -r version status rest <&3; printf '%s' \"$status\""
    );
    let mut socket = daemon.socket();
    let agent = spawn(&mut socket, &["bash".into(), "-c".into(), ask.clone()]);
    wait(&mut socket, &agent);
    assert_eq!(log(&mut socket, &agent, "stdout"), b"403");
    let of_http = daemon.http_address().to_string();
    let ask = ask.replace(&format!("127.0.0.1/{port}"), &of_http.replace(':', "/"));
    let agent = spawn(&mut socket, &["bash".into(), "-c".into(), ask]);
    wait(&mut socket, &agent);
    assert_eq!(log(&mut socket, &agent, "stdout"), b"403", "of the port of HTTP");
}

#[test]
fn slow_and_broken_readers_are_answered_or_end_and_nobody_waits_for_them() {
    let daemon = Setup::new().flag("--metrics-port=0").start();
    let address = text(&daemon.endpoints["metrics"]).trim_start_matches("http://");
    let address = address.trim_end_matches("/metrics");
    let silent: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(address).expect("it accepts")).collect();
    let head = raw(address, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let reply = daemon.metrics().request("POST", "/metrics", &[], b"a body");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024));
    let answer = raw(address, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(scrape(&daemon, &[]).status, 200);
    drop(silent);
}

/// What is answered to these bytes until the end; a connection may break off before it is.
fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    drop(stream.write_all(bytes));
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    answer
}

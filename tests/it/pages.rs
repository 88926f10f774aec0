//! A page of a stranger, in the browser of the daemon's own user: no port of the daemon serves it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Http;
use crate::rig::{Caller, PATIENCE, parrot};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const EVIL: (&str, &str) = ("Origin", "https://evil.example");

/// The `Host` aside, what a page can send with a call, and what the daemon answers.
const CALLS: [(&[(&str, &str)], u16); 6] = [
    (&[("Host", "evil.example"), ("Origin", "http://evil.example"), JSON], 421),
    (&[EVIL, JSON], 403),
    (&[("Origin", "http://localhost:3000"), JSON], 403),
    (&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), JSON], 403),
    (&[("Content-Type", "text/plain;charset=UTF-8")], 415),
    (
        &[("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "Basic dTpw")],
        415,
    ),
];

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn spawn_call() -> String {
    let params = json!({"agent_type": "process", "config": {"command": parrot::shell("exit 0")}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "agent.spawn", "params": params}).to_string()
}

fn address(text: &str) -> SocketAddr {
    let text = text.split_once("://").map_or(text, |(_, address)| address);
    text.trim_end_matches('/').parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn all_ports() -> Daemon {
    ["--ws-port=0", "--zmq-port=0", "--pub-port=0"]
        .into_iter()
        .fold(Setup::new(), Setup::flag)
        .start()
}

/// What a port that speaks no HTTP says to a page before it hangs up.
fn said_to_a_page(port: SocketAddr, call: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(port).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let length = call.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {port}\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{call}"
    );
    // It may hang up before all of it was sent, which a reset shows.
    drop(stream.write_all(request.as_bytes()));
    let mut said = Vec::new();
    let ended = stream.read_to_end(&mut said);
    let cut = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionReset;
    assert!(ended.as_ref().is_ok() || ended.as_ref().is_err_and(cut), "{port}: {ended:?}");
    said
}

#[test]
fn a_page_of_a_stranger_starts_nothing_at_any_port() {
    let daemon = all_ports();
    let call = spawn_call();
    for (headers, status) in CALLS {
        for path in ["/", "/rpc", "/rpc/agent.spawn"] {
            let reply = daemon.http().request("POST", path, headers, call.as_bytes());
            assert_eq!(reply.status, status, "POST {path} {headers:?}: {}", reply.text());
        }
    }
    let sockets =
        [daemon.http_address(), address(daemon.endpoints["ws"].as_str().expect("a port"))];
    for (port, origin) in
        sockets.into_iter().flat_map(|port| [(port, EVIL), (port, ("Origin", "null"))])
    {
        let fields = [UPGRADE.as_slice(), &[origin]].concat();
        let reply = Http::connect(port).request("GET", "/ws", &fields, b"");
        assert_eq!(reply.status, 403, "{port} {origin:?}: {}", reply.text());
    }
    for port in [daemon.zmq(), daemon.publisher()] {
        let said = said_to_a_page(address(port), &call);
        assert!(!said.windows(6).any(|word| word == b"agent_"), "{port}: {said:?}");
    }
    let total = || daemon.socket().ok("agent.list", json!({"status": "any"}))["total"].clone();
    assert_eq!(total(), 0, "no agent was started");
    let reply = daemon.http().request("POST", "/", &[JSON], call.as_bytes());
    assert_eq!((reply.status, total()), (200, json!(1)), "the same call of a program starts one");
}

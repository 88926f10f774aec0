//! Peers that mean no good, or know no better: they are cut, leave nothing behind, and nobody else
//! notices.

mod remains;
mod rubbish;
mod slow;
mod unread;

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use crate::rig::daemon::Daemon;
use crate::rig::{Caller, measured, torture};
use remains::Remains;

/// Connections at once, before they are closed.
const WAVE: usize = 100;

#[test]
fn a_flood_of_connections_leaves_nothing_behind() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    flood(&daemon, 2 * WAVE);
    let before = Remains::of(&daemon);
    let connections = torture(20_000).max(2_000);
    for _ in 0..connections / WAVE {
        flood(&daemon, WAVE);
        socket.ok("system.health", json!({}));
        daemon.http().ok("system.health", json!({}));
    }
    let grown = before.check(&daemon, 8 << 20);
    measured(format_args!("{connections} connections, {grown} bytes more"));
}

/// Connections over TCP and Unix: some say nothing, some half a word, some a whole one and never
/// hear the answer; most end without a farewell.
fn flood(daemon: &Daemon, connections: usize) {
    let mut tcp = Vec::new();
    let mut unix = Vec::new();
    let head = format!("POST / HTTP/1.1\r\nHost: {}\r\n", daemon.http_address());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    let json = "Content-Type: application/json\r\n";
    let whole = format!("{head}{json}Content-Length: {}\r\n\r\n{call}", call.len());
    let over_http = ["", "POST / HT", &head, &whole];
    let over_unix = ["", "{\"jsonrpc\":", call, "{}\n{}\n"];
    for at in 0..connections / 2 {
        let stream = TcpStream::connect(daemon.http_address()).expect("the daemon accepts");
        say(&stream, over_http[at % 4]);
        if at % 8 != 0 {
            // The peer's side sees a reset, and ours keeps no port for it.
            set_socket_linger(&stream, Some(std::time::Duration::ZERO)).expect("an open socket");
        }
        tcp.push(stream);
        let stream = UnixStream::connect(daemon.socket_path()).expect("the daemon accepts");
        say(&stream, over_unix[at % 4]);
        unix.push(stream);
    }
}

/// Writes it if the other side still listens.
fn say(mut stream: impl std::io::Write, words: &str) {
    drop(stream.write_all(words.as_bytes()));
}

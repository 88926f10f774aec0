//! Peers that ask and ask, and never read an answer.

use std::io::{ErrorKind, Read as _, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::remains::Remains;
use crate::rig::daemon::Daemon;
use crate::rig::load::Latencies;
use crate::rig::{Caller, measured, processes, torture};

/// What a connection may hold of answers that nobody takes, and as much again for its buffers.
const PER_PEER: u64 = 2 << 20;
const SLACK: u64 = 16 << 20;
/// Such peers of each transport.
const PEERS: usize = 10;
/// How soon somebody else is answered, where the machine is not busy with something else.
const SOON: Duration = Duration::from_millis(100);
/// What is asked for: an answer of many kilobytes.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;

/// Writes `request` until nothing more is taken; returns how often that was.
fn ask_until_full(stream: &mut impl Write, request: &[u8]) -> usize {
    let block = request.repeat(64);
    let mut taken = 0;
    let mut full_since = None;
    loop {
        match stream.write(&block[taken % request.len()..]) {
            Ok(bytes) => (taken, full_since) = (taken + bytes, None),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                let since = full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(300) {
                    return taken / request.len();
                }
                thread::park_timeout(Duration::from_millis(10));
            }
        }
    }
}

fn over_http(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.http_address()).expect("the daemon accepts");
    stream.set_nonblocking(true).expect("an open socket");
    let request =
        daemon.http().format("POST", "/", &[("Content-Type", "application/json")], CALL.as_bytes());
    ask_until_full(&mut stream, &request);
    stream
}

fn over_unix(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket_path()).expect("the daemon accepts");
    stream.set_nonblocking(true).expect("an open socket");
    ask_until_full(&mut stream, format!("{CALL}\n").as_bytes());
    stream
}

#[test]
fn who_asks_and_never_reads_costs_little_and_nobody_else_anything() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    drop((over_http(&daemon), over_unix(&daemon)));
    let before = Remains::of(&daemon);
    let resident = processes::resident(daemon.number());
    let (tcp, unix): (Vec<_>, Vec<_>) =
        (0..PEERS).map(|_| (over_http(&daemon), over_unix(&daemon))).unzip();
    let grown = processes::resident(daemon.number()).saturating_sub(resident);
    let allowed = 2 * PEERS as u64 * PER_PEER + SLACK;
    measured(format_args!("{grown} bytes for {} peers that never read", 2 * PEERS));
    assert!(grown < allowed, "{grown} bytes more, {allowed} allowed");
    // Beside one that has no such peers, in the same moments.
    let calm = Daemon::start();
    let (mut calm_socket, mut others, mut quiet) =
        (calm.socket(), Latencies::new(), Latencies::new());
    for _ in 0..100 {
        others.ask(&mut socket);
        quiet.ask(&mut calm_socket);
    }
    let allowed = SOON.max(quiet.percentile(50) * 5);
    assert!(others.percentile(50) < allowed, "{:?}, {allowed:?}", others.percentile(50));
    // A wait of half a minute is for the full count only.
    if torture(20) >= 20 {
        let began = Instant::now();
        let open = processes::open_files(daemon.number());
        while processes::open_files(daemon.number()) > open - 2 * PEERS {
            assert!(began.elapsed() < Duration::from_secs(45), "they are not cut");
            thread::park_timeout(Duration::from_millis(100));
        }
        measured(format_args!("peers that never read were cut after {:?}", began.elapsed()));
    }
    drop((tcp, unix));
    before.check(&daemon, SLACK);
}

#[test]
fn thousands_of_requests_at_once_are_answered_one_by_one() {
    let daemon = Daemon::start();
    let count = torture(20_000).max(2_000);
    let health = json!({"jsonrpc": "2.0", "id": 1, "method": "system.health"}).to_string();
    let mut stream = TcpStream::connect(daemon.http_address()).expect("the daemon accepts");
    let headers = [("Content-Type", "application/json")];
    let request = daemon.http().format("POST", "/", &headers, health.as_bytes());
    let mut reader = stream.try_clone().expect("an open socket");
    let answers = thread::spawn(move || {
        let (mut seen, mut block, mut tail) = (0, vec![0; 1 << 16], Vec::new());
        while seen < count {
            let read = reader.read(&mut block).expect("the daemon answers");
            assert!(read > 0, "the daemon left after {seen} answers");
            tail.extend_from_slice(&block[..read]);
            let heads = tail.windows(12).filter(|part| part == b"HTTP/1.1 200").count();
            seen += heads;
            // A head may be cut in the middle; a whole one is counted once.
            tail.drain(..tail.len().saturating_sub(11));
        }
        seen
    });
    for _ in 0..count {
        stream.write_all(&request).expect("the daemon reads");
    }
    assert_eq!(answers.join().expect("the reader counts"), count);
    daemon.socket().ok("system.health", json!({}));
}

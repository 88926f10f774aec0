//! Requests that have no end, or too much of everything.

use std::io::ErrorKind;

use serde_json::json;

use super::remains::Remains;
use crate::rig::daemon::Daemon;
use crate::rig::http::Http;
use crate::rig::{Caller, torture};

/// How much is sent of what has no end, before its sender gives up: far more than is ever read.
const ENDLESS: usize = 64 << 20;
const PIECE: usize = 64 << 10;

/// Sends `head`, then `piece` for as long as it is taken; the status it was answered with, if the
/// answer was not lost on the way.
fn endless(daemon: &Daemon, head: &str, piece: &[u8]) -> Option<u16> {
    let mut http = daemon.http();
    let head = head.replace("HOST", &daemon.http_address().to_string());
    http.send(head.as_bytes()).expect("the daemon reads");
    let mut sent = 0;
    while sent < ENDLESS {
        match http.send(piece) {
            Ok(()) => sent += piece.len(),
            Err(error) => {
                let cut =
                    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
                assert!(cut, "{error}");
                break;
            }
        }
    }
    assert!(sent < ENDLESS, "{sent} bytes were taken of {head:?}");
    http.reply().ok().map(|reply| reply.status)
}

#[test]
fn what_has_no_end_is_cut_and_leaves_nothing_behind() {
    let daemon = Daemon::start();
    let post = "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n";
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let spaces = vec![b' '; PIECE];
    let chunk = [b"10000\r\n", &*spaces, b"\r\n"].concat();
    let tiny = b"1\r\n \r\n".repeat(PIECE / 6);
    let headers = b"X-Header: 1\r\n".repeat(PIECE / 13);
    let extension = [b"1;", &*vec![b'x'; PIECE]].concat();
    let cases: [(&str, &str, &[u8], &[u16]); 8] = [
        ("a chunked body", &chunked, &chunk, &[413]),
        ("a chunked body of single bytes", &chunked, &tiny, &[413]),
        ("an extension of a chunk", &chunked, &extension, &[400]),
        ("a trailer", &format!("{chunked}0\r\n"), &headers, &[400, 200]),
        ("a body of another length", &format!("{post}Content-Length: 9\r\n\r\n"), &spaces, &[400]),
        ("a head", "GET / HTTP/1.1\r\n", &headers, &[431]),
        ("a header", "GET / HTTP/1.1\r\nX: ", &spaces, &[431]),
        ("a path", "GET /", &[b'x'; PIECE], &[414, 431]),
    ];
    for (_, head, piece, _) in cases {
        endless(&daemon, head, piece);
    }
    let before = Remains::of(&daemon);
    for _ in 0..torture(20).max(2) {
        for (what, head, piece, expected) in cases {
            let status = endless(&daemon, head, piece);
            assert!(status.is_none_or(|status| expected.contains(&status)), "{what}: {status:?}");
        }
        daemon.http().ok("system.health", json!({}));
    }
    before.check(&daemon, 12 << 20);
}

#[test]
fn a_peer_that_says_nothing_between_requests_is_forgotten() {
    let idle = "[pool]\nidle_timeout_secs = 1\n";
    let daemon = crate::rig::daemon::Setup::new().config(idle).start();
    let mut socket = daemon.socket();
    let before = Remains::of(&daemon);
    let mut vanished: Vec<Http> = (0..20).map(|_| daemon.http()).collect();
    for http in &mut vanished {
        http.ok("system.health", json!({}));
    }
    // They never close: the daemon does.
    before.check(&daemon, 8 << 20);
    socket.ok("system.health", json!({}));
}

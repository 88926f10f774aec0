//! Slow loris: connections that send a byte now and then, or none, to keep their place.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::remains::Remains;
use crate::rig::daemon::Daemon;
use crate::rig::load::Latencies;
use crate::rig::{PATIENCE, measured, torture};

/// Every one of them has to be cut by then: by the deadline of a head, 10 s, and by no other; that of
/// a body is 30 s.
const CUT_WITHIN: Duration = Duration::from_secs(25);
/// Between two of their bytes.
const BEAT: Duration = Duration::from_millis(250);

/// One that is slow on purpose.
struct Loris {
    stream: TcpStream,
    /// What it sends at once.
    first: Vec<u8>,
    /// What it sends byte by byte after that, again and again; nothing: it is silent.
    then: &'static [u8],
    sent: usize,
}

impl Loris {
    fn begin(daemon: &Daemon, manner: usize) -> Self {
        let address = daemon.http_address();
        let host = format!("Host: {address}\r\n");
        let post = format!("POST / HTTP/1.1\r\n{host}Content-Type: application/json\r\n");
        let (first, then): (String, &[u8]) = match manner % 7 {
            0 => (String::new(), b""),
            1 => (String::new(), b"POST / HTTP/1.1\r\nX: "),
            2 => (format!("{post}Content-Length: 1000000\r\n\r\n"), b"["),
            3 => (format!("{post}Transfer-Encoding: chunked\r\n\r\n"), b"1\r\n[\r\n"),
            4 => ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(), b""),
            5 => (format!("GET /ws HTTP/1.1\r\n{host}Upgrade: websocket\r\n"), b"X-Padding: x\r\n"),
            // A whole request first, so that it is no newcomer any more.
            _ => (format!("GET /health HTTP/1.1\r\n{host}\r\nGET "), b"/"),
        };
        let stream = TcpStream::connect(address).expect("the daemon accepts");
        let mut loris = Self { stream, first: first.into_bytes(), then, sent: 0 };
        loris.stream.write_all(&loris.first).expect("an open socket");
        loris.stream.set_nonblocking(true).expect("an open socket");
        loris
    }

    /// Sends its next byte; false once it has been cut.
    fn goes_on(&mut self) -> bool {
        if let Some(byte) = self.then.get(self.sent % self.then.len().max(1)) {
            self.sent += 1;
            if self.stream.write_all(&[*byte]).is_err() {
                return false;
            }
        }
        let mut heard = [0; 4096];
        loop {
            match self.stream.read(&mut heard) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

#[test]
fn who_is_slow_on_purpose_is_cut_and_nobody_else_notices() {
    let daemon = Daemon::start();
    let (mut socket, mut http) = (daemon.socket(), daemon.http());
    Latencies::of(&mut http, 50);
    let before = Remains::of(&daemon);
    // One that nobody attacks, asked in the same moments: other tests are not what is measured.
    let calm = Daemon::start();
    let (mut calm_socket, mut calm_http) = (calm.socket(), calm.http());
    let mut quiet = Latencies::of(&mut calm_http, 50);

    let began = Instant::now();
    let count = torture(1_000).max(70);
    let mut all: Vec<Loris> = (0..count).map(|manner| Loris::begin(&daemon, manner)).collect();
    let mut others = Latencies::new();
    while !all.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{} are not cut at all", all.len());
        all.retain_mut(Loris::goes_on);
        for _ in 0..20 {
            others.ask(&mut http);
            quiet.ask(&mut calm_http);
            others.ask(&mut socket);
            quiet.ask(&mut calm_socket);
        }
        // Somebody who comes now is served too.
        others.ask(&mut daemon.http());
        others.ask(&mut daemon.socket());
        thread::park_timeout(BEAT);
    }
    let took = began.elapsed();
    let (usual, under_attack) = (quiet.percentile(50), others.percentile(50));
    measured(format_args!(
        "{count} cut in {took:?}; health p50 {usual:?} elsewhere, {under_attack:?} beside them, p99 \
         {:?} and {:?}",
        quiet.percentile(99),
        others.percentile(99)
    ));
    assert!(took < CUT_WITHIN, "the last of {count} was cut after {took:?}");
    let allowed = usual * 5 + Duration::from_millis(2);
    assert!(under_attack < allowed, "{usual:?} became {under_attack:?}");
    // A thousand at once leave the allocator up to 10 MB that it gives to the next ones.
    before.check(&daemon, 16 << 20);
}

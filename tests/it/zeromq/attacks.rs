//! The known attacks on ZeroMQ: the daemon lives, others are served, memory stays where it was.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::start;
use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, Zmtp, greeting, message, ready};
use crate::rig::{Caller, PATIENCE, measured, processes, torture};

/// How much memory may be taken while they go on.
const SLACK: u64 = 64 << 20;
/// Between two bytes of who is slow.
const BEAT: Duration = Duration::from_millis(250);
const PIECE: usize = 64 << 10;

/// The daemon's memory and connections before an attack.
struct Before {
    sockets: usize,
    resident: u64,
}

impl Before {
    fn of(daemon: &Daemon) -> Self {
        Others::of(daemon).are_served();
        processes::eventually("it comes to rest", || {
            let sockets = processes::sockets(daemon.number());
            thread::park_timeout(Duration::from_millis(20));
            sockets == processes::sockets(daemon.number())
        });
        let pid = daemon.number();
        Self { sockets: processes::sockets(pid), resident: processes::resident(pid) }
    }

    #[track_caller]
    fn check_memory(&self, daemon: &Daemon, what: &str) -> u64 {
        let grown = processes::resident(daemon.number()).saturating_sub(self.resident);
        assert!(grown < SLACK, "{what}: {grown} bytes more");
        grown
    }

    /// Memory as before, and no connection is left.
    #[track_caller]
    fn check(&self, daemon: &Daemon, what: &str) {
        let grown = self.check_memory(daemon, what);
        processes::eventually("the connections are gone", || {
            processes::sockets(daemon.number()) <= self.sockets
        });
        measured(format_args!("{what}: {grown} bytes more"));
    }
}

/// Somebody else: who is connected, and who comes.
struct Others {
    dealer: Zmtp,
    place: String,
}

impl Others {
    fn of(daemon: &Daemon) -> Self {
        let dealer = Zmtp::connect(daemon.zmq(), "DEALER");
        Self { dealer, place: daemon.zmq().to_owned() }
    }

    #[track_caller]
    fn are_served(&mut self) {
        self.dealer.ok("system.health", json!({}));
        Zmtp::connect(&self.place, "REQ").ok("system.health", json!({}));
    }
}

/// Both doors, with a type of socket that each lets in.
fn doors(daemon: &Daemon) -> [(&str, &'static str); 2] {
    [(daemon.zmq(), "DEALER"), (daemon.publisher(), "SUB")]
}

/// A connection that has said `bytes`.
fn begun(place: &str, bytes: &[u8]) -> Wire {
    let mut wire = Wire::connect(place);
    // The daemon may cut it in the middle.
    drop(wire.write_all(bytes));
    wire
}

/// Reads until the daemon cuts the connection.
#[track_caller]
fn is_cut(mut wire: Wire, what: &str) {
    let mut heard = [0; 4096];
    loop {
        match wire.read(&mut heard) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{what} is not cut: {error}"),
        }
    }
}

/// Greeting and READY of a peer that is let in.
fn let_in(socket_type: &str) -> Vec<u8> {
    [greeting(), ready(socket_type, b"")].concat()
}

/// The head of a frame that announces `bytes`.
fn huge(flags: u8, bytes: u64) -> Vec<u8> {
    [&[flags | 2][..], &bytes.to_be_bytes()].concat()
}

#[test]
fn frames_that_announce_terabytes_cost_nothing() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let sizes = [256 << 30, 4 << 40, 17 << 40, i64::MAX as u64, u64::MAX];
    for round in 0..torture(100).max(3) {
        for (place, socket_type) in doors(&daemon) {
            for bytes in sizes {
                for (flags, when) in [(0, greeting()), (4, greeting()), (4, let_in(socket_type))] {
                    let what = format!("{bytes} bytes, flags {flags} at {place}, round {round}");
                    is_cut(begun(place, &[when, huge(flags, bytes)].concat()), &what);
                }
                // After the handshake a message may be skipped until its sender gives up.
                for flags in [0, 1] {
                    let announced = [let_in(socket_type), huge(flags, bytes)].concat();
                    drop(begun(place, &[announced, vec![b'x'; PIECE]].concat()));
                }
            }
        }
        others.are_served();
        before.check_memory(&daemon, "announced terabytes");
    }
    drop(others);
    before.check(&daemon, "announced terabytes");
}

#[test]
fn silent_sockets_are_cut_and_nobody_else_notices() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let count = torture(500).max(100);
    // Nothing, half a greeting, a whole one, half of what follows.
    let said = [&greeting()[..], &ready("DEALER", b"")[..9]].concat();
    let lengths = [0, 11, 64, said.len()];
    let mut silent = Vec::new();
    for number in 0..count {
        let (place, _) = doors(&daemon)[number % 2];
        silent.push(begun(place, &said[..lengths[number / 2 % lengths.len()]]));
        if number % 50 == 0 {
            others.are_served();
        }
    }
    others.are_served();
    before.check_memory(&daemon, "silent sockets");
    for wire in silent {
        is_cut(wire, "a silent socket");
    }
    drop(others);
    before.check(&daemon, "silent sockets");
}

/// Writes `piece` again and again; whether it was cut before `most` bytes were taken.
#[track_caller]
fn is_cut_within(wire: &mut Wire, piece: &[u8], most: usize) -> bool {
    let mut taken = 0;
    while taken < most {
        match wire.write(piece) {
            Ok(bytes) => taken += bytes,
            Err(error) => {
                let kind = error.kind();
                let cut = matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
                assert!(cut, "{error}");
                return true;
            }
        }
    }
    false
}

#[test]
fn a_message_without_end_is_cut() {
    const ENDLESS: usize = 256 << 20;
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for _ in 0..torture(20).max(1) {
        for (place, socket_type) in doors(&daemon) {
            for size in [0, 1, 200, 60_000] {
                let mut wire = begun(place, &let_in(socket_type));
                // Every frame says that another one follows.
                let mut frame = message(&[&vec![b'x'; size]]);
                frame[0] |= 1;
                let piece = frame.repeat((PIECE / frame.len()).max(1));
                let is_cut = is_cut_within(&mut wire, &piece, ENDLESS);
                assert!(is_cut, "frames of {size} bytes at {place} are taken for ever");
                before.check_memory(&daemon, "endless multipart");
                others.are_served();
            }
        }
    }
    drop(others);
    before.check(&daemon, "endless multipart");
}

#[test]
fn an_identity_of_somebody_else_gives_nothing() {
    let daemon = start();
    let mut victim = Zmtp::connect_as(daemon.zmq(), "DEALER", b"victim");
    victim.ok("system.health", json!({}));
    for _ in 0..torture(200).max(10) {
        let mut thief = Zmtp::connect_as(daemon.zmq(), "DEALER", b"victim");
        let ask = |id: &str| {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "system.health"});
            message(&[b"", request.to_string().as_bytes()])
        };
        victim.write(&ask("mine")).expect("the victim is connected");
        thief.write(&ask("yours")).expect("the thief is connected");
        for (peer, id) in [(&mut victim, "mine"), (&mut thief, "yours")] {
            let answer = peer.receive().expect("each is answered");
            let answer: serde_json::Value = serde_json::from_slice(&answer[1]).expect("JSON");
            assert_eq!(answer["id"], id);
        }
    }
    victim.ok("system.health", json!({}));
}

#[test]
fn what_breaks_the_protocol_is_cut() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let mut version = greeting();
    version[10] = 2;
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    for _ in 0..torture(50).max(3) {
        for (place, socket_type) in doors(&daemon) {
            for flags in [8, 16, 32, 64, 128, 0xff] {
                let reserved = [let_in(socket_type), vec![flags, 1, b'x']].concat();
                is_cut(begun(place, &reserved), &format!("flags {flags} at {place}"));
            }
            let broken: [(&str, Vec<u8>); 7] = [
                ("another protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3)),
                ("ZMTP 2", [version.clone(), ready(socket_type, b"")].concat()),
                ("CURVE", [curve.clone(), ready(socket_type, b"")].concat()),
                ("a type that does not fit", let_in("PUSH")),
                ("a type that is none", let_in("\u{0}\u{1}\u{2}")),
                ("a message before READY", [greeting(), message(&[b"", b"{}"])].concat()),
                ("no READY at all", [greeting(), b"\x04\x06\x05ERROR".to_vec()].concat()),
            ];
            for (what, bytes) in broken {
                is_cut(begun(place, &bytes), &format!("{what} at {place}"));
            }
        }
        others.are_served();
    }
    drop(others);
    before.check(&daemon, "broken protocol");
}

/// One that sends a byte now and then.
struct Slow {
    wire: Wire,
    left: std::vec::IntoIter<u8>,
}

impl Slow {
    fn begin(place: &str, at_once: &[u8], slowly: Vec<u8>) -> Self {
        let wire = begun(place, at_once);
        wire.set_nonblocking();
        Self { wire, left: slowly.into_iter() }
    }

    /// Sends its next byte; false once it has been cut.
    fn goes_on(&mut self) -> bool {
        let byte = self.left.next().expect("it is cut before it is done");
        if self.wire.write_all(&[byte]).is_err() {
            return false;
        }
        let mut heard = [0; 4096];
        loop {
            match self.wire.read(&mut heard) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

#[test]
fn who_sends_a_byte_now_and_then_is_cut() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let began = Instant::now();
    let hello = [greeting(), vec![4, 250], vec![b'x'; 300]].concat();
    let mut all: Vec<Slow> = (0..torture(200).max(20))
        .map(|number| {
            let (place, _) = doors(&daemon)[number % 2];
            // From the first byte on, or from the middle of the handshake on.
            let at = [0, 20, 64][number % 3];
            Slow::begin(place, &hello[..at], hello[at..].to_vec())
        })
        .collect();
    while !all.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{} are not cut", all.len());
        all.retain_mut(Slow::goes_on);
        others.are_served();
        thread::park_timeout(BEAT);
    }
    measured(format_args!("the last was cut after {:?}", began.elapsed()));
    drop(others);
    before.check(&daemon, "a byte now and then");
}

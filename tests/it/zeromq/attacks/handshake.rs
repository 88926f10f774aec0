//! Before a peer is let in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Before, Door, Others, doors, huge, is_cut};
use crate::rig::zmtp::{Wire, Zmtp, command, greeting, message, ready};
use crate::rig::{Caller, PATIENCE, measured, torture};
use crate::zeromq::start;

/// Between two bytes of who is slow.
const BEAT: Duration = Duration::from_millis(250);

#[test]
fn silent_sockets_are_cut_and_nobody_else_notices() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let count = torture(500).max(100);
    // Nothing, half a greeting, a whole one, half of what follows.
    let said = [&greeting()[..], &ready("DEALER", b"")[..9]].concat();
    let lengths = [0, 11, 64, said.len()];
    let doors = doors(&daemon);
    let mut silent = Vec::new();
    for number in 0..count {
        let length = lengths[number / doors.len() % lengths.len()];
        silent.push(doors[number % doors.len()].begun(&said[..length]));
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

#[test]
fn what_is_no_handshake_is_cut() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let mut version = greeting();
    version[10] = 2;
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let said = |commands: &[u8]| [&greeting()[..], commands].concat();
    let metadata = |bytes: &[u8]| said(&command(&[b"\x05READY", bytes].concat()));
    for _ in 0..torture(50).max(3) {
        for door in doors(&daemon) {
            let long = ready(door.socket_type, &[b'x'; 256]);
            let broken: [(&str, Vec<u8>); 16] = [
                ("another protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3)),
                ("ZMTP 2", [version.clone(), ready(door.socket_type, b"")].concat()),
                ("CURVE", [curve.clone(), ready(door.socket_type, b"")].concat()),
                ("a type that does not fit", said(&ready("PUSH", b""))),
                ("a type that is none", said(&ready("\u{0}\u{1}\u{2}", b""))),
                ("no type", metadata(b"\x01x\0\0\0\x01y")),
                ("no name", metadata(b"\0\0\0\0\x01y")),
                ("a value of 4 GiB", metadata(b"\x0bSocket-Type\xff\xff\xff\xffDEALER")),
                ("metadata that is cut off", metadata(b"\x0bSocket-Ty")),
                ("2 MB of metadata", metadata(&b"\x01x\0\0\0\x01y".repeat(300_000))),
                ("a long identity", said(&long)),
                ("a message before READY", said(&message(&[b"", b"{}"]))),
                ("ERROR", said(b"\x04\x06\x05ERROR")),
                ("PING before READY", said(b"\x04\x07\x04PING\0\0")),
                ("SUBSCRIBE before READY", said(b"\x04\x0b\x09SUBSCRIBEx")),
                ("READY and MORE", said(&[&[5], &ready(door.socket_type, b"")[1..]].concat())),
            ];
            for (what, bytes) in broken {
                door.cuts(&bytes, what);
            }
        }
        others.are_served();
    }
    drop(others);
    before.check(&daemon, "what is no handshake");
}

#[test]
fn a_frame_of_terabytes_instead_of_ready_costs_nothing() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for round in 0..torture(100).max(3) {
        for door in doors(&daemon) {
            for bytes in super::frames::SIZES {
                for flags in [0, 1, 4] {
                    let announced = [greeting(), huge(flags, bytes)].concat();
                    door.cuts(&announced, &format!("{bytes} bytes, {flags}, round {round}"));
                }
            }
        }
        others.are_served();
        before.check_memory(&daemon, "announced terabytes");
    }
    drop(others);
    before.check(&daemon, "terabytes instead of READY");
}

#[test]
fn a_handshake_that_comes_byte_by_byte_is_one() {
    let daemon = start();
    for door in doors(&daemon) {
        let mut wire = Wire::connect(&door.place);
        for byte in door.let_in() {
            wire.write_all(&[byte]).expect("the daemon reads");
        }
        let mut peer = Zmtp::greeted(wire);
        if door.socket_type == "DEALER" {
            peer.ok("system.health", json!({}));
        }
    }
}

/// One that sends a byte now and then.
struct Slow {
    wire: Wire,
    left: std::vec::IntoIter<u8>,
}

impl Slow {
    fn begin(door: &Door, at_once: &[u8], slowly: Vec<u8>) -> Self {
        let wire = door.begun(at_once);
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
    let doors = doors(&daemon);
    let mut all: Vec<Slow> = (0..torture(200).max(20))
        .map(|number| {
            // From the first byte on, or from the middle of the handshake on.
            let at = [0, 20, 64][number % 3];
            Slow::begin(&doors[number % doors.len()], &hello[..at], hello[at..].to_vec())
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

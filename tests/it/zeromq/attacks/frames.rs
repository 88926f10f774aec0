//! Frames that none should send, from a peer that was let in.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{Before, Others, Poured, doors, huge, pour};
use crate::rig::zmtp::{Zmtp, command, message};
use crate::rig::{Caller, PATIENCE, torture};
use crate::zeromq::start;

/// From 256 GiB on.
pub(super) const SIZES: [u64; 5] = [256 << 30, 4 << 40, 17 << 40, i64::MAX as u64, u64::MAX];
const PIECE: usize = 64 << 10;

#[test]
fn frames_that_announce_terabytes_cost_nothing() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for round in 0..torture(100).max(3) {
        for door in doors(&daemon) {
            for bytes in SIZES {
                for flags in [0, 1, 4] {
                    // As the first frame, as the second of a message, with some of it sent.
                    for first in [&b""[..], &[1, 0]] {
                        let some = [b'x'; 1000];
                        let said = [&door.let_in(), first, &huge(flags, bytes), &some].concat();
                        door.cuts(&said, &format!("{bytes} bytes, {flags}, round {round}"));
                    }
                }
                // A subscription of ZMTP 3.0, and one of 3.1.
                let old = [&door.let_in()[..], &huge(0, bytes), b"\x01agent/"].concat();
                door.cuts(&old, &format!("a prefix of {bytes} bytes, round {round}"));
                let new = [&door.let_in()[..], &huge(4, bytes), b"\x09SUBSCRIBEagent/"].concat();
                door.cuts(&new, &format!("SUBSCRIBE to {bytes} bytes, round {round}"));
            }
        }
        others.are_served();
        before.check_memory(&daemon, "announced terabytes");
    }
    drop(others);
    before.check(&daemon, "announced terabytes");
}

#[test]
fn a_message_without_end_is_cut() {
    const ENDLESS: usize = 256 << 20;
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for _ in 0..torture(20).max(1) {
        for door in doors(&daemon) {
            for size in [0, 1, 200, 60_000] {
                let mut wire = door.begun(&door.let_in());
                // Every frame says that another one follows.
                let mut frame = message(&[&vec![b'x'; size]]);
                frame[0] |= 1;
                let piece = frame.repeat((PIECE / frame.len()).max(1));
                let became = pour(&mut wire, &piece, ENDLESS, PATIENCE);
                assert_eq!(became, Poured::Cut, "frames of {size} bytes at {}", door.place);
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
            let answer: Value = serde_json::from_slice(&answer[1]).expect("JSON");
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
    let ping = |context: &[u8]| command(&[b"\x04PING\0\0", context].concat());
    let more = |mut frame: Vec<u8>| {
        frame[0] |= 1;
        frame
    };
    for _ in 0..torture(50).max(3) {
        for door in doors(&daemon) {
            for flags in [8, 16, 32, 64, 128, 0xff] {
                let reserved = [door.let_in(), vec![flags, 1, b'x']].concat();
                door.cuts(&reserved, &format!("flags {flags}"));
            }
            let broken: [(&str, Vec<u8>); 9] = [
                ("PING and MORE", more(ping(b""))),
                ("SUBSCRIBE and MORE", more(command(b"\x09SUBSCRIBEagent/"))),
                ("an empty command", command(b"")),
                ("a command without a name", command(b"\0agent/")),
                ("a command whose name is cut off", command(b"\x09SUBSCR")),
                ("PING without its promise", command(b"\x04PING")),
                ("PING with much to say", ping(&[b'x'; 17])),
                ("a long command", command(&[&b"\x04JOIN"[..], &[b'x'; 4096]].concat())),
                ("ERROR", command(b"\x05ERROR\x05sorry")),
            ];
            for (what, frame) in broken {
                door.cuts(&[door.let_in(), frame].concat(), what);
            }
        }
        others.are_served();
    }
    drop(others);
    before.check(&daemon, "broken protocol");
}

#[test]
fn halves_of_long_messages_are_bounded_together() {
    const LONG: u64 = 10_000_000;
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let doors = doors(&daemon);
    let begun = vec![b'x'; 9_900_000];
    let mut halves = Vec::new();
    for number in 0..torture(200).max(30) {
        let door = &doors[number % doors.len()];
        let begin = [&door.let_in()[..], &huge(0, LONG), &begun].concat();
        // At the publisher's doors so long a message is cut.
        let mut wire = door.begun(b"");
        if wire.write_all(&begin).is_ok() {
            halves.push(wire);
        }
        others.are_served();
        before.check_memory(&daemon, "halves of long messages");
    }
    drop((halves, others));
    before.check(&daemon, "halves of long messages");
}

#[test]
fn half_a_message_that_comes_slowly_holds_up_nobody() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let doors = doors(&daemon);
    let mut slow: Vec<_> = (0..torture(200).max(20))
        .map(|number| {
            let door = &doors[number % doors.len()];
            // Most of a message of ten thousand bytes.
            let begin = [&door.let_in()[..], &huge(0, 10_000), &[b'x'; 9000]].concat();
            door.begun(&begin)
        })
        .collect();
    for _ in 0..torture(100).max(10) {
        for wire in &mut slow {
            wire.write_all(b"x").expect("nothing is wrong yet");
        }
        others.are_served();
    }
    before.check_memory(&daemon, "halves of messages");
    drop((slow, others));
    before.check(&daemon, "halves of messages");
}

//! What is allowed, without end, from who reads no answer.

use std::time::Duration;

use super::{Before, Others, Poured, doors, pour};
use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, command, greeting, message, ready};
use crate::rig::{measured, torture};
use crate::zeromq::start;

/// What one of them sends at the full count.
const FLOOD: usize = 16 << 20;
/// Whose bytes are not taken for so long has sent enough.
const STUCK: Duration = Duration::from_millis(100);

/// A peer of ZMTP 3.1 if `minor` says so.
fn let_in(socket_type: &str, minor: u8) -> Vec<u8> {
    let mut greeting = greeting();
    greeting[11] = minor;
    [greeting, ready(socket_type, b"")].concat()
}

/// A call behind each of many envelopes.
fn envelopes() -> Vec<u8> {
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
    (0..1000_u32).flat_map(|number| message(&[&number.to_be_bytes(), b"", call])).collect()
}

/// What is sent again and again, to whom.
fn floods() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let discover = br#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    let nothing = message(&[b""]);
    let ping = command(b"\x04PING\0\x0acontext");
    let unknown = command(b"\x04JOINgroup");
    let both: Vec<(&str, Vec<u8>)> = vec![
        ("empty messages", nothing),
        ("empty messages of many frames", message(&[&b""[..]; 100])),
        ("PING", ping),
        ("PONG", command(b"\x04PONG")),
        ("a command that nobody knows", unknown),
        ("READY again", ready("DEALER", b"somebody")),
        ("CANCEL", command(b"\x06CANCELagent/")),
    ];
    let mut floods: Vec<_> = ["DEALER", "SUB"]
        .into_iter()
        .flat_map(|kind| both.iter().map(move |(what, piece)| (kind, *what, piece.clone())))
        .collect();
    floods.extend([
        ("DEALER", "calls", message(&[b"", discover])),
        ("DEALER", "what is no JSON", message(&[b"", b"{\"jsonrpc\":"])),
        ("DEALER", "what is no MessagePack", message(&[b"", b"\xdf\xff\xff\xff\xff"])),
        ("DEALER", "envelopes", envelopes()),
        ("SUB", "the same subscription", message(&[b"\x01agent/"])),
        ("SUB", "SUBSCRIBE", command(b"\x09SUBSCRIBEagent/")),
        ("SUB", "what was not subscribed", message(&[b"\0nothing"])),
        ("SUB", "what is no subscription", message(&[b"\x02hello"])),
    ]);
    floods
}

/// One flood at each of the doors, by ZMTP 3.0 and by 3.1; who sent it stays connected.
fn flooded(daemon: &Daemon, kind: &str, piece: &[u8]) -> Vec<(Wire, Poured)> {
    let piece = piece.repeat((16_384 / piece.len()).max(1));
    doors(daemon)
        .iter()
        .filter(|door| door.socket_type == kind)
        .zip([0, 1])
        .map(|(door, minor)| {
            let mut wire = door.begun(&let_in(kind, minor));
            let poured = pour(&mut wire, &piece, torture(FLOOD), STUCK);
            (wire, poured)
        })
        .collect()
}

#[test]
fn what_comes_without_end_costs_little_and_holds_up_nobody() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for (kind, what, piece) in floods() {
        let peers = flooded(&daemon, kind, &piece);
        others.are_served();
        let grown = before.check_memory(&daemon, what);
        let became: Vec<_> = peers.iter().map(|(_, poured)| poured).collect();
        measured(format_args!("{what} from {kind}: {became:?}, {grown} bytes more"));
    }
    drop(others);
    before.check(&daemon, "floods");
}

#[test]
fn a_thousand_that_are_let_in_and_do_nothing_cost_little() {
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    let doors = doors(&daemon);
    let mut idle = Vec::new();
    for number in 0..torture(1000).max(100) {
        let door = &doors[number % doors.len()];
        idle.push(door.begun(&door.let_in()));
        if number % 50 == 0 {
            others.are_served();
        }
    }
    others.are_served();
    let grown = before.check_memory(&daemon, "idle peers");
    measured(format_args!("{} idle peers: {grown} bytes more", idle.len()));
    drop((idle, others));
    before.check(&daemon, "idle peers");
}

//! Who subscribes to more than anybody needs.

use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use super::{Before, Door, Others, doors};
use crate::rig::agents::{spawn, wait};
use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, Zmtp, command, message};
use crate::rig::{measured, parrot, torture};
use crate::zeromq::start;
use crate::zeromq::subscribing::Bell;

/// How a subscription, or its end, is said.
type Form = fn(bool, &[u8]) -> Vec<u8>;

/// As a message (ZMTP 3.0), as a command (3.1).
const FORMS: [Form; 2] = [
    |subscribe, prefix| message(&[&[&[u8::from(subscribe)], prefix].concat()]),
    |subscribe, prefix| {
        let name: &[u8] = if subscribe { b"\x09SUBSCRIBE" } else { b"\x06CANCEL" };
        command(&[name, prefix].concat())
    },
];

fn publishers(daemon: &Daemon) -> impl Iterator<Item = Door> {
    doors(daemon).into_iter().filter(|door| door.socket_type == "SUB")
}

/// Writes all of it, or is cut before.
#[track_caller]
fn is_cut_by(wire: &mut Wire, bytes: impl Iterator<Item = Vec<u8>>) -> bool {
    for piece in bytes {
        if let Err(error) = wire.write_all(&piece) {
            let cut = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind());
            assert!(cut, "{error}");
            return true;
        }
    }
    false
}

#[test]
fn who_subscribes_to_a_million_prefixes_is_cut() {
    // Enough to fill what the kernel holds many times over.
    const PREFIXES: u64 = 1_000_000;
    const AT_ONCE: u64 = 1000;
    let daemon = start();
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for _ in 0..torture(20) {
        for door in publishers(&daemon) {
            for said in FORMS {
                let pieces = (0..PREFIXES / AT_ONCE).map(|block| {
                    let numbers = block * AT_ONCE..(block + 1) * AT_ONCE;
                    numbers.flat_map(|n| said(true, format!("agent/{n:020}").as_bytes())).collect()
                });
                let mut wire = door.begun(&door.let_in());
                assert!(is_cut_by(&mut wire, pieces), "a million prefixes at {}", door.place);
                // Few and long ones are too much as well.
                let long = |n: u64| said(true, &[&n.to_be_bytes()[..], &[b'x'; 1000]].concat());
                let mut wire = door.begun(&door.let_in());
                assert!(is_cut_by(&mut wire, (0..50_000).map(long)), "long ones at {}", door.place);
                before.check_memory(&daemon, "a million prefixes");
                others.are_served();
            }
        }
    }
    drop(others);
    before.check(&daemon, "a million prefixes");
}

#[test]
fn who_changes_its_mind_without_end_costs_little_and_holds_up_nobody() {
    /// Prefixes that it keeps.
    const KEPT: u64 = 60;
    let daemon = start();
    let bell = Bell::of(&daemon);
    let mut socket = daemon.socket();
    let flood = |socket: &mut _| {
        let id = spawn(socket, &parrot::flood(24 << 20));
        wait(socket, &id);
    };
    flood(&mut socket);
    let before = Before::of(&daemon);
    let mut others = Others::of(&daemon);
    for door in publishers(&daemon) {
        // What it still has to be told is behind what it does not take.
        for is_behind in [false, true] {
            let wanted = is_behind.then_some("agent/");
            let mut wire = bell.subscriber(&door.place, wanted).into_wire();
            if is_behind {
                flood(&mut socket);
            }
            let prefix = |n: u64| [&n.to_be_bytes()[..], &[b'x'; 900]].concat();
            let change = |n: u64| {
                let said = FORMS[n as usize % FORMS.len()];
                let end = n.checked_sub(KEPT).map(|old| said(false, &prefix(old)));
                [said(true, &prefix(n)), end.unwrap_or_default()].concat()
            };
            let (mut most, mut asked) = (0, Duration::ZERO);
            let was_cut = (0..torture(200_000) as u64).step_by(1000).any(|n| {
                let began = Instant::now();
                others.are_served();
                asked = asked.max(began.elapsed());
                most = most.max(before.check_memory(&daemon, "changes of mind"));
                is_cut_by(&mut wire, (n..n + 1000).map(change))
            });
            // Who takes nothing for long is cut, whatever it says meanwhile.
            assert!(is_behind || !was_cut, "it wants little at any time");
            measured(format_args!(
                "changes of mind at {}, behind: {is_behind}, cut: {was_cut}: {most} bytes more, \
                 others asked for {asked:?}",
                door.place
            ));
        }
    }
    drop(others);
    before.check(&daemon, "changes of mind");
}

#[test]
fn what_was_not_subscribed_can_be_cancelled_and_nothing_happens() {
    let daemon = start();
    let bell = Bell::of(&daemon);
    for door in publishers(&daemon) {
        for said in FORMS {
            let mut peer = Zmtp::connect(&door.place, "SUB");
            let nothing = said(false, bell.topic().as_bytes());
            for _ in 0..torture(100).max(10) {
                peer.write(&nothing.repeat(1000)).expect("the daemon reads");
            }
            // Cancelled in advance is not cancelled.
            peer.write(&said(true, bell.topic().as_bytes())).expect("the daemon reads");
            bell.await_sound(&peer);
        }
        drop(bell.subscriber(&door.place, None));
    }
}

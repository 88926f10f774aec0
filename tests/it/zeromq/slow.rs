//! Who never reads, beside others who do.

use std::collections::HashMap;
use std::io::{ErrorKind, Write as _};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::start;
use super::subscribing::{Bell, Subscriber, member};
use crate::rig::agents::{spawn, wait};
use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, Zmtp, message};
use crate::rig::{Caller, PATIENCE, measured, parrot, processes, torture};

/// How much memory one peer that never reads may cost.
const SLACK: u64 = 64 << 20;
/// Subscribers that read.
const GOOD: usize = 20;
/// Agents that write at the same time.
const WRITERS: usize = 4;
/// Bytes of a message.
const PIECE: usize = 4096;

/// Reads until all of `writers` have ended, each of which wrote `each` bytes; gives how many
/// messages their output was.
fn read_all(mut subscriber: Subscriber, writers: &[String], each: usize) -> u64 {
    let (mut messages, mut ended) = (0, 0);
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut last: HashMap<String, String> = HashMap::new();
    while ended < writers.len() {
        let (topic, json) = subscriber.message();
        if !writers.iter().any(|id| topic.contains(id.as_str())) {
            continue;
        }
        let offset: u64 = member(&json, "offset").parse().expect("a number");
        let expected = next.entry(topic.clone()).or_default();
        assert_eq!(offset, *expected, "a hole in {json:.300}");
        *expected += 1;
        match member(&json, "type") {
            "agent.exited" => ended += 1,
            "agent.output" => {
                last.insert(topic, json);
                messages += 1;
            }
            _ => {}
        }
    }
    assert_eq!(last.len(), writers.len(), "each has written");
    for json in last.values() {
        let event: Value = serde_json::from_str(json).expect("an event");
        let data = &event["data"];
        let text = data["text"].as_str().expect("what was written is text");
        assert_eq!(data["byte_offset"], each - text.len(), "where the last of {each} bytes begins");
    }
    messages
}

#[test]
fn twenty_get_everything_beside_one_that_never_reads_and_memory_stays() {
    // 200,000 messages of 4 KB.
    let pieces = torture(200_000) / WRITERS;
    let daemon = start();
    let mut socket = daemon.socket();
    // The first flood fills what is kept in memory anyway.
    let warm = spawn(&mut socket, &parrot::flood(24 << 20));
    wait(&mut socket, &warm);
    let bell = Bell::of(&daemon);
    let stuck = bell.subscriber(daemon.publisher(), Some(""));
    let good: Vec<_> =
        (0..GOOD).map(|_| bell.subscriber(daemon.publisher(), Some("agent/"))).collect();
    let before = processes::resident(daemon.number());
    let began = Instant::now();
    let writers: Vec<String> =
        (0..WRITERS).map(|_| spawn(&mut socket, &parrot::pieces(pieces, PIECE))).collect();
    let messages: Vec<u64> = thread::scope(|scope| {
        let read = |subscriber| scope.spawn(|| read_all(subscriber, &writers, pieces * PIECE));
        let readers: Vec<_> = good.into_iter().map(read).collect();
        readers.into_iter().map(|reader| reader.join().expect("it reads to the end")).collect()
    });
    let grown = processes::resident_peak(daemon.number()).saturating_sub(before);
    measured(format_args!(
        "{WRITERS} times {pieces} pieces of {PIECE} bytes to {GOOD} in {:?}: {} messages each; \
         {grown} bytes more",
        began.elapsed(),
        messages[0],
    ));
    assert!(messages.iter().all(|each| *each == messages[0]), "{messages:?}");
    assert!(grown < SLACK, "{grown} bytes more");
    drop(stuck);
}

/// Asks until `count` answers are due, or nothing more is taken for a while; how many were asked for.
fn ask_and_never_read(place: &str, count: usize) -> (Wire, usize) {
    let mut wire = Zmtp::connect(place, "DEALER").into_wire();
    wire.set_nonblocking();
    // In MessagePack, so that more of them fit into what the kernel holds.
    let ask = b"\x83\xa7jsonrpc\xa32.0\xa2id\x01\xa6method\xacrpc.discover";
    let ask = message(&[b"", ask]);
    let block = ask.repeat(64);
    let (mut taken, mut full_since) = (0, None::<Instant>);
    while taken < count * ask.len() {
        match wire.write(&block[taken % ask.len()..]) {
            Ok(bytes) => (taken, full_since) = (taken + bytes, None),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                let since = full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(500) {
                    break;
                }
                thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
    (wire, taken / ask.len())
}

/// Forty askers at once, `times` each; the longest time that one of them waited, and the middle one.
fn served(daemon: &Daemon, times: usize) -> (Duration, Duration) {
    const ASKERS: usize = 40;
    let together = Barrier::new(ASKERS);
    let ask = || {
        let mut peer = Zmtp::connect(daemon.zmq(), "DEALER");
        together.wait();
        let mut waits = Vec::with_capacity(times);
        for _ in 0..times {
            let asked = Instant::now();
            let health: Value = peer.ok("system.health", json!({}));
            assert_eq!(health["status"], "healthy");
            waits.push(asked.elapsed());
        }
        waits
    };
    let mut all: Vec<Duration> = thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().flat_map(|asker| asker.join().expect("it is served")).collect()
    });
    all.sort_unstable();
    (all[all.len() - 1], all[all.len() / 2])
}

#[test]
fn a_peer_that_never_reads_its_answers_holds_up_nobody() {
    let daemon = start();
    served(&daemon, 20);
    let before = processes::resident(daemon.number());
    let (quiet_worst, quiet) = served(&daemon, torture(2_000).max(100));
    let (stuck, due) = ask_and_never_read(daemon.zmq(), 100_000);
    let (worst, usual) = served(&daemon, torture(2_000).max(100));
    let grown = processes::resident(daemon.number()).saturating_sub(before);
    measured(format_args!(
        "beside {due} answers due: middle {usual:?} (before {quiet:?}), longest {worst:?} (before \
         {quiet_worst:?}), {grown} bytes more"
    ));
    let allowed = Duration::from_millis(500).max(quiet_worst * 5);
    assert!(usual < allowed, "{quiet:?} became {usual:?}");
    // On a quiet machine this is 500 ms; where forty already wait for the processor it is more.
    assert!(worst < allowed.max(PATIENCE / 6), "{quiet_worst:?} became {worst:?}");
    assert!(grown < SLACK, "{grown} bytes more");
    drop(stuck);
}

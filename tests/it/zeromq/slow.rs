//! Who never reads, beside others who do.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::start;
use crate::rig::agents::{spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::zmtp::{Wire, Zmtp, message};
use crate::rig::{Caller, PATIENCE, measured, parrot, processes, torture};

/// How much memory one peer that never reads may cost.
const SLACK: u64 = 64 << 20;

/// A subscriber that checks by the offsets of each topic that it missed nothing, and reads back
/// what it did.
struct Reader {
    peer: Zmtp,
    /// The last offset and cursor of each topic.
    last: BTreeMap<String, (u64, String)>,
    received: u64,
    missed: u64,
    read_back: u64,
}

/// The head of an event stands before its body.
fn head(json: &[u8]) -> (u64, String) {
    let head = String::from_utf8_lossy(&json[..json.len().min(400)]).into_owned();
    let after = |name: &str| {
        let at = head.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {head}"));
        &head[at + name.len() + 3..]
    };
    let digits: String = after("offset").chars().take_while(char::is_ascii_digit).collect();
    let cursor = after("cursor").split('"').nth(1).expect("a text").to_owned();
    (digits.parse().expect("a number"), cursor)
}

impl Reader {
    fn new(peer: Zmtp) -> Self {
        Self { peer, last: BTreeMap::new(), received: 0, missed: 0, read_back: 0 }
    }

    /// Reads until an agent has exited, and goes back for what it missed.
    fn read(mut self, daemon: &Daemon) -> Self {
        loop {
            let frames = self.peer.receive().expect("a good subscriber is not cut");
            let [frame] = &frames[..] else { panic!("{} frames", frames.len()) };
            let space = frame.iter().position(|byte| *byte == b' ').expect("topic SP json");
            let topic = String::from_utf8(frame[..space].to_vec()).expect("a topic is text");
            let (offset, cursor) = head(&frame[space + 1..]);
            self.received += 1;
            if let Some((before, since)) = self.last.get(&topic).cloned() {
                assert!(offset > before, "{topic}: {offset} after {before}");
                let missed = offset - before - 1;
                if missed > 0 {
                    self.missed += missed;
                    self.read_back += read_back(daemon, &topic, &since, offset);
                }
            }
            self.last.insert(topic, (offset, cursor));
            if frame.windows(14).take(1000).any(|part| part == b"\"agent.exited\"") {
                return self;
            }
        }
    }
}

/// How many events of `topic` are after `since` and before `offset`.
fn read_back(daemon: &Daemon, topic: &str, since: &str, offset: u64) -> u64 {
    let (mut http, mut cursor, mut count) = (daemon.http(), since.to_owned(), 0);
    loop {
        let page = http.ok("event.read", json!({"topics": [topic], "after": cursor}));
        assert_eq!(page["gaps"], json!([]), "{topic} can be read back");
        for event in page["events"].as_array().expect("a page has events") {
            if event["offset"].as_u64().expect("a number") >= offset {
                return count;
            }
            count += 1;
        }
        text(&page["cursor"]).clone_into(&mut cursor);
    }
}

/// A subscriber to everything of agents whose subscription is known to the daemon.
fn subscriber(daemon: &Daemon, told: &str) -> Zmtp {
    let mut peer = Zmtp::connect(daemon.publisher(), "SUB");
    peer.subscribe("agent/");
    let began = Instant::now();
    let mut socket = daemon.socket();
    // It hears something: then it is subscribed.
    let wire = peer.wire();
    while !wire.readable_within(Duration::from_millis(50)) {
        assert!(began.elapsed() < PATIENCE, "a subscription has no effect");
        socket.ok("agent.write_stdin", json!({"agent_id": told, "text": "hello\n"}));
    }
    peer
}

#[test]
fn a_subscriber_that_never_reads_costs_the_others_nothing() {
    const GOOD: usize = 20;
    // 200,000 messages of 4 KB.
    let bytes = torture(200_000) * 4096;
    let keep = "[retention]\noutput_bytes_per_agent = 4000000000\n";
    let flags = ["--zmq-port=0", "--pub-port=0"];
    let daemon = flags.iter().fold(Setup::new().config(keep), |setup, flag| setup.flag(flag));
    let daemon = daemon.start();
    let mut socket = daemon.socket();
    // The first flood fills what is kept in memory anyway.
    let warm = spawn(&mut socket, &parrot::flood(24 << 20));
    wait(&mut socket, &warm);
    let told = spawn(&mut socket, &parrot::parrot(&["echo"]));
    let stuck = subscriber(&daemon, &told);
    let good: Vec<_> = (0..GOOD).map(|_| subscriber(&daemon, &told)).collect();
    let before = processes::resident(daemon.number());
    let id = spawn(&mut socket, &parrot::flood(bytes));
    let began = Instant::now();
    let readers: Vec<Reader> = thread::scope(|scope| {
        let read = |peer| scope.spawn(|| Reader::new(peer).read(&daemon));
        let readers: Vec<_> = good.into_iter().map(read).collect();
        readers.into_iter().map(|reader| reader.join().expect("it reads to the end")).collect()
    });
    let took = began.elapsed();
    let grown = processes::resident(daemon.number()).saturating_sub(before);
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    for reader in &readers {
        assert_eq!(reader.missed, reader.read_back, "what was missed can be read back");
        let topic = format!("agent/{id}/output");
        let (last, _) = &reader.last[&topic];
        let history = last_offset(&daemon, &topic);
        assert_eq!(*last, history, "each sees the end of the output");
    }
    let missed: u64 = readers.iter().map(|reader| reader.missed).sum();
    let received: u64 = readers.iter().map(|reader| reader.received).sum();
    measured(format_args!(
        "{bytes} bytes to {GOOD} in {took:?}: {received} events received, {missed} missed and \
         read back; {grown} bytes more"
    ));
    assert!(grown < SLACK, "{grown} bytes more");
    drop(stuck);
}

/// The offset of the last event of `topic`.
fn last_offset(daemon: &Daemon, topic: &str) -> u64 {
    let (mut socket, mut cursor, mut last) = (daemon.socket(), "start".to_owned(), None);
    loop {
        let page = socket.ok("event.read", json!({"topics": [topic], "after": cursor}));
        let events = page["events"].as_array().expect("a page has events");
        last = events.last().and_then(|event| event["offset"].as_u64()).or(last);
        if page["synced"] == true {
            return last.expect("there are events");
        }
        text(&page["cursor"]).clone_into(&mut cursor);
    }
}

/// Asks until `count` answers are due, or nothing more is taken for a while; how many were asked for.
fn ask_and_never_read(place: &str, count: usize) -> (Wire, usize) {
    let mut wire = Zmtp::connect(place, "DEALER").into_wire();
    wire.set_nonblocking();
    let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}).to_string();
    let ask = message(&[b"", ask.as_bytes()]);
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

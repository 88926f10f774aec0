//! Who subscribes over ZeroMQ: everything for those who read, whoever else does not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::rig::agents::{events, spawn, wait};
use crate::rig::daemon::{Daemon, Setup, has_transport};
use crate::rig::{PATIENCE, parrot, processes, skip};

/// What subscribers may cost beside what the daemon holds for a reader anyway.
const ALLOWED: u64 = 64 * 1024 * 1024;
/// Subscribers that read.
const GOOD: usize = 20;
/// Agents that write at the same time.
const WRITERS: usize = 4;
/// How long a subscription is looked for before it is tried again.
const LOOK: Duration = Duration::from_millis(200);

/// A SUB socket that is written down here, byte for byte (RFC 23).
struct Subscriber {
    stream: BufReader<TcpStream>,
}

impl Subscriber {
    fn connect(address: SocketAddr, prefix: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the daemon publishes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        let mut hello = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
        hello.extend(b"NULL");
        hello.resize(64, 0);
        hello.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
        let length = u8::try_from(prefix.len() + 1).expect("a short prefix");
        hello.extend([0, length, 1]);
        hello.extend(prefix.as_bytes());
        stream.write_all(&hello).expect("the daemon reads");
        let mut subscriber = Self { stream: BufReader::new(stream) };
        subscriber.stream.read_exact(&mut [0; 64]).expect("a greeting");
        let (flags, ready) = subscriber.frame();
        assert!(flags == 4 && ready.starts_with(b"\x05READY"), "{ready:?}");
        subscriber
    }

    /// Whether something comes within a moment; nothing is taken.
    fn hears(&mut self) -> bool {
        let within = |limit| self.stream.get_ref().set_read_timeout(Some(limit));
        within(LOOK).expect("a socket has timeouts");
        let heard = self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        let within = |limit| self.stream.get_ref().set_read_timeout(Some(limit));
        within(PATIENCE).expect("a socket has timeouts");
        heard
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame");
        let mut length = u64::from(head[1]);
        if head[0] & 2 != 0 {
            let mut rest = [0; 7];
            self.stream.read_exact(&mut rest).expect("the rest of a length");
            length = rest.iter().fold(length, |length, byte| length << 8 | u64::from(*byte));
        }
        let mut body = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut body).expect("a whole frame");
        (head[0], body)
    }

    /// The next message: its topic and its JSON.
    fn message(&mut self) -> (String, String) {
        let (flags, body) = self.frame();
        assert_eq!(flags & !2, 0, "one frame, and no command");
        let text = String::from_utf8(body).expect("text");
        let (topic, json) = text.split_once(' ').expect("a topic and its event");
        (topic.to_owned(), json.to_owned())
    }
}

fn start() -> Option<Daemon> {
    if !has_transport("zmq") {
        skip("these programs speak no ZeroMQ");
        return None;
    }
    Some(Setup::new().flag("--pub-port=0").start())
}

/// Subscribers to `prefix` for which it is in force: each has been told of some agent.
fn subscribers(daemon: &Daemon, prefix: &str, count: usize) -> Vec<Subscriber> {
    let endpoint = daemon.endpoints["pub"].as_str().expect("the daemon publishes");
    let address = endpoint.trim_start_matches("tcp://").parse().expect("an address");
    let mut subscribers: Vec<_> =
        (0..count).map(|_| Subscriber::connect(address, prefix)).collect();
    let mut socket = daemon.socket();
    for subscriber in &mut subscribers {
        while !subscriber.hears() {
            let id = spawn(&mut socket, &parrot::shell("true"));
            wait(&mut socket, &id);
        }
    }
    subscribers
}

/// The text of a member that stands in an event before its data.
fn member<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect("a member");
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].trim_matches('"')
}

/// Reads until all of `writers` have ended; gives the bytes of what they wrote, as JSON.
fn read_all(mut subscriber: Subscriber, writers: &[String]) -> usize {
    let (mut bytes, mut ended) = (0, 0);
    let mut next: HashMap<String, u64> = HashMap::new();
    while ended < writers.len() {
        let (topic, json) = subscriber.message();
        if !writers.iter().any(|id| topic.contains(id.as_str())) {
            continue;
        }
        let offset: u64 = member(&json, "offset").parse().expect("a number");
        let expected = next.entry(topic).or_default();
        assert_eq!(offset, *expected, "a hole in {json:.300}");
        *expected += 1;
        match member(&json, "type") {
            "agent.exited" => ended += 1,
            "agent.output" => bytes += json.len(),
            _ => {}
        }
    }
    bytes
}

#[test]
fn twenty_get_everything_beside_one_that_never_reads_and_memory_stays() {
    let Some(daemon) = start() else { return };
    // As much as 200,000 messages of 4 KB.
    let each = crate::rig::torture(200_000) * 4096 / WRITERS;
    let mut socket = daemon.socket();
    // The first flood fills what is kept in memory anyway.
    let warm = spawn(&mut socket, &parrot::flood(each.min(16 << 20)));
    wait(&mut socket, &warm);
    let stuck = subscribers(&daemon, "", 1);
    let good = subscribers(&daemon, "agent/", GOOD);
    let before = processes::resident(daemon.number());
    let writers: Vec<String> =
        (0..WRITERS).map(|_| spawn(&mut socket, &parrot::flood(each))).collect();
    let reading: Vec<_> = good
        .into_iter()
        .map(|subscriber| {
            let writers = writers.clone();
            thread::spawn(move || read_all(subscriber, &writers))
        })
        .collect();
    for reader in reading {
        let bytes = reader.join().expect("every event came, in order");
        assert!(bytes >= WRITERS * each, "{bytes} bytes");
    }
    let grown = processes::resident_peak(daemon.number()).saturating_sub(before);
    crate::rig::measured(format_args!("{} MiB more for {GOOD} subscribers", grown >> 20));
    assert!(grown < ALLOWED, "{grown} bytes more");
    drop(stuck);
}

#[test]
fn a_subscriber_sees_the_life_of_an_agent_as_event_read_tells_it() {
    let Some(daemon) = start() else { return };
    let mut subscriber = subscribers(&daemon, "agent/", 1).pop().expect("one subscriber");
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::chatter("life"));
    let mut seen: Vec<Value> = Vec::new();
    while seen.last().is_none_or(|event| event["type"] != "agent.exited") {
        let (topic, json) = subscriber.message();
        if topic.contains(&id) {
            seen.push(serde_json::from_str(&json).expect("an event"));
        }
    }
    assert_eq!(seen, events(&mut socket, &format!("agent/{id}/"), "start"));
}

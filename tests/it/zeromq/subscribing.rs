//! Who subscribes, and what it is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::start;
use crate::rig::agents::{events, spawn, text};
use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, Zmtp};
use crate::rig::{Caller, PATIENCE, parrot};

/// How long a bell is waited for before it is rung again.
const ECHO: Duration = Duration::from_millis(50);

/// An agent whose output tells that a subscription is in force.
pub(super) struct Bell<'a> {
    daemon: &'a Daemon,
    id: String,
}

impl<'a> Bell<'a> {
    pub(super) fn of(daemon: &'a Daemon) -> Self {
        let id = spawn(&mut daemon.socket(), &parrot::parrot(&["echo"]));
        Self { daemon, id }
    }

    /// A subscriber to `prefix`, which is in force: it has been told of the bell. `None` asks for
    /// the bell alone.
    #[track_caller]
    pub(super) fn subscriber(&self, place: &str, prefix: Option<&str>) -> Subscriber {
        let mut peer = Zmtp::connect(place, "SUB");
        prefix.into_iter().for_each(|prefix| peer.subscribe(prefix));
        peer.subscribe(&self.topic());
        self.await_sound(&peer);
        Subscriber { peer }
    }

    /// What it sounds on.
    pub(super) fn topic(&self) -> String {
        format!("agent/{}/output", self.id)
    }

    /// Rings until `peer` hears something.
    #[track_caller]
    pub(super) fn await_sound(&self, peer: &Zmtp) {
        let (began, mut socket) = (Instant::now(), self.daemon.socket());
        while !peer.wire().readable_within(ECHO) {
            assert!(began.elapsed() < PATIENCE, "a subscription has no effect");
            socket.ok("agent.write_stdin", json!({"agent_id": self.id, "text": "ding\n"}));
        }
    }
}

/// A SUB socket that splits messages as clients do.
pub(super) struct Subscriber {
    peer: Zmtp,
}

impl Subscriber {
    /// The next message: its topic and its JSON.
    #[track_caller]
    pub(super) fn message(&mut self) -> (String, String) {
        let mut frames = self.peer.receive().expect("who reads is not cut");
        let (Some(frame), 0) = (frames.pop(), frames.len()) else { panic!("more than one frame") };
        let message = String::from_utf8(frame).expect("text");
        let (topic, json) = message.split_once(' ').expect("a topic and its event");
        (topic.to_owned(), json.to_owned())
    }

    /// What carries it, to be read no more.
    pub(super) fn into_wire(self) -> Wire {
        self.peer.into_wire()
    }

    /// The next event of `topic`.
    #[track_caller]
    fn event(&mut self, topic: &str) -> Value {
        loop {
            let (of, json) = self.message();
            if of == topic {
                return serde_json::from_str(&json).expect("an event");
            }
        }
    }
}

/// The text of a member that stands in an event before its data.
pub(super) fn member<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect("a member");
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].trim_matches('"')
}

#[test]
fn a_subscriber_sees_the_life_of_an_agent_as_event_read_tells_it() {
    let daemon = start();
    let mut subscriber = Bell::of(&daemon).subscriber(daemon.publisher(), Some("agent/"));
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

#[test]
fn who_was_away_sees_by_the_offsets_what_it_missed_and_reads_it_back() {
    let daemon = start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::parrot(&["echo"]));
    let topic = format!("agent/{id}/output");
    let mut say = |line: &str| {
        socket.ok("agent.write_stdin", json!({"agent_id": id, "text": format!("{line}\n")}));
    };
    let bell = Bell::of(&daemon);
    let mut subscriber = bell.subscriber(daemon.publisher(), Some(&topic));
    say("before");
    let before = subscriber.event(&topic);
    drop(subscriber);
    let mut other = bell.subscriber(daemon.publisher(), Some(&topic));
    for number in 0..50 {
        say(&format!("meanwhile {number}"));
    }
    // All of it happens before the first comes back.
    let mut missed = Vec::new();
    while !missed.last().is_some_and(|event: &Value| ends_with(event, "meanwhile 49\n")) {
        missed.push(other.event(&topic));
    }
    let mut subscriber = bell.subscriber(daemon.publisher(), Some(&topic));
    say("after");
    let after = subscriber.event(&topic);
    let offset = |event: &Value| event["offset"].as_u64().expect("a number");
    assert_eq!(offset(&after) - offset(&before) - 1, missed.len() as u64, "the hole is seen");
    let mut read = events(&mut daemon.socket(), &topic, text(&before["cursor"]));
    read.retain(|event| offset(event) < offset(&after));
    assert_eq!(read, missed);
}

fn ends_with(event: &Value, end: &str) -> bool {
    text(&event["data"]["text"]).ends_with(end)
}

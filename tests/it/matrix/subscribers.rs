//! What subscribers of ZeroMQ hear: what they may, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::places::{Held, Places};
use super::table::needed_to_read;
use super::who::Who;
use super::{World, now};
use crate::rig::agents::events;
use crate::rig::socket::Socket;
use crate::rig::zmtp::Zmtp;
use crate::rig::{Caller, PATIENCE};

/// How long is waited for what everybody hears before it is said again.
const ECHO: Duration = Duration::from_millis(50);

/// Somebody who listens.
pub(super) struct Listener<'a> {
    who: &'a Who,
    peer: Zmtp,
    /// Asked for everything, and not for each topic.
    to_all: bool,
}

impl<'a> Listener<'a> {
    /// One who asks for everything, and one who asks for each topic of the world.
    pub(super) fn both(who: &'a Who, places: &Places, world: &World) -> [Self; 2] {
        let listen = |prefixes: &[&str]| {
            let peer = who.held.zmtp(places.publisher(), "SUB");
            let mut peer = peer.unwrap_or_else(|said| panic!("{}: {said}", who.name));
            prefixes.iter().for_each(|prefix| peer.subscribe(prefix));
            peer
        };
        // The last is in force when all are.
        let topics: Vec<&str> =
            world.topics.iter().map(|topic| &**topic).filter(|topic| *topic != "system").collect();
        let (all, each) = (listen(&[""]), listen(&[&topics[..], &["system"]].concat()));
        let of = |peer, to_all| Self { who, peer, to_all };
        [of(all, true), of(each, false)]
    }

    /// What it is told until the event `last`: the topics.
    fn hear(&mut self, last: &Value) -> BTreeSet<String> {
        let mut heard = BTreeSet::new();
        loop {
            let frames = self.peer.receive();
            let frames = frames.unwrap_or_else(|e| panic!("{} is cut off: {e}", self.who.name));
            let text = String::from_utf8(frames.concat()).expect("text");
            let (topic, json) = text.split_once(' ').expect("a topic and its event");
            let event: Value = serde_json::from_str(json).expect("an event");
            if event["seq"] == *last {
                return heard;
            }
            heard.insert(topic.to_owned());
        }
    }

    /// It has heard of what it may, and of nothing else.
    fn check(&mut self, last: &Value, world: &World, agent_inside: &str) {
        let heard = self.hear(last);
        let told = format!("{} (to all: {}) heard {heard:?}", self.who.name, self.to_all);
        for topic in &heard {
            assert!(self.who.has(needed_to_read(topic)), "{topic}: {told}");
            let own = self.who.is_inside() && topic.contains(agent_inside);
            assert!(!self.who.is_foreign() || own || !topic.contains('/'), "{topic}: {told}");
        }
        let to_hear = world.made.iter().map(|topic| &**topic).chain(["audit", "system"]);
        for topic in to_hear.filter(|topic| self.who.has(needed_to_read(topic))) {
            let foreign = self.who.is_foreign() && topic.contains('/');
            assert!(foreign || heard.contains(topic), "{topic}: {told}");
        }
        if self.who.is_inside() && self.to_all {
            assert!(heard.contains(&format!("agent/{agent_inside}/status")), "{told}");
        }
    }
}

/// Everybody listens, something happens on every topic, and each hears of what it may.
pub(super) fn check_all(
    listeners: &mut [Listener<'_>],
    owner: &mut Socket,
    (world, agent_inside): (&World, &str),
) {
    let began = Instant::now();
    let ring = |owner: &mut Socket| {
        for on in [true, false] {
            owner.ok("system.drain", json!({"on": on}));
        }
    };
    for listener in &*listeners {
        while !listener.peer.wire().readable_within(ECHO) {
            assert!(began.elapsed() < PATIENCE, "{} hears nothing", listener.who.name);
            ring(owner);
        }
    }
    for agent in [world.agent(), agent_inside] {
        owner.ok("agent.pause", json!({"agent_id": agent}));
        owner.ok("agent.resume", json!({"agent_id": agent}));
    }
    let decision = json!({"approval_id": world.names["approval_id"], "decision": "deny"});
    owner.ok("approval.decide", decision);
    let after = now(owner);
    // Who reads it waits until it is written.
    owner.ok("event.read", json!({"topics": ["audit"]}));
    ring(owner);
    let last = events(owner, "system", &after).last().expect("it has drained")["seq"].clone();
    for listener in listeners {
        listener.check(&last, world, agent_inside);
    }
}

/// A subscriber to everything that agents do.
pub(super) fn to_agents(places: &Places, held: &Held) -> Result<Zmtp, String> {
    let mut peer = held.zmtp(places.publisher(), "SUB")?;
    peer.subscribe("agent/");
    Ok(peer)
}

//! What subscribers of ZeroMQ hear: what they may, and nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::places::{Held, Places};
use super::table::needed_to_read;
use super::who::Who;
use super::{World, now};
use crate::rig::agents::{events, text};
use crate::rig::daemon::Daemon;
use crate::rig::processes::eventually;
use crate::rig::socket::Socket;
use crate::rig::zmtp::Zmtp;
use crate::rig::{Caller, PATIENCE};

/// How long is waited for what everybody hears before it is said again.
const ECHO: Duration = Duration::from_millis(50);
/// The topic on which everybody hears that, and to which they subscribe last.
const BELL: &str = "system";

/// Somebody who listens.
pub(super) struct Listener<'a> {
    who: &'a Who,
    /// The identifiers of what it has made.
    own: Vec<String>,
    /// One that asks for everything, and one that asks for each topic of the world.
    ears: [Ear<'a>; 2],
}

struct Ear<'a> {
    peer: Zmtp,
    prefixes: Vec<&'a str>,
}

impl<'a> Ear<'a> {
    fn new(who: &Who, places: &Places, prefixes: Vec<&'a str>) -> Self {
        let peer = who.held.zmtp(places.publisher(), "SUB");
        let mut peer = peer.unwrap_or_else(|said| panic!("{}: {said}", who.name));
        prefixes.iter().for_each(|prefix| peer.subscribe(prefix));
        Self { peer, prefixes }
    }

    /// The next that it is told: its number and its topic.
    fn next(&mut self, by: &str) -> (u64, String) {
        let frames = self.peer.receive().unwrap_or_else(|e| panic!("{by} is cut off: {e}"));
        let message = String::from_utf8(frames.concat()).expect("text");
        let (topic, json) = message.split_once(' ').expect("a topic and its event");
        let event: Value = serde_json::from_str(json).expect("an event");
        assert_eq!(event["topic"], topic, "{by}: {event}");
        told(&event)
    }

    /// Whether all its subscriptions are in force: it has heard of the last of them.
    fn is_there(&mut self, by: &str) -> bool {
        while self.peer.hears_within(ECHO) {
            if self.next(by).1 == BELL {
                return true;
            }
        }
        false
    }

    /// What it is told until the event with the number `last`.
    fn until(&mut self, last: u64, by: &str) -> Vec<(u64, String)> {
        let mut heard: Vec<(u64, String)> = Vec::new();
        while heard.last().is_none_or(|(seq, _)| *seq < last) {
            heard.push(self.next(by));
        }
        heard
    }
}

fn told(event: &Value) -> (u64, String) {
    (event["seq"].as_u64().expect("a number"), text(&event["topic"]).to_owned())
}

impl<'a> Listener<'a> {
    /// One who has made what has the identifiers `own`.
    pub(super) fn new(who: &'a Who, places: &Places, world: &'a World, own: Vec<String>) -> Self {
        let topics = world.topics.iter().map(|topic| &**topic).filter(|topic| *topic != BELL);
        let each: Vec<&str> = topics.chain([BELL]).collect();
        let ears = [vec![""], each].map(|prefixes| Ear::new(who, places, prefixes));
        Self { who, own, ears }
    }

    /// Whether it may hear what happens on `topic`.
    fn may_hear(&self, topic: &str) -> bool {
        let has_made = || self.own.iter().any(|own| topic.contains(&**own));
        let is_there = !self.who.is_foreign() || !topic.contains('/') || has_made();
        self.who.has(needed_to_read(topic)) && is_there
    }

    /// Of `all` that has happened it has heard, once and in order, what it may and has asked for.
    fn check(&mut self, all: &[(u64, String)], last: u64) {
        let may: Vec<_> = all.iter().filter(|(_, topic)| self.may_hear(topic)).collect();
        for ear in &mut self.ears {
            let asked = |topic: &str| ear.prefixes.iter().any(|prefix| topic.starts_with(prefix));
            let expected: Vec<_> = may.iter().filter(|(_, topic)| asked(topic)).copied().collect();
            let heard = ear.until(last, &self.who.name);
            let heard: Vec<_> = heard.iter().filter(|(seq, _)| *seq >= all[0].0).collect();
            assert_eq!(heard, expected, "{} with {:?}", self.who.name, ear.prefixes);
        }
    }
}

/// Something that everybody hears; the number of its last event.
fn ring(owner: &mut Socket) -> u64 {
    let before = now(owner);
    for on in [true, false] {
        owner.ok("system.drain", json!({"on": on}));
    }
    told(events(owner, BELL, &before).last().expect("it has drained")).0
}

/// Everybody listens, something happens on every topic, and each hears of what it may.
pub(super) fn check_all(
    listeners: &mut [Listener<'_>],
    (daemon, owner): (&Daemon, &mut Socket),
    world: &World,
) {
    let began = Instant::now();
    for listener in &mut *listeners {
        for ear in &mut listener.ears {
            while !ear.is_there(&listener.who.name) {
                assert!(began.elapsed() < PATIENCE, "{} hears nothing", listener.who.name);
                ring(owner);
            }
        }
    }
    let after = now(owner);
    let mut awaited = vec!["audit".to_owned()];
    awaited.extend_from_slice(&world.made);
    let insiders = listeners.iter().flat_map(|listener| &listener.own);
    for agent in insiders.map(|own| &**own).chain([world.agent()]) {
        owner.ok("agent.pause", json!({"agent_id": agent}));
        owner.ok("agent.resume", json!({"agent_id": agent}));
    }
    for listener in &mut *listeners {
        listener.own.extend(listener.who.begin_own(daemon, owner));
        awaited.extend_from_slice(&listener.own);
    }
    let decision = json!({"approval_id": world.names["approval_id"], "decision": "deny"});
    owner.ok("approval.decide", decision);
    eventually("something has happened on every topic", || {
        let all = events(owner, "*", &after);
        let has_happened =
            |name: &String| all.iter().any(|event| text(&event["topic"]).contains(&**name));
        awaited.iter().all(has_happened)
    });
    let last = ring(owner);
    let mut all: Vec<_> = events(owner, "*", &after).iter().map(told).collect();
    all.retain(|(seq, _)| *seq <= last);
    for listener in listeners {
        listener.check(&all, last);
    }
}

/// A subscriber to everything that agents do.
pub(super) fn to_agents(places: &Places, held: &Held) -> Result<Zmtp, String> {
    let mut peer = held.zmtp(places.publisher(), "SUB")?;
    peer.subscribe("agent/");
    Ok(peer)
}

//! Credentials whose time is over: by every door and on every method they are worth nothing, and what
//! was opened with them has ended.

use std::io::Read;

use serde_json::{Value, json};

use super::doors::{Door, connections, requests};
use super::places::{Held, Places, fields};
use super::subscribers::to_agents;
use super::{World, daemon, now};
use crate::rig::Caller;
use crate::rig::daemon::Daemon;
use crate::rig::http::Events;
use crate::rig::processes::eventually;
use crate::rig::socket::Socket;
use crate::rig::zmtp::Zmtp;

/// How long what expires lasts: long enough that it may be used before.
const SHORT_SECS: u64 = 2;

/// Credentials with all scopes, and what ends them.
struct Spent {
    name: &'static str,
    held: Held,
    end: End,
}

enum End {
    /// Its time.
    Time,
    /// A token is revoked: itself, or one that it was made with.
    Token(Value),
    /// A key is revoked, likewise.
    Key(Value),
    /// Both of its own are.
    Both(Value, Value),
}

/// What is made with a key or token: logged in with that, over a connection of its own.
fn made_with(daemon: &Daemon, credentials: &Value, name: &str) -> Held {
    let mut maker = daemon.socket();
    maker.ok("auth.login", json!({"token": credentials}));
    Held::make(&mut maker, name, &json!({"scopes": ["*"]}), None)
}

fn all(daemon: &Daemon, owner: &mut Socket) -> Vec<Spent> {
    let scopes = json!(["*"]);
    let mut key = |name: &str| owner.ok("auth.key.create", json!({"name": name, "scopes": scopes}));
    let (key_itself, key_of_maker, key_of_first) = (key("itself"), key("maker"), key("first"));
    let mut token =
        |name: &str| owner.ok("auth.token.create", json!({"sub": name, "scopes": scopes}));
    let (token_itself, token_of_maker) = (token("itself"), token("maker"));
    let text = |made: &Value, member: &str| made[member].as_str().expect("one").to_owned();
    let itself = Held { token: text(&token_itself, "token"), key: text(&key_itself, "key") };
    let expiring = Held::make(owner, "expiring", &json!({"scopes": scopes}), Some(SHORT_SECS));
    let by_key = made_with(daemon, &key_of_maker["key"], "by a key");
    let by_token = made_with(daemon, &token_of_maker["token"], "by a token");
    let second = made_with(daemon, &key_of_first["key"], "second");
    let third = made_with(daemon, &json!(second.token), "third");
    let fourth = made_with(daemon, &json!(third.key), "fourth");
    let token_id = |made: &Value| json!({"token_id": made["token_id"]});
    let key_id = |made: &Value| json!({"key_id": made["key_id"]});
    let spent = |name, held, end| Spent { name, held, end };
    vec![
        spent("expired", expiring, End::Time),
        spent("revoked", itself, End::Both(token_id(&token_itself), key_id(&key_itself))),
        spent("made with a key that is revoked", by_key, End::Key(key_id(&key_of_maker))),
        spent("made with a token that is revoked", by_token, End::Token(token_id(&token_of_maker))),
        spent("four makers on", fourth, End::Key(key_id(&key_of_first))),
    ]
}

/// What was opened while the credentials were good.
struct Open {
    doors: Vec<Door>,
    subscriber: Option<Zmtp>,
    events: Option<Events>,
    log: Option<Box<dyn Read>>,
}

impl Spent {
    /// Opens everything; what expires may be over before that on a slow machine.
    fn open(&self, places: &Places, world: &World) -> Open {
        let bearer = [self.held.bearer()];
        let log = format!("/agents/{}/logs?follow=1", world.agent());
        let open = Open {
            doors: connections(places, &self.held).into_iter().flatten().collect(),
            subscriber: to_agents(places, &self.held).ok(),
            events: places.http().try_events("/events?topic=agent/", &fields(&bearer)).ok(),
            log: match places.http().try_open(&log, &fields(&bearer)) {
                Ok(body) => Some(Box::new(body)),
                Err(_) => None,
            },
        };
        if !matches!(self.end, End::Time) {
            assert_eq!(open.doors.len(), connections(places, &self.held).len(), "{}", self.name);
            let others = (open.subscriber.is_some(), open.events.is_some(), open.log.is_some());
            assert_eq!(others, (true, true, true), "{}", self.name);
        }
        open
    }

    fn end(&self, daemon: &Daemon, owner: &mut Socket) {
        match &self.end {
            End::Time => eventually("its time is over", || {
                let mut socket = daemon.socket();
                let mut fails =
                    |text: &str| socket.call("auth.login", json!({"token": text})).is_err();
                fails(&self.held.token) && fails(&self.held.key)
            }),
            End::Token(token) => drop(owner.ok("auth.token.revoke", token.clone())),
            End::Key(key) => drop(owner.ok("auth.key.revoke", key.clone())),
            End::Both(token, key) => {
                owner.ok("auth.token.revoke", token.clone());
                owner.ok("auth.key.revoke", key.clone());
            }
        }
    }

    /// Nothing that was opened says anything more, and nothing can be opened.
    fn check(&self, open: Open, places: &Places, world: &World) {
        let calls: Vec<(&str, Value)> =
            world.calls.iter().map(|call| (&*call.method, call.in_earnest.clone())).collect();
        for mut door in open.doors {
            let said = door.last_words(&calls);
            self.check_refused(&said, &format!("what was open of {}", door.name));
        }
        // They end; who waits here for ever finds a stream that does not.
        open.events.into_iter().flatten().for_each(drop);
        if let Some(mut log) = open.log {
            drop(std::io::copy(&mut log, &mut std::io::sink()));
        }
        if let Some(mut subscriber) = open.subscriber {
            while subscriber.receive().is_ok() {}
        }
        // A page cannot see why it was not let in, so a WebSocket is opened to say so.
        for mut door in connections(places, &self.held).into_iter().flatten() {
            assert_eq!(door.name, "a WebSocket", "{} is let in", self.name);
            self.check_refused(&door.last_words(&calls), door.name);
        }
        let [mut batch, mut paths] = requests(places, &self.held);
        let (together, each) = (batch.last_words(&calls), paths.last_words(&calls));
        assert_eq!(each.len(), calls.len());
        self.check_refused(&[together, each].concat(), "HTTP");
        assert!(to_agents(places, &self.held).is_err(), "{} subscribes", self.name);
        self.check_paths(places, world);
    }

    fn check_refused(&self, said: &[Value], told: &str) {
        for answer in said {
            let kind = &answer["error"]["data"]["kind"];
            assert_eq!(kind, "unauthenticated", "{} over {told}: {answer}", self.name);
        }
    }

    /// The paths that are served without a call.
    fn check_paths(&self, places: &Places, world: &World) {
        let topic = "/events?topic=system".to_owned();
        let routes = world.routes.iter().map(|route| route.replace("{agent}", world.agent()));
        for path in routes.chain([topic]) {
            // Anyone hears that one word.
            let expected = if ["/health", "/ready"].contains(&&*path) { 200 } else { 401 };
            let reply = places.http().request("GET", &path, &fields(&[self.held.bearer()]), b"");
            assert_eq!(reply.status, expected, "{path} as {}: {}", self.name, reply.text());
        }
        let page =
            places.metrics().request("GET", "/metrics", &fields(&[self.held.api_key()]), b"");
        assert_eq!(page.status, 401, "the page of numbers as {}", self.name);
    }
}

#[test]
fn what_has_expired_or_was_revoked_is_worth_nothing_on_any_method_by_any_door() {
    let daemon = daemon();
    let mut owner = daemon.socket();
    let reader = Held::make(&mut owner, "reader", &json!({"role": "viewer"}), None);
    let world = World::new(&daemon, &mut owner, &reader);
    let all = all(&daemon, &mut owner);
    let places = Places::of(&daemon);
    let opened: Vec<Open> = all.iter().map(|spent| spent.open(&places, &world)).collect();
    for spent in &all {
        spent.end(&daemon, &mut owner);
    }
    let keys = owner.ok("auth.key.list", json!({}))["count"].clone();
    let after = now(&mut owner);
    for (block, (spent, open)) in (1..).zip(all.iter().zip(opened)) {
        spent.check(open, &places.clone().by_many_addresses(block), &world);
    }
    world.check_untouched(&mut owner, &after, &keys);
}

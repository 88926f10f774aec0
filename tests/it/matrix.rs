//! The matrix of authorisation at the real daemon: every method of its own document, every message of
//! the agent protocol, every path of HTTP and every topic, for everybody there can be, by every door.
//! What is expected is what the contract lists; what is not listed is for `admin`. Whoever may not is
//! told so in the same words everywhere, and nothing happens.

mod doors;
mod over;
mod places;
mod protocol;
mod streams;
mod subscribers;
mod table;
mod who;

use serde_json::{Map, Value, json};

use crate::credentials::guarded_as;
use crate::rig::agents::{await_output, events, spawn};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot};
use places::{Held, Places};
use subscribers::Listener;
use table::{Call, calls};
use who::Who;

fn setup() -> Setup {
    let ports = ["--ws-port=0", "--zmq-port=0", "--pub-port=0", "--metrics-port=0"];
    ports.into_iter().fold(Setup::new(), Setup::flag)
}

/// One where everybody over TCP needs credentials.
fn daemon() -> Daemon {
    guarded_as(setup())
}

/// Something of each kind that calls can name, and the calls.
struct World {
    /// By the names of parameters.
    names: Map<String, Value>,
    calls: Vec<Call>,
    topics: Vec<String>,
    /// Those on which something has happened that belongs to somebody.
    made: Vec<String>,
    /// The paths of HTTP that answer `GET`.
    routes: Vec<String>,
}

impl World {
    fn new(daemon: &Daemon, owner: &mut Socket, reader: &Held) -> Self {
        let agent = spawn(owner, &parrot::shell("echo begun; exec sleep 1000"));
        await_output(owner, &agent, "begun\n");
        let chat = crate::chat::chat(owner, &json!({}));
        owner.ok("chat.prompt", json!({"session_id": chat, "prompt": "run x"}));
        let approval = crate::chat::approval(owner, &chat);
        owner.ok("state.put", json!({"agent_id": agent, "key": "k", "value": 1}));
        let made = owner.ok("auth.key.create", json!({"name": "victim", "role": "viewer"}));
        let names = json!({
            "agent_id": agent, "agent_ids": [agent], "session_id": chat, "approval_id": approval,
            "key_id": made["key_id"], "token": made["key"], "token_id": "victim",
            "agent_type": "process", "config": {"command": ["sleep", "1000"]}, "name": "new",
            "command": "kill", "signal": "kill", "text": "x", "action": "ping", "content": "say a",
            "initial_prompt": "say a", "prompt": "say a", "title": "x", "decision": "allow_once",
            "older_than_secs": 0, "key": "k", "value": 2, "topics": ["audit"], "on": true,
            "sub": "mallory", "scopes": ["*"], "id": 1, "subscription_id": "x",
        });
        let Value::Object(names) = names else { panic!("an object") };
        let made = [
            format!("agent/{agent}/status"),
            format!("chat/{chat}"),
            format!("approval/{approval}"),
        ];
        let rest = ["system", "audit", "task/x", "workflow/x", "nothing", "nothing/x"];
        let topics = made.iter().cloned().chain(rest.map(str::to_owned)).collect();
        let calls = calls(&owner.ok("rpc.discover", json!({})), &names);
        let routes = streams::routes(daemon.http(), reader);
        Self { names, calls, topics, made: made.into(), routes }
    }

    fn agent(&self) -> &str {
        self.names["agent_id"].as_str().expect("an identifier")
    }

    /// Everything is as it was made, and nothing is there beside it.
    fn check_untouched(&self, owner: &mut Socket, after: &str, keys: &Value) {
        let agent = owner.ok("agent.get", json!({"agent_id": self.names["agent_id"]}));
        assert_eq!((&agent["status"], &agent["run"]), (&json!("running"), &json!(1)));
        let chat = owner.ok("chat.get", json!({"session_id": self.names["session_id"]}));
        assert_eq!(chat["status"], "waiting_approval", "{chat}");
        let waits = owner.ok("approval.get", json!({"approval_id": self.names["approval_id"]}));
        assert_eq!(waits["status"], "pending", "{waits}");
        let state = owner.ok("state.query", json!({"agent_id": self.names["agent_id"]}));
        assert_eq!(state["state"]["k"], 1, "{state}");
        assert_eq!(&owner.ok("auth.key.list", json!({}))["count"], keys);
        assert_eq!(owner.ok("system.health", json!({}))["status"], "healthy");
        for event in events(owner, "*", after) {
            assert_eq!(event["topic"], "audit", "{event}");
        }
    }
}

fn now(owner: &mut Socket) -> String {
    let page = owner.ok("event.read", json!({"topics": ["system"], "after": "now"}));
    page["cursor"].as_str().expect("a cursor").to_owned()
}

/// Tries everything as each of `everybody`, and finds nothing changed.
fn try_all(
    (places, world): (&Places, &World),
    owner: &mut Socket,
    everybody: impl IntoIterator<Item: std::ops::Deref<Target = Who>>,
) {
    let keys = owner.ok("auth.key.list", json!({}))["count"].clone();
    let after = now(owner);
    for who in everybody {
        who.try_all(places, world);
    }
    world.check_untouched(owner, &after, &keys);
}

/// Who was refused is in the audit; there are so many kinds that later ones are counted together.
fn check_written(owner: &mut Socket, after: &str) {
    let denied = json!({"topics": ["audit"], "after": after, "types": ["audit.denied"]});
    assert_ne!(owner.ok("event.read", denied)["events"], json!([]), "refusals are written down");
}

#[test]
fn by_every_door_everybody_may_what_the_contract_says_and_refusals_have_no_effect() {
    let daemon = daemon();
    let mut owner = daemon.socket();
    let reader = Held::make(&mut owner, "reader", &json!({"role": "viewer"}), None);
    let world = World::new(&daemon, &mut owner, &reader);
    let everybody = Who::all(&mut owner);
    let agent = Who::inside(&mut owner);
    let (direct, (inside, own)) = (Places::of(&daemon), Places::inside(&daemon, &mut owner));
    let after = now(&mut owner);
    try_all((&direct, &world), &mut owner, &everybody);
    check_written(&mut owner, &after);
    try_all((&inside, &world), &mut owner, [&agent]);
    let outside = everybody.iter().map(|who| Listener::new(who, &direct, &world, Vec::new()));
    let agent = Listener::new(&agent, &inside, &world, vec![own]);
    let mut listeners: Vec<Listener<'_>> = outside.chain([agent]).collect();
    subscribers::check_all(&mut listeners, (&daemon, &mut owner), &world);
}

#[test]
fn a_process_of_an_agent_is_that_agent_by_every_door_where_nobody_needs_credentials() {
    let daemon = setup().start();
    let mut owner = daemon.socket();
    let world = World::new(&daemon, &mut owner, &Held::nothing());
    let process = Who::process_inside();
    let (inside, own) = Places::inside(&daemon, &mut owner);
    let after = now(&mut owner);
    try_all((&inside, &world), &mut owner, [&process]);
    check_written(&mut owner, &after);
    let mut listeners = [Listener::new(&process, &inside, &world, vec![own])];
    subscribers::check_all(&mut listeners, (&daemon, &mut owner), &world);
}

//! The matrix of authorisation at the real daemon: every method of its own document, for everybody
//! there can be, by every door. What is expected is what the contract lists; what is not listed is for
//! `admin`. Whoever may not is told so in the same words everywhere, and nothing happens.

mod doors;
mod table;

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::credentials::guarded_as;
use crate::rig::agents::{await_output, events, spawn};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot};
use doors::{Door, Held, Places, doors};
use table::{Call, OF_AGENTS, ROLES, SCOPES, calls, harmless, needed, needed_to_read};

/// Somebody with credentials.
struct Who {
    name: String,
    held: Held,
    scopes: Vec<String>,
    /// Holds them for its own things, of which there are none.
    own: bool,
    /// Comes from inside of an agent.
    inside: bool,
}

impl Who {
    fn make(owner: &mut Socket, name: &str, given: (&str, Value), scopes: &[&str]) -> Self {
        let (member, value) = given;
        let name = format!("one with {name}");
        let secret = |made: Value, member: &str| made[member].as_str().expect("one").to_owned();
        let token = owner.ok("auth.token.create", json!({"sub": name, member: value}));
        let key = owner.ok("auth.key.create", json!({"name": name, member: value}));
        let held = Held { token: secret(token, "token"), key: secret(key, "key") };
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Self { name, held, scopes, own: false, inside: false }
    }

    /// A holder of each scope, of each for its own things, and of each role.
    fn all(owner: &mut Socket) -> Vec<Self> {
        let mut all = Vec::new();
        for (scope, has_own) in SCOPES {
            all.push(Self::make(owner, scope, ("scopes", json!([scope])), &[scope]));
            if has_own {
                let own = format!("{scope}:own");
                let holder = Self::make(owner, &own, ("scopes", json!([own])), &[scope]);
                all.push(Self { own: true, ..holder });
            }
        }
        for (role, scopes) in ROLES {
            let scopes: Vec<&str> = scopes.split(' ').collect();
            all.push(Self::make(owner, role, ("role", json!(role)), &scopes));
        }
        all
    }

    /// Whether it has what is `needed`.
    fn has(&self, needed: Option<&str>) -> bool {
        let Some(needed) = needed else { return true };
        let held = self.scopes.iter().any(|scope| scope == "*" || scope == needed);
        held && (!self.inside || OF_AGENTS.contains(&needed))
    }

    /// Calls every method, in earnest what it may not, and reads every topic.
    fn try_all(&self, door: &mut Door, world: &World) {
        let params = |call: &Call| {
            if self.has(needed(&call.method)) { harmless() } else { call.in_earnest.clone() }
        };
        let said: Vec<(&str, Value)> =
            world.calls.iter().map(|call| (&*call.method, params(call))).collect();
        for ((method, _), answer) in said.iter().zip(door.answers(&said)) {
            let told = format!("{method} by {} over {}: {answer}", self.name, door.name);
            match needed(method).filter(|scope| !self.has(Some(scope))) {
                Some(scope) => self.check_refused(scope, &answer["error"], &told),
                None => assert_eq!(answer["error"]["data"]["kind"], "invalid_params", "{told}"),
            }
        }
        let read = |topic: &String| ("event.read", json!({"topics": [topic], "limit": 1}));
        let said: Vec<(&str, Value)> = world.topics.iter().map(read).collect();
        for (topic, answer) in world.topics.iter().zip(door.answers(&said)) {
            let told = format!("{topic} by {} over {}: {answer}", self.name, door.name);
            let foreign = (self.own || self.inside) && topic.contains('/');
            match needed_to_read(topic).filter(|scope| !self.has(Some(scope))) {
                Some(scope) => self.check_refused(scope, &answer["error"], &told),
                // What is somebody else's is not there.
                None if foreign => assert!(shows_nothing(&answer), "{told}"),
                None => assert!(answer["result"].is_object(), "{told}"),
            }
        }
    }

    /// It is refused for the want of `scope`, in the words that everybody hears.
    fn check_refused(&self, scope: &str, error: &Value, told: &str) {
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(-32012), &json!("forbidden")),
            "{told}"
        );
        assert_eq!(error["data"]["required"], scope, "{told}");
        if self.inside {
            assert_eq!(error["data"]["reason"], "inside_agent", "{told}");
        } else {
            assert_eq!(error["message"], format!("the scope {scope} is needed"), "{told}");
        }
    }
}

fn shows_nothing(answer: &Value) -> bool {
    answer["error"].is_object() || answer["result"]["events"] == json!([])
}

fn daemon() -> Daemon {
    let ports = ["--ws-port=0", "--zmq-port=0", "--pub-port=0", "--metrics-port=0"];
    guarded_as(ports.into_iter().fold(Setup::new(), Setup::flag))
}

fn address(url: &Value) -> SocketAddr {
    let text = url.as_str().expect("an endpoint");
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split_once('/').map_or(text, |(address, _)| address);
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn places(daemon: &Daemon) -> Places {
    Places {
        http: daemon.http_address(),
        ws: address(&daemon.endpoints["ws"]),
        unix: format!("ipc://{}", daemon.socket_path().display()),
        zmq: daemon.zmq().to_owned(),
    }
}

/// The same by way of an agent, to whom all that comes there belongs.
fn inside(daemon: &Daemon, owner: &mut Socket) -> Places {
    let direct = places(daemon);
    let socket = daemon.socket_path().display().to_string();
    let zmq = direct.zmq.trim_start_matches("tcp://");
    let listed = format!("{},{},{socket},{zmq}", direct.http, direct.ws);
    let agent = spawn(owner, &parrot::parrot(&["forward", &listed]));
    await_output(owner, &agent, "\n");
    let logs = owner.ok("agent.logs", json!({"agent_id": agent}));
    let said = logs["logs"][0]["message"].as_str().expect("ports");
    let ports: Vec<String> = said.split(' ').map(|port| format!("127.0.0.1:{port}")).collect();
    let [http, ws, unix, zmq] = &ports[..] else { panic!("{said}") };
    let address = |text: &String| text.parse().expect("an address");
    Places {
        http: address(http),
        ws: address(ws),
        unix: format!("tcp://{unix}"),
        zmq: format!("tcp://{zmq}"),
    }
}

/// Something of each kind that calls can name, and the calls.
struct World {
    /// By the names of parameters.
    names: Map<String, Value>,
    calls: Vec<Call>,
    topics: Vec<String>,
}

impl World {
    fn new(owner: &mut Socket) -> Self {
        let agent = spawn(owner, &parrot::shell("exec sleep 1000"));
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
        let topics = [
            format!("agent/{agent}/status"),
            format!("chat/{chat}"),
            format!("approval/{approval}"),
        ];
        let rest = ["system", "audit", "task/x", "workflow/x", "nothing", "nothing/x"];
        let topics = topics.into_iter().chain(rest.map(str::to_owned)).collect();
        let calls = calls(&owner.ok("rpc.discover", json!({})), &names);
        Self { names, calls, topics }
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

#[test]
fn by_every_door_everybody_may_what_the_contract_says_and_refusals_have_no_effect() {
    let daemon = daemon();
    let mut owner = daemon.socket();
    let world = World::new(&mut owner);
    let everybody = Who::all(&mut owner);
    let mut agent = Who::make(&mut owner, "inside", ("role", json!("admin")), &["*"]);
    agent.inside = true;
    let (direct, inside) = (places(&daemon), inside(&daemon, &mut owner));
    let keys = owner.ok("auth.key.list", json!({}))["count"].clone();
    let after = now(&mut owner);
    for who in everybody.iter().chain([&agent]) {
        let places = if who.inside { &inside } else { &direct };
        std::thread::scope(|scope| {
            for mut door in doors(places, &who.held) {
                let world = &world;
                scope.spawn(move || who.try_all(&mut door, world));
            }
        });
    }
    world.check_untouched(&mut owner, &after, &keys);
    let denied = json!({"topics": ["audit"], "after": after, "types": ["audit.denied"]});
    assert_ne!(owner.ok("event.read", denied)["events"], json!([]), "refusals are written down");
}

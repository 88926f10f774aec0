//! Who comes: everybody there can be, and what each may.

use std::thread::ScopedJoinHandle;

use serde_json::{Value, json};

use super::World;
use super::doors::{Door, Opened, doors};
use super::places::{Held, Places};
use super::table::{Call, OF_AGENTS, ROLES, SCOPES, needed, needed_to_read, nonsense};
use crate::rig::agents::{spawn, text};
use crate::rig::daemon::Daemon;
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot};

/// Somebody with credentials, or without.
pub(super) struct Who {
    pub(super) name: String,
    pub(super) held: Held,
    scopes: Vec<String>,
    /// Holds them for its own things, of which there are none until [`Who::begin_own`].
    own: bool,
    /// Comes from inside of an agent.
    inside: bool,
}

/// How kinds end of errors about what is not there.
const NOT_FOUND: &str = "not_found";

impl Who {
    fn make(owner: &mut Socket, name: &str, given: &Value, scopes: &[&str]) -> Self {
        let name = format!("one with {name}");
        let held = Held::make(owner, &name, given, None);
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Self { name, held, scopes, own: false, inside: false }
    }

    /// A holder of each scope, of each for its own things, and of each role.
    pub(super) fn all(owner: &mut Socket) -> Vec<Self> {
        let mut all = Vec::new();
        for (scope, has_own) in SCOPES {
            all.push(Self::make(owner, scope, &json!({"scopes": [scope]}), &[scope]));
            if has_own {
                let own = format!("{scope}:own");
                let holder = Self::make(owner, &own, &json!({"scopes": [own]}), &[scope]);
                all.push(Self { own: true, ..holder });
            }
        }
        for (role, scopes) in ROLES {
            let scopes: Vec<&str> = scopes.split(' ').collect();
            all.push(Self::make(owner, role, &json!({"role": role}), &scopes));
        }
        all
    }

    /// One who holds everything, and comes from inside of an agent.
    pub(super) fn inside(owner: &mut Socket) -> Self {
        let given = &json!({"role": "admin"});
        Self { inside: true, ..Self::make(owner, "everything inside", given, &["*"]) }
    }

    /// The same by its process alone: that of the user whose daemon it is.
    pub(super) fn process_inside() -> Self {
        let (name, scopes) = ("a process inside".to_owned(), vec!["*".to_owned()]);
        Self { name, held: Held::nothing(), scopes, own: false, inside: true }
    }

    /// An agent and a chat begin that are its own, if it may read such: their identifiers, and that of
    /// the chat's agent. Another token of its name does it.
    pub(super) fn begin_own(&self, daemon: &Daemon, owner: &mut Socket) -> Vec<String> {
        if !self.own || !["agent:read", "chat:read"].iter().any(|scope| self.has(Some(scope))) {
            return Vec::new();
        }
        let scopes = ["agent:write:own", "chat:write:own"];
        let made = owner.ok("auth.token.create", json!({"sub": self.name, "scopes": scopes}));
        let mut maker = daemon.socket();
        maker.ok("auth.login", json!({"token": made["token"]}));
        let agent = spawn(&mut maker, &parrot::shell("exec sleep 1000"));
        let chat = crate::chat::chat(&mut maker, &json!({}));
        maker.ok("chat.prompt", json!({"session_id": chat, "prompt": "say a", "wait": true}));
        let talks = owner.ok("chat.get", json!({"session_id": chat}));
        vec![agent, chat, text(&talks["agent_id"]).to_owned()]
    }

    /// Whether what others have made is not there for it.
    pub(super) fn is_foreign(&self) -> bool {
        self.own || self.inside
    }

    /// What it lacks of what is `needed`.
    pub(super) fn lacks<'a>(&self, needed: Option<&'a str>) -> Option<&'a str> {
        needed.filter(|scope| !self.has(Some(scope)))
    }

    /// Whether it has what is `needed`.
    pub(super) fn has(&self, needed: Option<&str>) -> bool {
        let Some(needed) = needed else { return true };
        let held = self.scopes.iter().any(|scope| scope == "*" || scope == needed);
        held && (!self.inside || OF_AGENTS.contains(&needed))
    }

    /// Comes by every way there is, and is told the same.
    pub(super) fn try_all(&self, places: &Places, world: &World) {
        let by_doors = std::thread::scope(|scope| {
            let try_door = |door: Opened| {
                let mut door = door.unwrap_or_else(|said| panic!("{}: {said}", self.name));
                scope.spawn(move || {
                    let methods = self.try_methods(&mut door, world);
                    let topics = self.try_topics(&mut door, world);
                    (door.name, [methods, topics].concat())
                })
            };
            let by_doors: Vec<_> = doors(places, &self.held).into_iter().map(try_door).collect();
            scope.spawn(|| self.try_streams(places, world));
            scope.spawn(|| self.try_routes(places, world));
            scope.spawn(|| self.try_protocol(places, world));
            let tried =
                |by_door: ScopedJoinHandle<'_, _>| by_door.join().expect("it has tried all");
            by_doors.into_iter().map(tried).collect::<Vec<(&str, Vec<Value>)>>()
        });
        let (first, errors) = &by_doors[0];
        for (door, others) in &by_doors[1..] {
            for (error, other) in errors.iter().zip(others) {
                assert_eq!(error, other, "{} over {first} and over {door}", self.name);
            }
        }
    }

    /// Calls every method: in earnest what it may not, and what names others' things. The errors.
    fn try_methods(&self, door: &mut Door, world: &World) -> Vec<Value> {
        let harmless = |call: &Call| {
            self.has(needed(&call.method)) && !(self.is_foreign() && call.names_something())
        };
        let params = |call| if harmless(call) { nonsense() } else { call.in_earnest.clone() };
        let said: Vec<(&str, Value)> =
            world.calls.iter().map(|call| (&*call.method, params(call))).collect();
        let answers = door.answers(&said);
        for (call, answer) in world.calls.iter().zip(&answers) {
            let told = format!("{} by {} over {}: {answer}", call.method, self.name, door.name);
            let kind = answer["error"]["data"]["kind"].as_str();
            match self.lacks(needed(&call.method)) {
                Some(scope) => self.check_refused(scope, &answer["error"], &told),
                None if harmless(call) => assert_eq!(kind, Some("invalid_params"), "{told}"),
                None => assert!(kind.is_some_and(|kind| kind.ends_with(NOT_FOUND)), "{told}"),
            }
        }
        errors(answers)
    }

    /// Reads every topic. The errors.
    fn try_topics(&self, door: &mut Door, world: &World) -> Vec<Value> {
        let read = |topic: &String| ("event.read", json!({"topics": [topic], "limit": 1}));
        let said: Vec<(&str, Value)> = world.topics.iter().map(read).collect();
        let answers = door.answers(&said);
        for (topic, answer) in world.topics.iter().zip(&answers) {
            let told = format!("{topic} by {} over {}: {answer}", self.name, door.name);
            match self.lacks(needed_to_read(topic)) {
                Some(scope) => self.check_refused(scope, &answer["error"], &told),
                // What is somebody else's is not there.
                None if self.is_foreign() && topic.contains('/') => {
                    assert!(shows_nothing(answer), "{told}");
                }
                None => assert!(answer["result"].is_object(), "{told}"),
            }
        }
        errors(answers)
    }

    /// It is refused for the want of `scope`, in the words that everybody hears.
    pub(super) fn check_refused(&self, scope: &str, error: &Value, told: &str) {
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

/// What each was refused with; nothing where it was not. A key and a token of one name count as one.
fn errors(answers: Vec<Value>) -> Vec<Value> {
    let error = |mut answer: Value| {
        if let Some(name) = answer["error"]["data"]["principal"].as_str() {
            let name = name.strip_prefix("key:").unwrap_or(name).to_owned();
            answer["error"]["data"]["principal"] = name.into();
        }
        answer["error"].take()
    };
    answers.into_iter().map(error).collect()
}

fn shows_nothing(answer: &Value) -> bool {
    answer["error"].is_object() || answer["result"]["events"] == json!([])
}

//! The matrix of authorisation: every method for everybody there can be. What is expected is
//! written here once more, as the contract says it: what is not listed is for `admin` alone.

use std::sync::Arc;

use bytes::Bytes;
use descartes_core::Descartes;
use descartes_core::agent::AgentId;
use descartes_core::runner::Whereabouts;
use descartes_core::testing::FakeChat;
use serde_json::{Value, json};

use crate::auth::{Principal, Scope};
use crate::client::Client;
use crate::connection::answer_streaming;
use crate::methods::ENTRIES;
use crate::peer::Peer;
use crate::service::Rpc;
use crate::wire::state::Json;

/// What every authenticated caller may use.
const OPEN: [&str; 8] = [
    "system.health",
    "system.ready",
    "system.info",
    "rpc.discover",
    "rpc.cancel",
    "auth.whoami",
    "auth.login",
    "event.unsubscribe",
];

/// The scope of each method that has one of its own, and its parameters, in which `A`, `C` and `P`
/// stand for ann's agent, chat and approval. A method whose parameters name one of them has that
/// for its resource.
const LISTED: &[(&str, &str, &str)] = &[
    ("agent.list", "agent:read", "{}"),
    ("agent.get", "agent:read", r#"{"agent_id":"A"}"#),
    ("agent.logs", "agent:read", r#"{"agent_id":"A"}"#),
    ("agent.output", "agent:read", r#"{"agent_id":"A"}"#),
    ("agent.wait", "agent:read", r#"{"agent_id":"A"}"#),
    ("backend.list", "agent:read", "{}"),
    ("action.list", "agent:read", "{}"),
    ("event.subscribe", "agent:read", r#"{"topics":["agent/A/status"]}"#),
    ("event.read", "agent:read", r#"{"topics":["agent/A/output"]}"#),
    ("agent.spawn", "agent:write", r#"{"agent_type":"fake","config":{"parent_agent_id":"A"}}"#),
    ("agent.kill", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.stop", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.restart", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.pause", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.resume", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.signal", "agent:write", r#"{"agent_id":"A","signal":"usr1"}"#),
    ("agent.write_stdin", "agent:write", r#"{"agent_id":"A","text":"x"}"#),
    ("agent.action", "agent:write", r#"{"agent_id":"A","action":"ping"}"#),
    ("agent.batch", "agent:write", r#"{"agent_ids":["A"],"command":"status"}"#),
    ("agent.send", "agent:write", r#"{"agent_id":"A","content":"say a"}"#),
    ("agent.cancel", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.remove", "agent:write", r#"{"agent_id":"A"}"#),
    ("agent.prune", "agent:write", r#"{"older_than_secs":0}"#),
    ("chat.list", "chat:read", "{}"),
    ("chat.get", "chat:read", r#"{"session_id":"C"}"#),
    ("chat.history", "chat:read", r#"{"session_id":"C"}"#),
    ("approval.list", "chat:read", r#"{"session_id":"C"}"#),
    ("approval.get", "chat:read", r#"{"approval_id":"P"}"#),
    ("chat.create", "chat:write", "{}"),
    ("chat.start", "chat:write", r#"{"initial_prompt":"say a"}"#),
    ("chat.prompt", "chat:write", r#"{"session_id":"C","prompt":"say a"}"#),
    ("chat.cancel", "chat:write", r#"{"session_id":"C"}"#),
    ("chat.stop", "chat:write", r#"{"session_id":"C"}"#),
    ("chat.update", "chat:write", r#"{"session_id":"C","title":"x"}"#),
    ("chat.remove", "chat:write", r#"{"session_id":"C"}"#),
    ("chat.upgrade_to_agent", "chat:write", r#"{"session_id":"C"}"#),
    ("approval.decide", "approve", r#"{"approval_id":"P","decision":"allow_once"}"#),
    ("state.query", "state:read", r#"{"agent_id":"A"}"#),
    ("state.put", "state:write", r#"{"agent_id":"A","key":"k","value":2}"#),
    ("state.delete", "state:write", r#"{"agent_id":"A","key":"k"}"#),
    ("system.metrics", "metrics", "{}"),
];

/// What a method of the table is expected to need, and what it is called with.
struct Row {
    method: &'static str,
    scope: &'static str,
    params: &'static str,
    mutating: bool,
}

impl Row {
    fn all() -> impl Iterator<Item = Self> {
        ENTRIES.iter().map(|entry| {
            let method = entry.declaration.name;
            let listed = LISTED.iter().find(|(name, ..)| *name == method);
            let (scope, params) = match listed {
                Some((_, scope, params)) => (*scope, *params),
                None if method == "rpc.cancel" => ("", r#"{"id":1}"#),
                // Without a connection nobody can log in, whoever asks.
                None if method == "auth.login" => ("", r#"{"token":"x"}"#),
                None if method == "event.unsubscribe" => ("", r#"{"subscription_id":"x"}"#),
                None if OPEN.contains(&method) => ("", "{}"),
                None => ("admin", "{}"),
            };
            Self { method, scope, params, mutating: entry.declaration.mutating }
        })
    }

    fn has_resource(&self) -> bool {
        [r#""A""#, "/A/", r#""C""#, r#""P""#].iter().any(|mark| self.params.contains(mark))
    }
}

/// A daemon in which ann has a chat whose agent has asked something.
struct World {
    rpc: Rpc,
    agent: String,
    chat: String,
    approval: String,
    /// Another agent of ann's.
    other: AgentId,
}

impl World {
    async fn new() -> Self {
        let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
        let builder = builder.backend(FakeChat::backend()).default_backend("fake");
        let rpc = Rpc::builder(builder.build().await.unwrap()).build();
        let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
        let chat = ann.chat_create(super::params(json!({}))).await.unwrap().session_id;
        let prompt = json!({"session_id": chat, "prompt": "write"});
        let agent = ann.chat_prompt(super::params(prompt)).await.unwrap().agent_id.unwrap();
        let value = json!({"agent_id": agent, "key": "k", "value": 1});
        ann.state_put(super::params(value)).await.unwrap();
        let other = ann.agent_spawn(super::params(json!({}))).await.unwrap().agent_id;
        let approval = loop {
            let found = ann.approval_list(super::params(json!({"status": "pending"}))).await;
            if let Some(first) = found.unwrap().approvals.first() {
                break first.approval_id.clone();
            }
            tokio::task::yield_now().await;
        };
        Self { rpc, agent, chat, approval, other: other.parse().unwrap() }
    }

    async fn call(&self, who: &Peer, row: &Row) -> Outcome {
        let params = row.params.replace("\"A\"", &format!("\"{}\"", self.agent));
        let params = params.replace("/A/", &format!("/{}/", self.agent));
        let params = params.replace("\"C\"", &format!("\"{}\"", self.chat));
        let params = params.replace("\"P\"", &format!("\"{}\"", self.approval));
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":{params}}}"#, row.method);
        let answered = answer_streaming(self.rpc.clone(), who.clone(), Bytes::from(message)).await;
        let answer: Value = serde_json::from_slice(&answered.body.unwrap()).unwrap();
        let error = match &answer["result"]["results"][0]["error"] {
            Value::Null => &answer["error"],
            inner => inner,
        };
        match error["data"]["kind"].as_str() {
            Some("unauthenticated") => Outcome::Unknown,
            Some("forbidden") => Outcome::Denied,
            Some("agent_not_found" | "not_found") => Outcome::Absent,
            Some("invalid_params") if row.scope != "admin" => panic!("{}: {answer}", row.method),
            _ => Outcome::Done,
        }
    }

    /// Nothing of what ann has was touched.
    async fn check_untouched(&self) {
        let ann = Client::in_memory(self.rpc.clone());
        let agent = json!({"agent_id": self.agent});
        let agent = ann.agent_get(super::params(agent)).await.unwrap().agent;
        assert_eq!((agent.run, agent.child_count), (1, 0));
        assert_eq!(agent.status, crate::wire::agent::AgentStatus::Running);
        let chat = ann.chat_get(super::params(json!({"session_id": self.chat}))).await.unwrap();
        assert_eq!((chat.chat.status.as_str(), chat.chat.title), ("waiting_approval", None));
        let value = json!({"agent_id": self.agent, "key": "k"});
        let value = ann.state_query(super::params(value)).await.unwrap();
        assert_eq!(value.state.get("k").map(|Json(value)| value.get()), Some("1"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nobody knows the caller.
    Unknown,
    /// It may not.
    Denied,
    /// For the caller there is no such thing.
    Absent,
    /// It went through, whatever came of it.
    Done,
}

/// Somebody who calls.
#[derive(Clone, Copy, Debug)]
enum Who {
    Nobody,
    Owner,
    Holder(Scope),
    /// Ann, for what she made.
    Maker(Scope),
    /// Bob, for what he made: nothing.
    Stranger(Scope),
    /// A process of ann's agent.
    Agent,
    /// A process of another agent, of the same owner.
    OtherAgent,
    /// A holder of a token that was given to ann's agent.
    AgentToken,
}

impl Who {
    fn all() -> Vec<Self> {
        let mut all =
            vec![Self::Nobody, Self::Owner, Self::Agent, Self::OtherAgent, Self::AgentToken];
        for scope in Scope::ALL {
            all.push(Self::Holder(scope));
            if scope.has_own() {
                all.extend([Self::Maker(scope), Self::Stranger(scope)]);
            }
        }
        all
    }

    fn peer(self, world: &World) -> Peer {
        let inside = |agent| Principal::owner().found(Whereabouts::Inside(agent));
        let agent = world.agent.parse().unwrap();
        let of = |name, scope: String| Principal::new(name, [&*scope]);
        let principal = match self {
            Self::Nobody => return Peer::new("test"),
            Self::Owner => Principal::owner(),
            Self::Holder(scope) => of("tok", scope.to_string()),
            Self::Maker(scope) => of("ann", format!("{scope}:own")),
            Self::Stranger(scope) => of("bob", format!("{scope}:own")),
            Self::Agent => inside(agent),
            Self::OtherAgent => inside(world.other),
            Self::AgentToken => Principal::new("ann", ["*"]).bound_to(agent),
        };
        Peer::new("test").with_principal(principal)
    }

    fn expected(self, row: &Row) -> Outcome {
        const OF_AGENTS: [&str; 6] =
            ["agent:read", "agent:write", "chat:read", "chat:write", "state:read", "state:write"];
        let held = |scope: Scope| row.scope.is_empty() || row.scope == scope.as_str();
        let absent = row.has_resource() && !row.scope.is_empty();
        match self {
            Self::Nobody => Outcome::Unknown,
            Self::Owner => Outcome::Done,
            Self::Holder(scope) | Self::Maker(scope) | Self::Stranger(scope) if !held(scope) => {
                Outcome::Denied
            }
            Self::Stranger(_) | Self::OtherAgent if absent && self.may(row, &OF_AGENTS) => {
                Outcome::Absent
            }
            Self::Holder(_) | Self::Maker(_) | Self::Stranger(_) => Outcome::Done,
            Self::Agent | Self::AgentToken | Self::OtherAgent if self.may(row, &OF_AGENTS) => {
                Outcome::Done
            }
            Self::Agent | Self::AgentToken | Self::OtherAgent => Outcome::Denied,
        }
    }

    fn may(self, row: &Row, of_agents: &[&str]) -> bool {
        let is_agent = matches!(self, Self::Agent | Self::AgentToken | Self::OtherAgent);
        !is_agent || row.scope.is_empty() || of_agents.contains(&row.scope)
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_may_what_the_contract_says_of_every_method_and_nothing_else() {
    let world = World::new().await;
    for row in Row::all() {
        for who in Who::all() {
            let expected = who.expected(&row);
            let told = format!("{} by {who:?}", row.method);
            if expected == Outcome::Done && row.mutating {
                let fresh = World::new().await;
                assert_eq!(fresh.call(&who.peer(&fresh), &row).await, expected, "{told}");
            } else {
                assert_eq!(world.call(&who.peer(&world), &row).await, expected, "{told}");
            }
        }
    }
    world.check_untouched().await;
}

#[test]
fn what_the_matrix_lists_is_there_and_declared_so() {
    let declared = |name: &str| {
        let entry = ENTRIES.iter().find(|entry| entry.declaration.name == name);
        entry.unwrap_or_else(|| panic!("{name} is listed and not there")).declaration.scope
    };
    for (method, scope, _) in LISTED {
        // Events are for all; each topic has a scope of its own.
        let scope = if method.starts_with("event.") { "" } else { scope };
        assert_eq!(declared(method).as_str(), scope, "{method}");
    }
}

//! What the contract says of every method, once more, and calls of the methods that a document lists.

use serde_json::{Map, Value, json};

/// What everybody may use whom the daemon knows.
const OPEN: [&str; 10] = [
    "system.health",
    "system.ready",
    "system.info",
    "rpc.discover",
    "rpc.cancel",
    "auth.whoami",
    "auth.login",
    // Each topic has a scope of its own.
    "event.subscribe",
    "event.unsubscribe",
    "event.read",
];
const READ_AGENTS: [&str; 7] = [
    "agent.list",
    "agent.get",
    "agent.logs",
    "agent.output",
    "agent.wait",
    "backend.list",
    "action.list",
];
const READ_CHATS: [&str; 5] =
    ["chat.list", "chat.get", "chat.history", "approval.list", "approval.get"];

/// Every scope, and whether it can be held for one's own things.
pub(super) const SCOPES: [(&str, bool); 16] = [
    ("agent:read", true),
    ("agent:write", true),
    ("chat:read", true),
    ("chat:write", true),
    ("approve", true),
    ("task:read", true),
    ("task:write", true),
    ("workflow:read", true),
    ("workflow:write", true),
    ("state:read", true),
    ("state:write", true),
    ("lease", true),
    ("tool", false),
    ("metrics", false),
    ("audit", false),
    ("admin", false),
];

/// The roles, and which of the scopes that methods and topics need each has, parted by spaces.
pub(super) const ROLES: [(&str, &str); 4] = [
    ("viewer", "agent:read chat:read state:read task:read workflow:read metrics"),
    (
        "operator",
        "agent:read chat:read state:read task:read workflow:read metrics \
         agent:write chat:write state:write",
    ),
    ("approver", "agent:read chat:read state:read task:read workflow:read metrics approve"),
    ("admin", "*"),
];

/// What an agent has, whatever else its credentials say.
pub(super) const OF_AGENTS: [&str; 6] =
    ["agent:read", "agent:write", "chat:read", "chat:write", "state:read", "state:write"];

/// The scope that `method` needs; none for what is open to everybody who is known. What is not
/// listed is for `admin`.
pub(super) fn needed(method: &str) -> Option<&'static str> {
    let room = method.split_once('.').map_or(method, |(room, _)| room);
    match (method, room) {
        _ if OPEN.contains(&method) => None,
        _ if READ_AGENTS.contains(&method) => Some("agent:read"),
        _ if READ_CHATS.contains(&method) => Some("chat:read"),
        (_, "agent") => Some("agent:write"),
        (_, "chat") => Some("chat:write"),
        ("approval.decide", _) => Some("approve"),
        ("state.query", _) => Some("state:read"),
        ("state.put" | "state.delete", _) => Some("state:write"),
        ("system.metrics", _) => Some("metrics"),
        _ => Some("admin"),
    }
}

/// The scope that a topic of this name needs.
pub(super) fn needed_to_read(topic: &str) -> Option<&'static str> {
    match topic.split_once('/').map_or(topic, |(room, _)| room) {
        "system" => None,
        "agent" => Some("agent:read"),
        "chat" | "approval" => Some("chat:read"),
        "task" => Some("task:read"),
        "workflow" => Some("workflow:read"),
        "audit" => Some("audit"),
        _ => Some("admin"),
    }
}

/// The scope that a path of HTTP needs, as a document lists it.
pub(super) fn needed_to_get(path: &str) -> Option<&'static str> {
    match path {
        "/" | "/health" | "/ready" | "/openrpc.json" | "/openapi.json" => None,
        "/agents/{agent}/logs" => Some("agent:read"),
        "/metrics" => Some("metrics"),
        _ => Some("admin"),
    }
}

/// The method that a command of the agent protocol stands for.
pub(super) fn method_of(command: &str) -> &'static str {
    match command {
        "pause" => "agent.pause",
        "resume" => "agent.resume",
        "stop" | "kill" => "agent.kill",
        "write_stdin" => "agent.write_stdin",
        "read_stdout" | "read_stderr" | "stream_logs" => "agent.logs",
        "get_status" => "agent.get",
        "signal" => "agent.signal",
        "custom_action" => "agent.action",
        "query_output" => "agent.output",
        _ => "not listed",
    }
}

/// A call of a method.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: String,
    /// Would have its effect on what is there, if it were allowed.
    pub(super) in_earnest: Value,
}

/// Members that name one thing which somebody has made.
const NAMES: [&str; 3] = ["agent_id", "session_id", "approval_id"];

impl Call {
    /// Whether it is about one thing which somebody has made.
    pub(super) fn names_something(&self) -> bool {
        NAMES.iter().any(|name| self.in_earnest.get(name).is_some())
    }
}

/// Parameters with a member that no method has: whoever may call it hears so, and nothing happens.
pub(super) fn nonsense() -> Value {
    json!({"no_such_member": 1})
}

/// A call of each method that `document` lists, on what `world` names.
pub(super) fn calls(document: &Value, world: &Map<String, Value>) -> Vec<Call> {
    let methods = document["methods"].as_array().expect("a document lists methods");
    methods.iter().map(|method| call(method, world)).collect()
}

fn call(method: &Value, world: &Map<String, Value>) -> Call {
    let name = method["name"].as_str().expect("a method has a name").to_owned();
    let scope = method["x-scope"].as_str().unwrap_or_default();
    assert_eq!(scope, needed(&name).unwrap_or_default(), "{name}");
    let params = method["params"].as_array().expect("a method has parameters");
    let mut given = Map::new();
    for param in params {
        let member = param["name"].as_str().expect("a parameter has a name");
        let value = world.get(member);
        assert!(value.is_some() || param["required"] != true, "{name} needs {member}");
        given.extend(value.map(|value| (member.to_owned(), value.clone())));
    }
    Call { method: name, in_earnest: given.into() }
}

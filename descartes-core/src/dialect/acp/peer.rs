//! Requests and answers under JSON-RPC 2.0.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::dialect::Action;
use crate::json::Json;

/// "Method not found" (JSON-RPC 2.0, section 5.1): all that we do not offer.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// "Invalid params" (the same place).
pub(super) const INVALID_PARAMS: i64 = -32602;
/// "Request cancelled": the answer to a request that the agent withdrew.
pub(super) const REQUEST_CANCELLED: i64 = -32800;

/// What was asked of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Initialize,
    Authenticate,
    Open,
    Configure,
    Prompt(u32),
}

/// Our side of the connection: what we asked and have no answer to.
#[derive(Debug, Default)]
pub(super) struct Peer {
    last: u64,
    open: BTreeMap<u64, Purpose>,
}

#[derive(Serialize)]
struct Request<'a, P: Serialize> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    params: &'a P,
}

#[derive(Serialize)]
struct Answer<'a, R: Serialize> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal<'a>>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: i64,
    message: &'a str,
}

impl Peer {
    /// Asks the agent something.
    pub(super) fn request(
        &mut self,
        purpose: Purpose,
        method: &str,
        params: &impl Serialize,
        out: &mut Vec<Action>,
    ) {
        self.last += 1;
        self.open.insert(self.last, purpose);
        send(&Request { jsonrpc: "2.0", id: Some(self.last), method, params }, out);
    }

    /// Tells the agent something.
    pub(super) fn notify(method: &str, params: &impl Serialize, out: &mut Vec<Action>) {
        send(&Request { jsonrpc: "2.0", id: None, method, params }, out);
    }

    /// Answers the agent's request `id`.
    pub(super) fn answer(id: &Json, result: &impl Serialize, out: &mut Vec<Action>) {
        let id = &*id.to_raw();
        send(&Answer { jsonrpc: "2.0", id, result: Some(result), error: None }, out);
    }

    /// Answers the agent's request `id` with an error.
    pub(super) fn refuse(id: &Json, code: i64, message: &str, out: &mut Vec<Action>) {
        let (id, error) = (&*id.to_raw(), Some(Refusal { code, message }));
        send(&Answer::<()> { jsonrpc: "2.0", id, result: None, error }, out);
    }

    /// What the answer `id` answers; none when nothing like it was asked.
    pub(super) fn answered(&mut self, id: &RawValue) -> Option<Purpose> {
        // Some agents answer with the number as text.
        let id = id.get().trim_matches('"').parse().ok()?;
        self.open.remove(&id)
    }
}

fn send(message: &impl Serialize, out: &mut Vec<Action>) {
    let mut bytes = serde_json::to_vec(message).expect("what we say has no maps with other keys");
    bytes.push(b'\n');
    out.push(Action::Send(bytes));
}

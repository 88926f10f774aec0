//! What a client sends. Unknown members are refused.

use std::collections::BTreeMap;

use descartes_rpc::decode::guard::{self, OneOrMany};
use descartes_rpc::wire::duration::Secs;

use super::{ControlCommandType, ZmqOutputStream, wire};
use crate::protocol::Value;

wire! {
    /// Starts an agent.
    strict pub struct SpawnRequest {
        /// Comes back in the answer.
        request_id: String,
        /// The parameters of `agent.spawn`, or the older flat form with `model_backend`.
        config: Value,
        /// How long to wait for the start; what has begun goes on.
        timeout_secs?: Secs,
        /// Texts by name, which the agent gets as labels beside those of `config`.
        #[serde(deserialize_with = "guard::map")]
        metadata?: BTreeMap<String, String>,
    }
}

wire! {
    /// Does something to one agent, or asks something of it.
    strict pub struct ControlCommand {
        /// Comes back in the answer.
        request_id: String,
        /// The agent: its identifier, or its name. Absent or `*` means all, for `get_status`
        /// alone.
        agent_id?: String,
        /// What to do.
        command_type: ControlCommandType,
        /// What it needs.
        #[serde(deserialize_with = "guard::object")]
        payload?: CommandPayload,
        /// Makes repeating a command that changes something safe.
        idempotency_key?: String,
    }
}

wire! {
    /// What commands need. Each takes the members that name it; others are refused.
    strict pub struct CommandPayload {
        /// `stop`: how long it may take to end by itself.
        grace_secs?: Secs,
        /// `pause`: whether to stop it by signal without asking it.
        force?: bool,
        /// `write_stdin`: what to write, as bytes.
        #[serde(with = "serde_bytes")]
        data?: Vec<u8>,
        /// `write_stdin`: what to write, as text.
        text?: String,
        /// `write_stdin`: whether the agent then sees end-of-file.
        close?: bool,
        /// `signal`: which, as in `agent.signal`.
        signal?: String,
        /// `read_*`: from which line, negative from the end; `query_output`: how many matches to
        /// pass over.
        offset?: i64,
        /// `read_*`, `query_output`: how many rows at most.
        limit?: u32,
        /// `read_*`: only the last so many rows; `stream_logs`: only the last so many events
        /// before now.
        tail?: u64,
        /// `read_*`, `stream_logs`: a cursor to go on from.
        after?: String,
        /// `read_*`: how long to wait for a first row when there is none.
        wait_ms?: u64,
        /// `query_output`, `stream_logs`: which output; both unless given.
        stream?: ZmqOutputStream,
        /// `query_output`: a regular expression.
        filter?: String,
        /// `get_status`: whether `status_update`s follow.
        follow?: bool,
        /// `get_status` with `follow`: whether output is announced too.
        output?: bool,
        /// `get_status`, `stream_logs`: ends this subscription instead of beginning one.
        unsubscribe?: String,
        /// `custom_action`: which.
        action?: String,
        /// `custom_action`: its parameters.
        params?: Value,
        /// `custom_action`: how long it may take.
        timeout_secs?: Secs,
    }
}

wire! {
    /// Lists agents.
    strict pub struct ListAgentsRequest {
        /// Comes back in the answer.
        request_id: String,
        /// One status, several, or `live` (unless given), `stopped`, `any`.
        filter_status?: OneOrMany<String>,
        /// How many at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// Where the page before ended.
        page_token?: String,
    }
}

wire! {
    /// Asks whether the daemon is well.
    strict pub struct HealthCheckRequest {
        /// Comes back in the answer.
        request_id: String,
    }
}

wire! {
    /// Runs an action that a backend or an embedder registered.
    strict pub struct CustomActionRequest {
        /// Comes back in the answer.
        request_id: String,
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which; `action.list` names them.
        action: String,
        /// Its parameters.
        params?: Value,
        /// How long it may take.
        timeout_secs?: Secs,
        /// Makes repeating this safe.
        idempotency_key?: String,
    }
}

wire! {
    /// Does the same to many agents, in parallel.
    strict pub struct BatchControlCommand {
        /// Comes back in the answer.
        request_id: String,
        /// The agents, 1000 at most; each an identifier or a name.
        agent_ids: Vec<String>,
        /// What to do: pause, resume, stop, kill, signal, `write_stdin` or `get_status`.
        command_type: ControlCommandType,
        /// What it needs, for every agent the same.
        #[serde(deserialize_with = "guard::object")]
        payload?: CommandPayload,
        /// Whether to begin no more after the first failure.
        #[serde(default)]
        fail_fast: bool,
        /// Makes repeating this safe.
        idempotency_key?: String,
    }
}

wire! {
    /// Searches what an agent wrote.
    strict pub struct OutputQueryRequest {
        /// Comes back in the answer.
        request_id: String,
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which output; both unless given.
        #[serde(default)]
        stream: ZmqOutputStream,
        /// A regular expression that is tried on the bytes of each line; absent, every line
        /// matches.
        filter?: String,
        /// How many matches at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// How many matches to pass over.
        offset?: u64,
    }
}

//! What the daemon sends. Clients ignore what they do not know.

use std::borrow::Cow;

use descartes_rpc::error::RpcError;
use descartes_rpc::wire::agent::{Agent, AgentStatus};
use descartes_rpc::wire::output::Stream;
use serde::{Deserialize, Serialize};

use super::{UpdateType, wire};
use crate::limits::TOLD_CHARS;
use crate::protocol::Value;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProtocolError {
    /// The number of the kind.
    pub code: i32,
    /// What to act on, as `agent_not_found`.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// Where in the request, as `payload.signal`; absent when it is not about a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `retryable` and what belongs to the kind, as in `error.data` of JSON-RPC.
    pub data: Value,
}

impl ProtocolError {
    /// The same as an error of the typed client.
    #[must_use]
    pub fn to_rpc(&self) -> RpcError {
        let data = match self.data.clone().into_json() {
            Ok(serde_json::Value::Object(data)) => data,
            _ => serde_json::Map::new(),
        };
        RpcError::from_wire(self.code, self.message.clone(), data)
    }
}

impl From<&RpcError> for ProtocolError {
    fn from(error: &RpcError) -> Self {
        let path = error.detail("path").and_then(serde_json::Value::as_str);
        let mut data = error.data();
        for member in data.values_mut() {
            if let serde_json::Value::String(text) = member
                && let Cow::Owned(short) = told(text)
            {
                *text = short;
            }
        }
        Self {
            code: error.code(),
            kind: error.kind().as_str().to_owned(),
            message: told(error.message()).into_owned(),
            path: path.map(|path| told(path).into_owned()),
            data: serde_json::Value::Object(data).into(),
        }
    }
}

/// As much of a text as an error tells.
fn told(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TOLD_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

wire! {
    /// The answer to a `spawn_request`.
    open pub struct SpawnResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// Whether the agent was started.
        success: bool,
        /// The agent, as lists show it; absent where its reader may not see it.
        agent_info?: Box<Agent>,
        /// The agent's identifier.
        agent_id?: String,
        /// Where the agent's events begin.
        cursor?: String,
        /// Why it was not started.
        error?: ProtocolError,
        /// The instance that the agent belongs to: the identity of its journal.
        server_id?: String,
    }
}

wire! {
    /// The answer to a `control_command`, a `custom_action_request`, and to what could not be
    /// understood.
    open pub struct CommandResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// The agent, as it was asked for.
        agent_id?: String,
        /// Whether it worked.
        success: bool,
        /// The agent's status now, where the command tells.
        status?: AgentStatus,
        /// What the command gives.
        data?: Value,
        /// Why it did not work.
        error?: ProtocolError,
    }
}

wire! {
    /// The answer to a `list_agents_request`.
    open pub struct ListAgentsResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// Whether it worked.
        success: bool,
        /// The agents.
        agents: Vec<Agent>,
        /// How many match in all.
        total?: u64,
        /// Where the next page begins, when there is one.
        next_page_token?: String,
        /// The position of the journal that this reflects.
        cursor?: String,
        /// Why it did not work.
        error?: ProtocolError,
    }
}

wire! {
    /// The answer to a `health_check_request`.
    open pub struct HealthCheckResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// Whether all works.
        healthy: bool,
        /// The version of the interface.
        protocol_version: String,
        /// How long the daemon has been running.
        uptime_secs?: u64,
        /// How many agents are live; absent where the caller may not know.
        active_agents?: u64,
        /// `status`, `reasons` and `version` of the daemon.
        metadata?: Value,
        /// Why it cannot be told.
        error?: ProtocolError,
    }
}

wire! {
    /// The answer to a `batch_control_command`.
    open pub struct BatchControlResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// Whether all succeeded.
        success: bool,
        /// One entry for each agent, in the order asked.
        results: Vec<BatchAgentResult>,
        /// How many succeeded.
        successful: u64,
        /// How many did not.
        failed: u64,
        /// Why nothing was tried.
        error?: ProtocolError,
    }
}

wire! {
    /// What a batch did to one agent.
    open pub struct BatchAgentResult {
        /// The agent, as it was asked for.
        agent_id: String,
        /// Whether it worked.
        success: bool,
        /// Its status afterwards.
        status?: AgentStatus,
        /// Why it did not work.
        error?: ProtocolError,
    }
}

wire! {
    /// The answer to an `output_query_request`.
    open pub struct OutputQueryResponse {
        /// Which request; nil when it could not be read.
        #[serde(default)]
        request_id: Option<String>,
        /// The agent, as it was asked for.
        agent_id?: String,
        /// Whether it worked.
        success: bool,
        /// The lines that match; what is not UTF-8 is replaced.
        lines: Vec<String>,
        /// How many lines match in all.
        total_lines?: u64,
        /// Whether there are more after these.
        has_more: bool,
        /// Why it did not work.
        error?: ProtocolError,
    }
}

wire! {
    /// Something happened to an agent that is followed (`get_status` with `follow`).
    open pub struct StatusUpdate {
        /// The request that began to follow.
        #[serde(default)]
        request_id: Option<String>,
        /// The agent; `*` where all are followed and none is meant.
        agent_id: String,
        /// What happened.
        update_type: UpdateType,
        /// The agent's status now.
        status?: AgentStatus,
        /// One sentence, where there is more to say.
        message?: String,
        /// What the event says.
        data?: Value,
        /// When.
        timestamp: String,
        /// The position to come back with.
        cursor?: String,
        /// Why this is the last one: `agent_ended`, or a reason of `event.ended`.
        ended?: String,
    }
}

wire! {
    /// A piece of what an agent that is followed wrote (`stream_logs`).
    open pub struct LogStream {
        /// The request that began to follow.
        #[serde(default)]
        request_id: Option<String>,
        /// The agent.
        agent_id: String,
        /// Which output; absent when this message has none.
        stream_type?: Stream,
        /// The exact bytes.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
        /// When the daemon saw them.
        timestamp: String,
        /// The place of the event in the topic `agent/<id>/output`. Where both outputs are followed
        /// a hole means that something is missing, to be read with `event.read`.
        sequence: u64,
        /// The position to come back with.
        cursor?: String,
        /// Where these bytes begin in their output.
        byte_offset?: u64,
        /// Why this is the last one: `agent_ended`, or a reason of `event.ended`.
        ended?: String,
    }
}

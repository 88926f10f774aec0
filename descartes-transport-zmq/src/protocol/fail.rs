//! Answers that say what went wrong, in the shape that the request asks for.

use descartes_rpc::decode::ParamFault;
use descartes_rpc::error::{ErrorKind, RpcError};
use descartes_rpc::openrpc::API_VERSION;

use super::alias;
use super::scan::{Outline, ScanFault};
use super::wire::{
    BatchControlResponse, CommandResponse, HealthCheckResponse, ListAgentsResponse,
    OutputQueryResponse, ProtocolError, SpawnResponse, ZmqMessage,
};
use crate::limits::{MESSAGE_DEPTH, MESSAGE_NODES, REQUEST_ID_CHARS, TOLD_CHARS};

/// Whom an answer is for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// The member `type` of the request.
    pub(super) kind: String,
    /// Its `request_id`, if it could be read.
    pub(super) request_id: Option<String>,
    /// The agent that it names, if it does.
    pub(super) agent_id: Option<String>,
    /// Whether it starts an agent without a `config`.
    pub(super) flat: bool,
}

impl Asked {
    /// What can be told of a message.
    pub(super) fn of(outline: &Outline<'_>) -> Self {
        let request_id = outline.request_id.filter(|id| id.chars().count() <= REQUEST_ID_CHARS);
        Self {
            kind: outline.kind.unwrap_or_default().to_owned(),
            request_id: request_id.map(str::to_owned),
            agent_id: None,
            flat: outline.is_flat_start(),
        }
    }

    /// The answer that it failed.
    pub(super) fn failed(self, error: &RpcError) -> ZmqMessage {
        let Self { kind, request_id, agent_id, flat } = self;
        // What is longer is the name of no agent.
        let agent_id = agent_id.filter(|name| name.chars().count() <= TOLD_CHARS);
        let error = ProtocolError::from(error);
        let error = Some(if flat { alias::without_config(error) } else { error });
        match &*kind {
            "spawn_request" => {
                SpawnResponse { request_id, error, ..SpawnResponse::default() }.into()
            }
            "list_agents_request" => {
                ListAgentsResponse { request_id, error, ..ListAgentsResponse::default() }.into()
            }
            "health_check_request" => HealthCheckResponse {
                request_id,
                protocol_version: API_VERSION.to_owned(),
                error,
                ..HealthCheckResponse::default()
            }
            .into(),
            "batch_control_command" => {
                BatchControlResponse { request_id, error, ..BatchControlResponse::default() }.into()
            }
            "output_query_request" => OutputQueryResponse {
                request_id,
                agent_id,
                error,
                ..OutputQueryResponse::default()
            }
            .into(),
            _ => {
                CommandResponse { request_id, agent_id, error, ..CommandResponse::default() }.into()
            }
        }
    }
}

/// The error of a message that was not understood.
pub(super) fn unread(outline: &Outline<'_>, fault: ParamFault) -> RpcError {
    let about = |kind| RpcError::new(kind, fault.message.clone());
    match outline.fault {
        Some(ScanFault::Malformed { .. } | ScanFault::Trailing { .. }) => {
            about(ErrorKind::ParseError)
        }
        Some(ScanFault::NotAMap) => about(ErrorKind::InvalidRequest),
        Some(ScanFault::TooDeep) => about(ErrorKind::InvalidRequest)
            .with("limit", "limits.protocol_message_depth")
            .with("max", MESSAGE_DEPTH as u64),
        Some(ScanFault::TooMany) => about(ErrorKind::InvalidRequest)
            .with("limit", "limits.protocol_message_nodes")
            .with("max", MESSAGE_NODES as u64),
        None if fault.path == "type" => about(ErrorKind::InvalidRequest)
            .with("path", fault.path)
            .with("available", fault.available),
        None => fault.into(),
    }
}

/// The same error, about the member of the message that `path` of the call came from.
pub(super) fn at(error: RpcError, sent: impl FnOnce(&str) -> String) -> RpcError {
    let path = error.detail("path").and_then(|path| path.as_str()).map(sent);
    match path {
        Some(path) => error.with("path", path),
        None => error,
    }
}

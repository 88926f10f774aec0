//! Any message, tagged by `type`.

use bytes::Bytes;
use descartes_rpc::decode::ParamFault;
use serde::Serialize;

use super::{
    BatchControlCommand, BatchControlResponse, CommandResponse, ControlCommand,
    CustomActionRequest, HealthCheckRequest, HealthCheckResponse, ListAgentsRequest,
    ListAgentsResponse, LogStream, OutputQueryRequest, OutputQueryResponse, SpawnRequest,
    SpawnResponse, StatusUpdate,
};
use crate::protocol::read;

/// Declares the messages once: their words, and the way to and from the wire.
macro_rules! messages {
    ($($(#[doc = $doc:literal])+ $Variant:ident($Body:ty) = $word:literal,)+) => {
        /// A message of the agent protocol, version 1.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "type")]
        #[non_exhaustive]
        pub enum ZmqMessage {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $Variant($Body),)+
        }

        impl ZmqMessage {
            /// The words of `type`.
            pub const TYPES: &'static [&'static str] = &[$($word),+];

            /// The member `type`.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$Variant(_) => $word,)+ }
            }

            pub(in crate::protocol) fn read(
                kind: &str,
                message: &[u8],
            ) -> Option<Result<Self, ParamFault>> {
                match kind {
                    $($word => Some(read::body::<$Body>(message).map(Self::$Variant)),)+
                    _ => None,
                }
            }
        }

        $(
            impl From<$Body> for ZmqMessage {
                fn from(body: $Body) -> Self {
                    Self::$Variant(body)
                }
            }
        )+
    };
}

messages! {
    /// Starts an agent.
    SpawnRequest(SpawnRequest) = "spawn_request",
    /// Its answer.
    SpawnResponse(SpawnResponse) = "spawn_response",
    /// Does something to one agent.
    ControlCommand(ControlCommand) = "control_command",
    /// Its answer, and that of a custom action.
    CommandResponse(CommandResponse) = "command_response",
    /// Lists agents.
    ListAgentsRequest(ListAgentsRequest) = "list_agents_request",
    /// Its answer.
    ListAgentsResponse(ListAgentsResponse) = "list_agents_response",
    /// Asks whether the daemon is well.
    HealthCheckRequest(HealthCheckRequest) = "health_check_request",
    /// Its answer.
    HealthCheckResponse(HealthCheckResponse) = "health_check_response",
    /// Runs an action.
    CustomActionRequest(CustomActionRequest) = "custom_action_request",
    /// Does the same to many agents.
    BatchControlCommand(BatchControlCommand) = "batch_control_command",
    /// Its answer.
    BatchControlResponse(BatchControlResponse) = "batch_control_response",
    /// Searches what an agent wrote.
    OutputQueryRequest(OutputQueryRequest) = "output_query_request",
    /// Its answer.
    OutputQueryResponse(OutputQueryResponse) = "output_query_response",
    /// Something happened to an agent that is followed.
    StatusUpdate(StatusUpdate) = "status_update",
    /// An agent that is followed wrote something.
    LogStream(LogStream) = "log_stream",
}

impl ZmqMessage {
    /// The message as MessagePack: a map, bytes as `bin`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let packed = rmp_serde::to_vec_named(self);
        packed.expect("texts, numbers and maps have a form in MessagePack").into()
    }

    /// Reads a message: requests strictly, what a daemon sends openly.
    ///
    /// # Errors
    ///
    /// Says what is wrong where.
    pub fn decode(message: &[u8]) -> Result<Self, ParamFault> {
        read::message(message).1
    }

    /// The member `request_id`, if there is one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::SpawnRequest(body) => Some(&body.request_id),
            Self::ControlCommand(body) => Some(&body.request_id),
            Self::ListAgentsRequest(body) => Some(&body.request_id),
            Self::HealthCheckRequest(body) => Some(&body.request_id),
            Self::CustomActionRequest(body) => Some(&body.request_id),
            Self::BatchControlCommand(body) => Some(&body.request_id),
            Self::OutputQueryRequest(body) => Some(&body.request_id),
            Self::SpawnResponse(body) => body.request_id.as_deref(),
            Self::CommandResponse(body) => body.request_id.as_deref(),
            Self::ListAgentsResponse(body) => body.request_id.as_deref(),
            Self::HealthCheckResponse(body) => body.request_id.as_deref(),
            Self::BatchControlResponse(body) => body.request_id.as_deref(),
            Self::OutputQueryResponse(body) => body.request_id.as_deref(),
            Self::StatusUpdate(body) => body.request_id.as_deref(),
            Self::LogStream(body) => body.request_id.as_deref(),
        }
    }
}

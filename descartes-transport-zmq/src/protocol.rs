//! Agent protocol v1: messages in MessagePack, each a map tagged by `type`.

mod read;
mod scan;
mod value;
mod wire;

pub use value::Value;
pub use wire::{
    BatchAgentResult, BatchControlCommand, BatchControlResponse, CommandPayload, CommandResponse,
    ControlCommand, ControlCommandType, CustomActionRequest, HealthCheckRequest,
    HealthCheckResponse, ListAgentsRequest, ListAgentsResponse, LogStream, OutputQueryRequest,
    OutputQueryResponse, ProtocolError, SpawnRequest, SpawnResponse, StatusUpdate, UpdateType,
    ZmqMessage, ZmqOutputStream,
};

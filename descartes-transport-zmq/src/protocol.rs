//! Agent protocol v1: messages in MessagePack, each a map tagged by `type`.

mod alias;
mod answer;
mod caller;
mod command;
mod fail;
mod follow;
mod read;
mod room;
mod scan;
mod serve;
#[cfg(test)]
mod tests;
pub(crate) mod told;
mod value;
mod wire;

pub(crate) use room::Room;
pub use serve::serve;
pub(crate) use serve::{AgentProtocol, refusal, speak};
pub use value::Value;
pub use wire::{
    BatchAgentResult, BatchControlCommand, BatchControlResponse, CommandPayload, CommandResponse,
    ControlCommand, ControlCommandType, CustomActionRequest, HealthCheckRequest,
    HealthCheckResponse, ListAgentsRequest, ListAgentsResponse, LogStream, OutputQueryRequest,
    OutputQueryResponse, ProtocolError, SpawnRequest, SpawnResponse, StatusUpdate, UpdateType,
    ZmqMessage, ZmqOutputStream,
};

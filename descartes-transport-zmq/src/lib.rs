//! Descartes over ZeroMQ: JSON-RPC and the agent protocol for REQ and DEALER, streams for SUB.
//!
//! ZMTP 3.x (<https://rfc.zeromq.org/spec/23/>, <https://rfc.zeromq.org/spec/37/>) is spoken here and
//! by no crate: a peer meets our bounds before its first byte costs anything, and each connection is
//! a connection like those of the other transports, with the same limits and the same end.

#[cfg(feature = "client")]
pub mod client;
pub mod limits;
mod msgpack;
pub mod protocol;
mod publish;
mod server;
pub mod zmtp;

#[cfg(feature = "client")]
pub use client::{ZmqAgentRunner, ZmqClient, ZmqConnect, ZmqRunnerConfig};
pub use protocol::{
    BatchAgentResult, BatchControlResponse, ControlCommandType, OutputQueryResponse, StatusUpdate,
    ZmqMessage, ZmqOutputStream,
};
pub use publish::{PublishConfig, PublishTransport};
pub use server::{BindError, ZmqConfig, ZmqTransport};

//! The agent runtime that you embed: agents as supervised, replayable processes.
//!
//! This crate has the agents, the journal and the store, and starts local processes. It opens no
//! socket, reads no arguments, installs no signal handler, and takes of the environment only what
//! the agents inherit.

pub mod action;
pub mod agent;
pub mod approval;
pub mod backend;
pub mod chat;
mod cost;
pub mod cursor;
mod descartes;
pub mod dialect;
pub mod event;
pub mod idempotency;
pub mod journal;
pub mod json;
pub mod limits;
pub mod output;
#[cfg(feature = "process")]
pub mod process;
pub mod recording;
pub mod runner;
mod secrets;
pub mod store;
mod swap;
pub mod tally;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod time;
pub mod trace;

pub use cost::{ChatCost, CostReached};
pub use descartes::{
    AgentBatch, AgentCounts, BatchCommand, BatchEntry, BatchTarget, Builder, Caller, ChatOpened,
    DecideRequest, Descartes, Health, HealthStatus, Kill, Killed, OutputExtent, PromptRequest,
    Prune, RetentionPolicy, Settings, Spawned, StartError, StateError, StateView, WaitFor,
};
pub use swap::Swap;

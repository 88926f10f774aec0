//! The agent runtime that you embed: agents as supervised, replayable processes.
//!
//! This crate has the agents, the journal and the store, and starts local processes. It opens no
//! socket, reads no environment or arguments, and installs no signal handler.

pub mod agent;
pub mod cursor;
pub mod dialect;
pub mod event;
pub mod journal;
pub mod limits;
pub mod output;
pub mod runner;
pub mod store;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod time;

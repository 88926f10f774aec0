//! ZeroMQ over real sockets, in front of services without processes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connect;
#[cfg(feature = "client")]
mod daemon;

mod admission;
mod agents;
mod attacks;
#[cfg(feature = "client")]
mod conformance;
mod conversations;
#[cfg(feature = "client")]
mod dealer;
mod fake;
mod node;
mod packed;
mod publish;
mod server;

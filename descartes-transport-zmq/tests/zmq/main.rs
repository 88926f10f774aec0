//! ZeroMQ over real sockets, in front of a service without processes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

#[cfg(feature = "client")]
mod connect;
#[cfg(feature = "client")]
mod daemon;

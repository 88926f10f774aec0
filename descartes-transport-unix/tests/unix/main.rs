//! The server over a real socket, in front of a service that is played by the test.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod conformance;
mod fake;
mod lines;
mod server;

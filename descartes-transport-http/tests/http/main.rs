//! The server over real sockets, in front of a service that is played by the test.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod admission;
mod bounds;
mod browsers;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod conformance;
mod cors;
mod credentials;
mod fake;
mod mounted;
mod raw;
mod server;
mod streams;
#[cfg(all(feature = "client", feature = "tls"))]
mod tls;
mod websocket;

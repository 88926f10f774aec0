//! JSON-RPC 2.0 in front of a Descartes: messages, methods, subscriptions, authorisation, client.

pub mod accept;
mod audit;
pub mod auth;
mod bounded_map;
pub mod client;
pub mod codec;
pub mod connection;
pub mod decode;
mod envelope;
pub mod error;
#[cfg(test)]
mod fixture;
pub mod frame;
pub mod guide;
mod idempotency;
pub mod keepalive;
pub mod layer;
pub mod limits;
pub mod memory;
pub mod message;
pub mod meter;
pub mod method;
pub mod methods;
pub mod openrpc;
pub mod peer;
pub mod remote;
mod requests;
pub mod router;
#[cfg(feature = "same-user")]
pub mod same_user;
pub mod service;
#[cfg(feature = "socket-path")]
pub mod socket_path;
mod subscription;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod tracer;
pub mod wire;

/// A value that is replaced as a whole: settings that change while a transport serves.
pub use descartes_core::Swap;

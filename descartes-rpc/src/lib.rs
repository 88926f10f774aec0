//! JSON-RPC 2.0 in front of a Descartes: messages, methods, subscriptions, authorisation, client.

pub mod auth;
pub mod connection;
pub mod decode;
pub mod error;
pub mod limits;
pub mod message;
pub mod method;
pub mod peer;
pub mod service;
pub mod wire;

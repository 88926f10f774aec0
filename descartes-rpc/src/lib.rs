//! JSON-RPC 2.0 in front of a Descartes: messages, methods, subscriptions, authorisation, client.

pub mod auth;
pub mod connection;
pub mod error;
pub mod limits;
pub mod message;
pub mod peer;
pub mod service;

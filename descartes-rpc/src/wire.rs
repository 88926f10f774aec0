//! What is on the wire: the parameters and results of every method, and the JSON of events.
//!
//! Nothing of core is serialised by accident: core's objects become these structs in `encode` rooms,
//! and a golden file pins every shape.

#[cfg(test)]
mod golden;
mod shape;

pub mod action;
pub mod agent;
pub mod approval;
pub mod audit;
pub mod auth;
pub mod backend;
pub mod chat;
pub mod chunk;
pub mod config;
pub mod control;
pub mod duration;
pub(crate) mod encode;
mod error;
pub mod event;
pub mod output;
pub mod state;
pub mod system;

pub(crate) use shape::{params, shape, words};

/// The time now, as this interface writes times.
#[must_use]
pub fn now() -> String {
    encode::stamp(descartes_core::time::Clock::default().now())
}

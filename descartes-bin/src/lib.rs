//! `descartes-daemon` and `descartes`, its command line: arguments, configuration, signals, logs and
//! exit codes. Everything else is composed from the other crates.
//!
//! This library exists so that both programs and their tests share it; it promises nothing to
//! others.

pub mod basic;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod directories;
pub mod endpoints;
pub mod exit;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod output;
mod transports;

//! What tests of this crate, and of what is built on it, are made of (feature `test-util`).

mod fake_chat;
mod fake_runner;
mod faulty_store;
mod referee;
pub mod runner_suite;
pub mod store_suite;

pub use fake_chat::FakeChat;
pub use fake_runner::{FakeAgent, FakeInput, FakeRunner};
pub use faulty_store::{Fault, FaultSwitch, FaultyStore};
pub use referee::Referee;

/// The rows that `agent.logs` makes of one stream's `chunks`, for the fuzz targets.
#[doc(hidden)]
#[must_use]
pub fn log_rows(chunks: &[crate::output::Chunk]) -> Vec<crate::output::LogRow> {
    crate::output::log_rows(chunks)
}

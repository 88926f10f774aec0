//! What tests of this crate, and of what is built on it, are made of (feature `test-util`).

pub mod store_suite;

mod fake_runner;

pub use fake_runner::{FakeAgent, FakeInput, FakeRunner};

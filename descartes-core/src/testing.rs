//! What tests of this crate, and of what is built on it, are made of (feature `test-util`).

pub mod store_suite;

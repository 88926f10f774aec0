//! What transports, and services built on this one, are tested with (feature `test-util`).

pub mod conformance;
mod decoder;
mod fake;
mod in_memory;
#[doc(hidden)]
pub mod published;
mod served;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use decoder::{Decoder, decoders};
#[cfg(test)]
pub(crate) use fake::fake_host;
pub use fake::{fake_agent, fake_chat, fake_service};
pub use in_memory::InMemory;
pub use served::{Served, Stopped};

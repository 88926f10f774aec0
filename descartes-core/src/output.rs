//! An agent's output on its way into the journal.

mod chunker;
mod sink;

pub use chunker::{Chunk, Chunker};
pub(crate) use sink::OutputSink;

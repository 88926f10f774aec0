//! An agent's output on its way into the journal.

mod chunker;
mod observer;
mod sink;

pub(crate) use chunker::advance;
pub use chunker::{Chunk, Chunker};
pub(crate) use observer::Observer;
pub(crate) use sink::OutputSink;

//! An agent's output: on its way into the journal, and back out of it as rows and matches.

mod chunker;
pub(crate) mod logs;
mod observer;
mod rows;
pub(crate) mod search;
mod sink;

#[cfg(test)]
pub(crate) use chunker::advance;
pub use chunker::{Chunk, Chunker};
pub use logs::{LogPage, LogQuery};
pub(crate) use observer::Observer;
pub use rows::LogRow;
pub use search::{OutputSearch, SearchMatch, SearchPage};
pub(crate) use sink::OutputSink;

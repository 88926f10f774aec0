//! An agent's output: on its way into the journal, and back out of it as rows and matches.

mod blocked;
mod chunker;
pub(crate) mod logs;
mod observer;
mod pace;
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

/// The rows of one stream that was journalled in `chunks` (feature `test-util`).
#[cfg(any(test, feature = "test-util"))]
pub(crate) fn log_rows(chunks: &[Chunk]) -> Vec<LogRow> {
    use crate::event::{Extent, OutputChunk, StreamName};

    let (mut rows, mut extent, mut all) = (rows::Rows::default(), Extent::default(), Vec::new());
    for chunk in chunks {
        let place = OutputChunk::new(StreamName::Stdout, 1, extent);
        chunker::advance(&mut extent.stdout, &chunk.bytes);
        rows.take(&place, (crate::time::Timestamp::default(), &chunk.bytes), 0, |row| {
            all.push(row);
            true
        });
    }
    rows.flush(|row| all.push(row));
    all
}

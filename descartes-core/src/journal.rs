//! The journal.

/// Placeholder of the type; the real one lands next.
#[derive(Debug)]
pub struct Journal;

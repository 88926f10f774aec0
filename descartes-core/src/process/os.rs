//! What of processes is particular to Linux: `/proc`, pidfds, the tag, pipes.

pub(super) mod leader;
pub(super) mod pipe;
pub(super) mod signal;
pub(super) mod table;
pub(super) mod tag;

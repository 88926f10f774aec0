//! What of processes is particular to Linux: `/proc`, pidfds, the tag, pipes, descriptors.

pub(super) mod held;
pub(super) mod leader;
pub(super) mod pipe;
pub(super) mod signal;
pub(super) mod spare;
pub(super) mod table;
pub(super) mod tag;

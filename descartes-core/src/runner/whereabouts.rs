//! Whether whoever is at the other end of a connection is one of an agent's processes.

use std::time::Instant;

use crate::agent::AgentId;

/// The process at the other end of a connection, as far as the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerProcess {
    /// The process that had the id `pid` at `seen`; it may be another one's by now.
    Process {
        /// Its id.
        pid: u32,
        /// When it was known to be there.
        seen: Instant,
    },
    /// Whoever holds the socket that the system gave this number.
    Socket {
        /// The number.
        number: u64,
    },
}

/// Where a process is, seen from the agents of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// In no agent's tree.
    #[default]
    Outside,
    /// In the tree of this agent: whatever it does, the agent does.
    Inside(AgentId),
    /// It may be in one: the process is gone, or could not be looked at.
    Unknown,
}

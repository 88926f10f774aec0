//! How many descriptors this process may have, and how many of them are for connections.
//!
//! Whoever may connect could otherwise use up the last one, which the store and the agents need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What the daemon has open itself, with room: the store's files, sockets, the log, the runtime.
const OWN: u64 = 64;
/// What an agent needs: three pipes, and a handle on its process.
const PER_AGENT: u64 = 4;

/// Asks for as many descriptors as the configuration can need, and returns how many connections
/// there may be with those that were granted.
pub(super) fn connections(config: &Config) -> u64 {
    let configured = config.server.max_connections;
    let others = OWN.saturating_add(PER_AGENT.saturating_mul(config.agents.max_running));
    let limit = raise(configured.saturating_add(others));
    let fitting = fitting(configured, others, limit);
    if fitting < configured {
        tracing::warn!(
            limit,
            configured,
            fitting,
            "fewer connections than configured: the limit of open files is low"
        );
    }
    fitting
}

/// Raises the soft limit to `wanted`, as far as the hard one allows; `None` is no limit.
fn raise(wanted: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current?;
    let asked = maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(before);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(asked), maximum });
    Some(if raised.is_ok() { asked } else { before })
}

/// Where there are not enough for all, the others get at most half.
fn fitting(configured: u64, others: u64, limit: Option<u64>) -> u64 {
    let left = |limit: u64| limit.saturating_sub(others.min(OWN.max(limit / 2)));
    limit.map_or(configured, |limit| configured.min(left(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_others_their_descriptors() {
        for (configured, others, limit, expected) in [
            (4096, 464, None, 4096),
            (4096, 464, Some(1 << 20), 4096),
            (4096, 464, Some(4560), 4096),
            (4096, 464, Some(1024), 560),
            (4096, 464, Some(256), 128),
            (4096, 464, Some(100), 36),
            (4096, 464, Some(50), 0),
            (16, 464, Some(1024), 16),
        ] {
            assert_eq!(fitting(configured, others, limit), expected, "of {limit:?}");
        }
    }
}

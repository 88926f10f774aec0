//! The two marks by which an agent's processes are known: a variable and a number.

use crate::agent::AgentId;

/// The variable that every process of an agent starts with.
///
/// Its value is one entry for each Descartes that the process is inside of, outermost first,
/// separated by `;`: `instance:agent:run:hosting`.
pub(super) const VARIABLE: &str = "DESCARTES_AGENT";

/// How a run is hosted here: its pipes are ours and end with us.
const HOSTING: &str = "in_process";

/// Bits of a tag that say which agent; the ones above say which instance.
const AGENT_BITS: u32 = 31;

/// One entry of the variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) instance: u32,
    pub(super) agent: AgentId,
    pub(super) run: u32,
}

impl Marker {
    /// The value for a child of a process that has `outer` itself.
    pub(super) fn value(&self, outer: Option<&str>) -> String {
        let Self { instance, agent, run } = self;
        let own = format!("{instance:08x}:{agent}:{run}:{HOSTING}");
        match outer {
            Some(outer) if !outer.is_empty() => format!("{outer};{own}"),
            _ => own,
        }
    }
}

/// The entries of a value, innermost first; what is not one is skipped.
pub(super) fn entries(value: &str) -> impl Iterator<Item = Marker> {
    value.rsplit(';').filter_map(|entry| {
        let mut fields = entry.split(':');
        let instance = u32::from_str_radix(fields.next()?, 16).ok()?;
        let agent = fields.next()?.parse().ok()?;
        let run = fields.next()?.parse().ok()?;
        Some(Marker { instance, agent, run })
    })
}

/// The tag of an agent: 31 bits of the instance, 31 of the agent's identity.
///
/// The run is not in it: between two runs the tree is gone, and a tag that is found after the
/// host has died can be traced to the agent with nothing but its identity.
pub(super) fn tag(instance: u32, agent: AgentId) -> u64 {
    let hash = blake3::hash(agent.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    let agent = u64::from_le_bytes(word) & low_bits();
    (u64::from(instance) & low_bits()) << AGENT_BITS | agent
}

/// The tag beside `tag`, for when that one is taken.
pub(super) fn next_tag(tag: u64) -> u64 {
    tag & !low_bits() | (tag + 1) & low_bits()
}

/// Whether `tag` was given out by `instance`.
pub(super) fn is_of_instance(tag: u64, instance: u32) -> bool {
    tag >> AGENT_BITS == u64::from(instance) & low_bits()
}

const fn low_bits() -> u64 {
    (1 << AGENT_BITS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_marker_keeps_the_outer_one_and_is_read_first() {
        let outer = Marker { instance: 0xab, agent: AgentId::generate(), run: 2 };
        let inner = Marker { instance: 7, agent: AgentId::generate(), run: 1 };
        let value = inner.value(Some(&outer.value(None)));
        assert_eq!(entries(&value).collect::<Vec<_>>(), [inner, outer]);
        assert_eq!(entries("rubbish;;1:2").count(), 0);
    }

    #[test]
    fn a_tag_fits_in_62_bits_and_tells_its_instance() {
        let agent = AgentId::generate();
        let tag = tag(0xffff_ffff, agent);
        assert!(tag < 1 << 62);
        assert!(is_of_instance(tag, 0xffff_ffff));
        assert!(!is_of_instance(tag, 1));
        assert!(is_of_instance(next_tag(tag | low_bits()), 0xffff_ffff));
    }
}

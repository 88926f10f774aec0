//! Whether the process at the other end of a connection is one of an agent's.
//!
//! A process that is known by its id is looked at with what it descends from, one by one. Whoever
//! holds a socket is looked for among the processes of agents, in one pass that everybody who asks
//! meanwhile shares.

use std::collections::HashMap;
use std::time::Instant;

use super::attribution::Marks;
use super::census::{Pass, ProcMarks};
use super::marker;
use super::os::held;
use super::os::table::{self, Entry, NoDescriptor};
use super::registry::{Claims, Owner};
use crate::agent::AgentId;
use crate::runner::Whereabouts;

/// Ancestors of a process that are looked at; a longer line is that of a program that hides.
const ANCESTORS: usize = 1024;
/// Looks at a line of ancestors that changes meanwhile.
const LOOKS: usize = 8;
/// Sockets of agents that one pass takes note of; a program that holds more hides its own among
/// them.
const SOCKETS: usize = 256 * 1024;

/// Where processes are looked at.
pub(super) trait Look: Marks {
    /// The process `pid`, if there is one.
    fn entry(&self, pid: u32) -> Result<Option<Entry>, NoDescriptor>;
    /// Whether a mark could not be read although there may be one.
    fn is_partial(&self) -> bool;
}

impl Look for ProcMarks {
    fn entry(&self, pid: u32) -> Result<Option<Entry>, NoDescriptor> {
        table::entry(pid)
    }

    fn is_partial(&self) -> bool {
        ProcMarks::is_partial(self)
    }
}

/// By what a host knows the processes of its agents.
pub(super) struct Known {
    pub(super) instance: u32,
    pub(super) host: u32,
    pub(super) claims: Claims,
}

impl Known {
    /// Where the process is that had the id `pid` at `seen`.
    pub(super) fn find_process(&self, pid: u32, seen: Instant) -> Whereabouts {
        let look = ProcMarks::new();
        // What began after it was seen is another one.
        let latest = look.now().saturating_sub(table::ticks(seen.elapsed()));
        self.find(&look, pid, latest)
    }

    /// The same for what began by `latest`.
    fn find(&self, look: &dyn Look, pid: u32, latest: u64) -> Whereabouts {
        for _ in 0..LOOKS {
            let Ok(Some(first)) = look.entry(pid) else { return Whereabouts::Unknown };
            if first.is_dead() || first.start > latest {
                return Whereabouts::Unknown;
            }
            let Some(found) = self.climb(look, first) else { continue };
            let same = look.entry(pid).is_ok_and(|again| {
                again.is_some_and(|again| again.identity() == first.identity() && !again.is_dead())
            });
            return match found {
                // Only of one that is still the same it is certain.
                Whereabouts::Outside if !same || look.is_partial() => Whereabouts::Unknown,
                found => found,
            };
        }
        Whereabouts::Unknown
    }

    /// Looks at `first` and its ancestors; nothing when they changed meanwhile.
    fn climb(&self, look: &dyn Look, first: Entry) -> Option<Whereabouts> {
        let mut at = first;
        for _ in 0..ANCESTORS {
            // What the host descends from is nobody's.
            if at.pid == self.host {
                return Some(Whereabouts::Outside);
            }
            if let Some(found) = self.of(look, &at) {
                return Some(found);
            }
            if at.parent == 0 {
                return Some(Whereabouts::Outside);
            }
            match look.entry(at.parent) {
                Ok(Some(above)) if above.start <= at.start => at = above,
                Ok(_) => return None,
                Err(NoDescriptor) => return Some(Whereabouts::Unknown),
            }
        }
        Some(Whereabouts::Unknown)
    }

    /// Whose `entry` is by itself.
    fn of(&self, look: &dyn Look, entry: &Entry) -> Option<Whereabouts> {
        let claims = &self.claims;
        let leads = [entry.pid, entry.group, entry.session];
        if let Some(run) = leads.into_iter().find_map(|id| claims.by_leader(id)) {
            return Some(self.owned(Owner::Run(run)));
        }
        let tag = look.tag(entry);
        if let Some(owner) = tag.and_then(|tag| claims.by_tag(tag)) {
            return Some(self.owned(owner));
        }
        // Of a run that has ended, or that was just started and is claimed in a moment.
        let ours = tag.is_some_and(|tag| marker::is_of_instance(tag, self.instance));
        self.marked(look, entry).or_else(|| ours.then_some(Whereabouts::Unknown))
    }

    /// Whose `entry` is by the marker in its environment.
    fn marked(&self, look: &dyn Look, entry: &Entry) -> Option<Whereabouts> {
        let marker = look.marker(entry)?;
        let mut entries = marker::entries(&marker);
        let own = entries.find(|entry| entry.instance == self.instance)?;
        Some(Whereabouts::Inside(own.agent))
    }

    fn owned(&self, owner: Owner) -> Whereabouts {
        match owner {
            Owner::Run(run) => {
                self.claims.agent_of(run).map_or(Whereabouts::Unknown, Whereabouts::Inside)
            }
            Owner::Ended => Whereabouts::Unknown,
        }
    }
}

/// Which agent holds which socket, as far as one pass saw.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    holders: HashMap<u64, Option<AgentId>>,
    partial: bool,
}

impl Sockets {
    /// Looks through everything that `pass` found to be an agent's.
    pub(super) fn of(pass: &Pass, claims: &Claims) -> Self {
        let mut holders = HashMap::new();
        let mut partial = pass.is_partial();
        for (entry, owner) in pass.owned() {
            let agent = match owner {
                Owner::Run(run) => claims.agent_of(run),
                Owner::Ended => None,
            };
            let mut note = |number| {
                holders.insert(number, agent);
                holders.len() < SOCKETS
            };
            partial |= held::sockets(entry.pid, &mut note).is_err();
        }
        partial |= holders.len() >= SOCKETS;
        Self { holders, partial }
    }

    /// Where whoever holds the socket `number` is.
    pub(super) fn holder(&self, number: u64) -> Whereabouts {
        match self.holders.get(&number) {
            Some(Some(agent)) => Whereabouts::Inside(*agent),
            Some(None) => Whereabouts::Unknown,
            None if self.partial => Whereabouts::Unknown,
            None => Whereabouts::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::super::marker::Marker;
    use super::super::registry::{Registration, Registry};
    use super::*;

    const HOST: u32 = 10;
    const INSTANCE: u32 = 7;
    /// When everything in these tables began at the latest.
    const LATEST: u64 = 1;

    /// A process table that may change after each look.
    #[derive(Default)]
    struct Table {
        entries: HashMap<u32, Entry>,
        tags: HashMap<u32, u64>,
        markers: HashMap<u32, String>,
        gone_after_a_look: RefCell<Vec<u32>>,
    }

    impl Table {
        /// One above the other, the uppermost first.
        fn line(pids: &[u32]) -> Self {
            let mut table = Self::default();
            let above = std::iter::once(0).chain(pids.iter().copied());
            for (parent, pid) in above.zip(pids) {
                table.entries.insert(*pid, Entry::for_test(*pid, parent, *pid));
            }
            table
        }
    }

    impl Marks for Table {
        fn tag(&self, entry: &Entry) -> Option<u64> {
            self.tags.get(&entry.pid).copied()
        }
        fn marker(&self, entry: &Entry) -> Option<String> {
            self.markers.get(&entry.pid).cloned()
        }
        fn is_young(&self, _: &Entry) -> bool {
            false
        }
    }

    impl Look for Table {
        fn entry(&self, pid: u32) -> Result<Option<Entry>, NoDescriptor> {
            let mut gone = self.gone_after_a_look.borrow_mut();
            if let Some(at) = gone.iter().position(|gone| *gone == pid) {
                gone.remove(at);
                return Ok(None);
            }
            Ok(self.entries.get(&pid).copied())
        }
        fn is_partial(&self) -> bool {
            false
        }
    }

    struct Host {
        agent: AgentId,
        run: Registration,
        known: Known,
    }

    /// A host with one agent, which the process 20 leads.
    fn host() -> Host {
        let registry = Arc::new(Registry::default());
        let agent = AgentId::generate();
        let run = registry.register(20, Marker { instance: INSTANCE, agent, run: 1 });
        let known = Known { instance: INSTANCE, host: HOST, claims: registry.claims() };
        Host { agent, run, known }
    }

    impl Host {
        fn find(&self, table: &Table, pid: u32) -> Whereabouts {
            self.known.find(table, pid, LATEST)
        }
    }

    #[test]
    fn descendants_of_an_agent_are_inside_and_others_of_the_host_are_not() {
        let host = host();
        let inside = Whereabouts::Inside(host.agent);
        let table = Table::line(&[1, HOST, 20, 21, 22]);
        for pid in [20, 21, 22] {
            assert_eq!(host.find(&table, pid), inside, "{pid}");
        }
        let table = Table::line(&[1, HOST, 40]);
        for pid in [1, HOST, 40] {
            assert_eq!(host.find(&table, pid), Whereabouts::Outside, "{pid}");
        }
    }

    #[test]
    fn who_left_the_tree_is_known_by_either_mark_and_so_is_what_it_starts() {
        let host = host();
        let inside = Whereabouts::Inside(host.agent);
        let mut table = Table::line(&[1, 30, 31]);
        assert_eq!(host.find(&table, 31), Whereabouts::Outside);
        table.tags.insert(30, host.run.tag);
        assert_eq!(host.find(&table, 31), inside);
        table.tags.clear();
        let marker = Marker { instance: INSTANCE, agent: host.agent, run: 1 };
        let inner = Marker { instance: 8, agent: AgentId::generate(), run: 1 };
        table.markers.insert(30, inner.value(Some(&marker.value(None))));
        assert_eq!(host.find(&table, 31), inside);
        // Another host's agents are none of ours.
        table.markers.insert(30, inner.value(None));
        assert_eq!(host.find(&table, 31), Whereabouts::Outside);
    }

    #[test]
    fn a_mark_of_an_agent_that_has_ended_is_not_taken_for_outside() {
        let host = host();
        let mut table = Table::line(&[1, 30]);
        table.tags.insert(30, marker::tag(INSTANCE, AgentId::generate()));
        assert_eq!(host.find(&table, 30), Whereabouts::Unknown);
    }

    #[test]
    fn an_agent_that_is_not_claimed_yet_is_known_by_its_marker() {
        let host = host();
        let young = AgentId::generate();
        let mut table = Table::line(&[1, 30]);
        table.tags.insert(30, marker::tag(INSTANCE, young));
        let marker = Marker { instance: INSTANCE, agent: young, run: 1 };
        table.markers.insert(30, marker.value(None));
        assert_eq!(host.find(&table, 30), Whereabouts::Inside(young));
    }

    #[test]
    fn a_process_that_is_gone_or_began_later_is_another_one() {
        let host = host();
        let table = Table::line(&[1, 30]);
        assert_eq!(host.find(&table, 31), Whereabouts::Unknown);
        assert_eq!(host.known.find(&table, 30, LATEST - 1), Whereabouts::Unknown);
        assert_eq!(host.find(&table, 30), Whereabouts::Outside);
    }

    #[test]
    fn a_line_that_changes_is_looked_at_again_and_not_for_ever() {
        let host = host();
        let table = Table::line(&[1, 5, 30]);
        table.gone_after_a_look.borrow_mut().push(5);
        assert_eq!(host.find(&table, 30), Whereabouts::Outside);
        table.gone_after_a_look.borrow_mut().extend([5; LOOKS]);
        assert_eq!(host.find(&table, 30), Whereabouts::Unknown);
        // A circle has no end, and nobody is outside of it.
        let mut table = Table::line(&[50, 51]);
        table.entries.insert(50, Entry::for_test(50, 51, 50));
        assert_eq!(host.find(&table, 51), Whereabouts::Unknown);
    }
}

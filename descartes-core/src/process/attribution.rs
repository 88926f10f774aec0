//! Whose each process is: pure but for the marks it asks for.

use std::collections::HashMap;

use super::os::table::Entry;
use super::registry::{Claims, Owner};

/// What was found out before, by process. A process never changes its owner, so this is also the
/// list of those that were seen in a tree before they left it.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<(u32, u64), Option<Owner>>);

impl Known {
    /// Forgets what has gone.
    fn keep(&mut self, entries: &[Entry]) {
        let mut kept = HashMap::with_capacity(entries.len());
        for entry in entries {
            let identity = entry.identity();
            if let Some(owner) = self.0.remove(&identity) {
                kept.insert(identity, owner);
            }
        }
        self.0 = kept;
    }
}

/// Where the marks of a process are read, which costs more than the rest together.
pub(super) trait Marks {
    /// The tag of `entry`.
    fn tag(&self, entry: &Entry) -> Option<u64>;
    /// The marker variable of `entry`.
    fn marker(&self, entry: &Entry) -> Option<String>;
    /// Whether nothing can be said about `entry` yet: it is so young that it may be on its way
    /// from `fork` to `exec`, or to its tag.
    fn is_young(&self, entry: &Entry) -> bool;
}

/// The process that looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) pid: u32,
    /// Whether orphans below it become its children, so that they may be anybody's.
    pub(super) adopts: bool,
}

/// What was found out of a process in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is no run's.
    Nobodys,
    /// It is no run's, and nothing that descends from it by others than leaders is: the application
    /// has started it, perhaps while the host bore a mark, which it then bears as well.
    Applications,
    Owned(Owner),
}

/// Finds the owner of every process: by its leader's pid, group or session, by what was known,
/// by ancestry, and only then by its marks. `host` and what it descends from is nobody's, and so is
/// what it has started beside its runs.
pub(super) fn attribute(
    entries: &[Entry],
    host: Host,
    (claims, known): (&Claims, &mut Known),
    marks: &dyn Marks,
) -> Vec<Option<Owner>> {
    known.keep(entries);
    let index: HashMap<u32, usize> =
        entries.iter().enumerate().map(|(at, entry)| (entry.pid, at)).collect();
    let mut found = vec![None; entries.len()];
    let mut above = Some(host.pid);
    // Bounded by the table's size, should its rows contradict each other.
    for _ in 0..entries.len() {
        let Some(at) = above.and_then(|pid| index.get(&pid)) else { break };
        let is_parent_of_applications = entries[*at].pid == host.pid && !host.adopts;
        found[*at] =
            Some(if is_parent_of_applications { Found::Applications } else { Found::Nobodys });
        above = Some(entries[*at].parent);
    }
    let mut chain = Vec::new();
    for start in 0..entries.len() {
        let quick = |entry: &Entry| quick(entry, claims, known);
        let below = climb(start, (entries, &index), &found, quick, &mut chain);
        settle((&mut chain, below), entries, &mut found, (claims, known), marks);
    }
    let owner = |found| match found {
        Some(Found::Owned(owner)) => Some(owner),
        _ => None,
    };
    found.into_iter().map(owner).collect()
}

/// The way up from `start` to the first whose owner is known: that one and its owner last. Returns
/// what is known of the one at its end.
fn climb(
    start: usize,
    (entries, index): (&[Entry], &HashMap<u32, usize>),
    found: &[Option<Found>],
    quick: impl Fn(&Entry) -> Option<Owner>,
    chain: &mut Vec<(usize, Option<Owner>)>,
) -> Option<Found> {
    let mut at = start;
    while found[at].is_none() && chain.len() <= entries.len() {
        let owner = quick(&entries[at]);
        chain.push((at, owner));
        if owner.is_some() {
            return None;
        }
        at = *index.get(&entries[at].parent)?;
    }
    // An owned ancestor owns the way down to `start`; the host and the unowned do not.
    if let Some(Found::Owned(owner)) = found[at] {
        chain.push((at, Some(owner)));
    }
    found[at]
}

/// Settles a way up from its top, which is below what is known there: whoever has no owner by then
/// and is not the application's is asked for its marks.
fn settle(
    (chain, below): (&mut Vec<(usize, Option<Owner>)>, Option<Found>),
    entries: &[Entry],
    found: &mut [Option<Found>],
    (claims, known): (&Claims, &mut Known),
    marks: &dyn Marks,
) {
    let mut owner = None;
    let is_applications = below == Some(Found::Applications);
    while let Some((at, quick)) = chain.pop() {
        let entry = &entries[at];
        let cached = known.0.get(&entry.identity()).copied();
        owner = owner.or(quick);
        if owner.is_none() && cached.is_none() && !is_applications {
            owner = marked(entry, claims, marks);
        }
        found[at] = Some(match owner {
            Some(owner) => Found::Owned(owner),
            None if is_applications => Found::Applications,
            None => Found::Nobodys,
        });
        if owner.is_some() || (cached.is_none() && !marks.is_young(entry)) {
            known.0.insert(entry.identity(), owner);
        }
    }
}

fn quick(entry: &Entry, claims: &Claims, known: &Known) -> Option<Owner> {
    let led = claims.by_leader(entry.pid);
    let led = led.or_else(|| claims.by_leader(entry.group));
    let led = led.or_else(|| claims.by_leader(entry.session)).map(Owner::Run);
    led.or_else(|| known.0.get(&entry.identity()).copied().flatten())
}

fn marked(entry: &Entry, claims: &Claims, marks: &dyn Marks) -> Option<Owner> {
    if let Some(owner) = marks.tag(entry).and_then(|tag| claims.by_tag(tag)) {
        return Some(owner);
    }
    let marker = marks.marker(entry)?;
    claims.by_marker(&marker).map(Owner::Run)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::super::marker::Marker;
    use super::super::registry::{Registration, Registry};
    use super::*;
    use crate::agent::AgentId;

    const HOST: u32 = 10;
    const ADOPTING: Host = Host { pid: HOST, adopts: true };
    const APPLICATION: Host = Host { pid: HOST, adopts: false };

    #[derive(Default)]
    struct FakeMarks {
        tags: HashMap<u32, u64>,
        asked: Cell<usize>,
    }

    impl Marks for FakeMarks {
        fn tag(&self, entry: &Entry) -> Option<u64> {
            self.asked.set(self.asked.get() + 1);
            self.tags.get(&entry.pid).copied()
        }
        fn marker(&self, _: &Entry) -> Option<String> {
            None
        }
        fn is_young(&self, _: &Entry) -> bool {
            false
        }
    }

    fn run(leader: u32) -> (Arc<Registry>, Registration) {
        let registry = Arc::new(Registry::default());
        let marker = Marker { instance: 1, agent: AgentId::generate(), run: 1 };
        let registration = registry.register(leader, marker);
        (registry, registration)
    }

    fn owned(
        entries: &[Entry],
        registry: &Registry,
        known: &mut Known,
        marks: &FakeMarks,
    ) -> Vec<u32> {
        owned_of(ADOPTING, entries, (registry, known), marks)
    }

    fn owned_of(
        host: Host,
        entries: &[Entry],
        (registry, known): (&Registry, &mut Known),
        marks: &FakeMarks,
    ) -> Vec<u32> {
        let owners = attribute(entries, host, (&registry.claims(), known), marks);
        let pids = entries.iter().zip(owners).filter(|(_, owner)| owner.is_some());
        pids.map(|(entry, _)| entry.pid).collect()
    }

    fn process(pid: u32, parent: u32) -> Entry {
        Entry::for_test(pid, parent, pid)
    }

    #[test]
    fn descendants_groups_and_tags_are_the_runs_and_nothing_else_is() {
        let (registry, registration) = run(20);
        let mut table = vec![process(1, 0), process(5, 1), process(HOST, 5)];
        table.extend([process(20, HOST), process(21, 20), process(22, 21)]);
        // Left by a double fork: in the group; with the tag; below one with the tag; a stranger.
        table.extend([Entry::for_test(30, 1, 20), process(31, 1), process(32, 31), process(33, 1)]);
        // Another child of the host's.
        table.push(process(40, HOST));
        let marks =
            FakeMarks { tags: HashMap::from([(31, registration.tag)]), ..Default::default() };
        let all = owned(&table, &registry, &mut Known::default(), &marks);
        assert_eq!(all, [20, 21, 22, 30, 31, 32]);
    }

    #[test]
    fn what_the_application_has_started_is_its_own_whatever_mark_it_bears() {
        let (registry, registration) = run(20);
        let mut table = vec![process(1, 0), process(HOST, 1), process(20, HOST), process(21, 20)];
        table.extend([process(40, HOST), process(41, 40), process(42, 41), process(50, 1)]);
        let tags = [40, 41, 42, 50].map(|pid| (pid, registration.tag));
        let marks = FakeMarks { tags: HashMap::from(tags), ..Default::default() };
        let of = |host, known: &mut Known| owned_of(host, &table, (&registry, known), &marks);
        assert_eq!(of(APPLICATION, &mut Known::default()), [20, 21, 50]);
        assert_eq!(of(ADOPTING, &mut Known::default()), [20, 21, 40, 41, 42, 50]);
        // Seen once, it stays so when its parent is gone.
        let mut known = Known::default();
        of(APPLICATION, &mut known);
        let after = [process(1, 0), process(HOST, 1), process(20, HOST), process(42, 1)];
        assert_eq!(owned_of(APPLICATION, &after, (&registry, &mut known), &marks), [20]);
    }

    #[test]
    fn who_was_seen_in_the_tree_stays_in_it_after_its_parent_has_gone() {
        let (registry, _registration) = run(20);
        let mut known = Known::default();
        let marks = FakeMarks::default();
        let before = [process(1, 0), process(HOST, 1), process(20, HOST), process(21, 20)];
        assert_eq!(owned(&before, &registry, &mut known, &marks), [20, 21]);
        let after = [process(1, 0), process(HOST, 1), process(20, HOST), process(21, 1)];
        assert_eq!(owned(&after, &registry, &mut known, &marks), [20, 21]);
    }

    #[test]
    fn marks_are_read_once_for_each_process() {
        let (registry, _registration) = run(20);
        let mut known = Known::default();
        let marks = FakeMarks::default();
        let table = [process(1, 0), process(HOST, 1), process(20, HOST), process(50, 1)];
        for _ in 0..3 {
            assert_eq!(owned(&table, &registry, &mut known, &marks), [20]);
        }
        assert_eq!(marks.asked.get(), 1);
    }

    #[test]
    fn a_table_that_contradicts_itself_ends() {
        let (registry, _registration) = run(20);
        let marks = FakeMarks::default();
        let table = [process(50, 51), process(51, 50), process(HOST, 50)];
        assert!(owned(&table, &registry, &mut Known::default(), &marks).is_empty());
    }
}

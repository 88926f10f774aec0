//! Recent events in memory, shared by all readers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::cursor::Position;
use crate::event::{Event, Topic};

/// The events of one commit. Readers share it whole.
#[derive(Debug)]
pub struct Group {
    events: Box<[Event]>,
    /// The topic of all of them, when they have one.
    topic: Option<Topic>,
}

impl Group {
    /// The events, in order; never empty.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The one topic of all the events, when they have one.
    pub(super) fn only_topic(&self) -> Option<&Topic> {
        self.topic.as_ref()
    }

    fn new(events: Vec<Event>) -> Option<Self> {
        let first = events.first()?.topic.clone();
        let topic = events.iter().all(|event| event.topic == first).then_some(first);
        Some(Self { events: events.into(), topic })
    }

    fn first(&self) -> Position {
        self.events[0].position
    }

    pub(super) fn last(&self) -> Position {
        self.events[self.events.len() - 1].position
    }

    fn weight(&self) -> usize {
        self.events.iter().map(Event::weight).sum()
    }
}

pub(super) struct Ring {
    state: RwLock<State>,
    /// A copy of the state's head, for readers that only ask whether there is something new.
    head: AtomicU64,
    bytes_max: usize,
}

struct State {
    groups: VecDeque<(Arc<Group>, usize)>,
    bytes: usize,
    head: Position,
    closed: bool,
}

/// What the ring can say to a reader at a position.
pub(super) enum Look {
    /// The next events, in one group; the reader may have seen its beginning.
    Group(Arc<Group>),
    /// Nothing yet.
    AtHead,
    /// They are no longer in memory.
    Behind,
    /// Nothing will come.
    Closed,
}

impl Ring {
    pub(super) fn new(head: Position, bytes_max: usize) -> Self {
        let state = State { groups: VecDeque::new(), bytes: 0, head, closed: false };
        Self { state: RwLock::new(state), head: AtomicU64::new(head.0), bytes_max }
    }

    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    pub(super) fn at_head<T>(&self, look: impl FnOnce() -> T) -> (T, Position) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        (look(), state.head)
    }

    /// Makes `events` visible, up to `head`, and runs `apply` in the same moment.
    pub(super) fn publish(
        &self,
        events: Vec<Event>,
        head: Position,
        apply: impl FnOnce(),
    ) -> Option<Arc<Group>> {
        let group = Group::new(events).map(Arc::new);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = &group {
            state.push(Arc::clone(group), self.bytes_max);
        }
        state.head = head;
        // Before whoever waits can learn of it and ask for the events: they wait for this lock.
        self.head.store(head.0, Ordering::Release);
        apply();
        group
    }

    /// Drops everything: some of it is not to be read any more. Readers ask the store, which knows
    /// what.
    pub(super) fn forget(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.groups.clear();
        state.bytes = 0;
    }

    pub(super) fn look(&self, seen: Position) -> Look {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if seen >= state.head {
            return if state.closed { Look::Closed } else { Look::AtHead };
        }
        // Most readers are at the end, and want what came last.
        if let Some((last, _)) = state.groups.back()
            && last.first() <= seen.next()
            && last.last() > seen
        {
            return Look::Group(Arc::clone(last));
        }
        let oldest = state.groups.front().map(|(group, _)| group.first());
        if oldest.is_none_or(|oldest| seen.next() < oldest) {
            return Look::Behind;
        }
        let index = state.groups.partition_point(|(group, _)| group.last() <= seen);
        match state.groups.get(index) {
            Some((group, _)) => Look::Group(Arc::clone(group)),
            None => Look::Behind,
        }
    }

    pub(super) fn close(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}

impl State {
    fn push(&mut self, group: Arc<Group>, bytes_max: usize) {
        let follows =
            self.groups.back().is_none_or(|(last, _)| last.last().next() == group.first());
        if !follows {
            // Somebody else wrote in between: what is in memory is no longer contiguous.
            self.groups.clear();
            self.bytes = 0;
        }
        // The last group is weighed anew: readers may have made wire forms since it was pushed.
        if let Some((last, weight)) = self.groups.back_mut() {
            let now = last.weight();
            self.bytes = self.bytes - *weight + now;
            *weight = now;
        }
        let weight = group.weight();
        self.bytes += weight;
        self.groups.push_back((group, weight));
        while self.bytes > bytes_max && self.groups.len() > 1 {
            if let Some((_, weight)) = self.groups.pop_front() {
                self.bytes -= weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_learns_what_a_commit_changed_finds_its_events() {
        let ring = Ring::new(Position(4), 1024);
        ring.publish(Vec::new(), Position(5), || assert_eq!(ring.head(), Position(5)));
    }
}

//! Readers at the end of the journal, waiting for something on their topics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use super::ring::Group;
use crate::cursor::Position;
use crate::event::TopicFilter;

/// One place for each subscription, for as long as that lives.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Places>);

#[derive(Default)]
struct Places {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
}

struct Place {
    filters: Arc<[TopicFilter]>,
    waker: Option<Waker>,
    /// Up to where it has looked.
    seen: Arc<AtomicU64>,
    /// Whether it is shown among the subscriptions.
    shown: bool,
}

impl Waiters {
    /// A place for a reader that has looked up to `seen`.
    pub(super) fn add(&self, filters: Arc<[TopicFilter]>, seen: Arc<AtomicU64>) -> usize {
        let mut inner = self.lock();
        let place = Some(Place { filters, waker: None, seen, shown: true });
        if let Some(index) = inner.free.pop() {
            inner.places[index] = place;
            return index;
        }
        inner.places.push(place);
        inner.places.len() - 1
    }

    /// The reader at `index` is no subscription.
    pub(super) fn hide(&self, index: usize) {
        if let Some(place) = &mut self.lock().places[index] {
            place.shown = false;
        }
    }

    /// How many subscriptions there are, and how far behind `head` the last of them is. Who waits
    /// for something is not behind: nothing has come that it wants.
    pub(super) fn shown(&self, head: Position) -> (u64, u64) {
        let (mut count, mut lag) = (0, 0);
        for place in self.lock().places.iter().flatten().filter(|place| place.shown) {
            count += 1;
            if place.waker.is_none() {
                lag = lag.max(head.0.saturating_sub(place.seen.load(Ordering::Relaxed)));
            }
        }
        (count, lag)
    }

    pub(super) fn remove(&self, index: usize) {
        let mut inner = self.lock();
        inner.places[index] = None;
        inner.free.push(index);
    }

    pub(super) fn park(&self, index: usize, waker: &Waker) {
        if let Some(place) = &mut self.lock().places[index] {
            match &mut place.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        let inner = self.lock();
        inner.places.len() - inner.free.len()
    }

    /// Wakes whoever waits for a topic of `group`.
    pub(super) fn wake(&self, group: &Group) {
        let wanted = |place: &Place| match group.only_topic() {
            Some(topic) => place.filters.iter().any(|filter| filter.matches(topic)),
            None => group
                .events()
                .iter()
                .any(|event| place.filters.iter().any(|filter| filter.matches(&event.topic))),
        };
        self.wake_those(wanted);
    }

    pub(super) fn wake_all(&self) {
        self.wake_those(|_| true);
    }

    fn wake_those(&self, wanted: impl Fn(&Place) -> bool) {
        let mut due = Vec::new();
        for place in self.lock().places.iter_mut().flatten() {
            if place.waker.is_some() && wanted(place) {
                due.extend(place.waker.take());
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

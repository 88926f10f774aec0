//! Readers at the end of the journal, waiting for something on their topics.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use super::ring::Group;
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
}

impl Waiters {
    pub(super) fn add(&self, filters: Arc<[TopicFilter]>) -> usize {
        let mut inner = self.lock();
        let place = Some(Place { filters, waker: None });
        if let Some(index) = inner.free.pop() {
            inner.places[index] = place;
            return index;
        }
        inner.places.push(place);
        inner.places.len() - 1
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

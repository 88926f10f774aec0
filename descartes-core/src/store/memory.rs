//! A store in memory: for tests, and for applications that need no history after their end.

mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::state::State;
use super::{
    Batch, Committed, Document, EventPage, EventQuery, Key, KeyRange, Page, Retention, StateStore,
    StoreError, StoreIdentity, StoreUsage, TopicQuery, TopicState, Trimmed,
};
use crate::event::{Event, PreviousEnd, TopicFilter};

/// A [`StateStore`] that lives as long as its value.
///
/// It uses no thread, file or clock, so that tests with paused time work with it. Its size is
/// bounded by what [`trim`](StateStore::trim) is told to keep.
#[derive(Debug)]
pub struct MemoryStore {
    identity: StoreIdentity,
    state: Mutex<Option<State>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with a number of its own.
    #[must_use]
    pub fn new() -> Self {
        // The low half of a random identity is random throughout.
        let number = uuid::Uuid::new_v4().as_u128() as u32;
        Self { identity: StoreIdentity::fresh(number), state: Mutex::new(Some(State::default())) }
    }

    /// What a host finds that starts again on this store, which fails as closed from now on.
    ///
    /// The new one says that it was left in order when [`close`](StateStore::close) was called.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut state = self.lock().take().unwrap_or_default();
        let mut identity = self.identity.clone();
        identity.previous = if state.closed { PreviousEnd::Clean } else { PreviousEnd::Crashed };
        identity.opened_at = state.head;
        state.closed = false;
        Self { identity, state: Mutex::new(Some(state)) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        match &mut *self.lock() {
            Some(state) if !state.closed => Ok(work(state)),
            _ => Err(StoreError::Closed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // No operation leaves the state half changed, so a panic elsewhere does not matter here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.with(|state| state.commit(batch))?
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.with(|state| state.get(key))
    }

    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError> {
        self.with(|state| state.list(range))
    }

    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.with(|state| state.read(query))
    }

    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        self.with(|state| state.read_topic(query))
    }

    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        self.with(|state| state.topics(filter))
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.with(|state| state.trim(retention))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.with(|state| state.closed = true)
    }

    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn usage(&self) -> StoreUsage {
        let bytes = self.lock().as_ref().map_or(0, State::bytes);
        StoreUsage { bytes, free_bytes: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::store_suite;

    #[tokio::test]
    async fn the_store_in_memory_passes_the_suite_for_stores() {
        let failures = store_suite::check(async || Arc::new(MemoryStore::new()) as _).await;
        assert_eq!(failures, []);
    }

    #[tokio::test]
    async fn a_host_that_starts_again_learns_how_the_one_before_ended() {
        let store = MemoryStore::new();
        let again = store.reopen();
        assert_eq!(again.identity().previous, PreviousEnd::Crashed);
        assert!(matches!(store.commit(Batch::control()).await, Err(StoreError::Closed)));
        again.close().await.unwrap();
        assert_eq!(again.reopen().identity().previous, PreviousEnd::Clean);
    }
}

//! A store that keeps nothing, so that what stands above it can be measured alone.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use descartes_core::cursor::Position;
use descartes_core::event::{Event, TopicFilter};
use descartes_core::store::{
    Batch, Committed, Document, EventPage, EventQuery, Key, KeyRange, Page, Retention, StateStore,
    StoreError, StoreIdentity, StoreUsage, TopicQuery, TopicState, Trimmed,
};

/// Gives places to events and forgets them: readers live on the journal's ring alone.
#[derive(Debug)]
pub struct NoStore {
    identity: StoreIdentity,
    head: AtomicU64,
}

impl Default for NoStore {
    fn default() -> Self {
        Self { identity: StoreIdentity::fresh(1), head: AtomicU64::new(0) }
    }
}

impl NoStore {
    fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }
}

#[async_trait]
impl StateStore for NoStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let count = batch.events.len() as u64;
        let before = self.head.fetch_add(count, Ordering::AcqRel);
        let versions = vec![1; batch.puts.len()];
        let offsets = (before..before + count).collect();
        Ok(Committed { head: Position(before + count), offsets, versions })
    }

    async fn get(&self, _key: &Key) -> Result<Option<Document>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _range: &KeyRange) -> Result<Page, StoreError> {
        Ok(Page { documents: Vec::new(), more: false, position: self.head() })
    }

    async fn read(&self, _query: &EventQuery) -> Result<EventPage, StoreError> {
        let what = "a reader fell behind the ring, and there is nothing else".into();
        Err(StoreError::Corrupt { what })
    }

    async fn read_topic(&self, _query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn topics(&self, _filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        Ok(Vec::new())
    }

    async fn trim(&self, _retention: &Retention) -> Result<Trimmed, StoreError> {
        Ok(Trimmed::default())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn usage(&self) -> StoreUsage {
        StoreUsage::default()
    }
}

//! A store that fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;

use crate::event::{Event, TopicFilter};
use crate::store::{
    Batch, Committed, Document, EventPage, EventQuery, Key, KeyRange, Lane, Page, Retention,
    StateStore, StoreError, StoreIdentity, StoreUsage, TopicQuery, TopicState, Trimmed,
};

/// What a [`FaultyStore`] does to commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// They go through.
    None = 0,
    /// There is no space for output; the reserve serves control.
    OutputFull = 1,
    /// There is no space at all.
    Full = 2,
    /// Writing fails for another reason.
    Broken = 3,
}

/// Passes everything on to another store, but for commits while a fault is set.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    fault: Arc<AtomicU8>,
}

/// Sets the fault of a [`FaultyStore`].
#[derive(Clone, Debug)]
pub struct FaultSwitch(Arc<AtomicU8>);

impl FaultSwitch {
    /// Sets the fault.
    pub fn set(&self, fault: Fault) {
        self.0.store(fault as u8, Ordering::Release);
    }
}

impl<S: StateStore> FaultyStore<S> {
    /// Puts itself before `inner`, with no fault set.
    pub fn new(inner: S) -> (Self, FaultSwitch) {
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        (Self { inner, fault: Arc::clone(&fault) }, FaultSwitch(fault))
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FaultyStore<S> {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let fault = self.fault.load(Ordering::Acquire);
        let output = batch.lane == Lane::Output;
        if fault == Fault::Full as u8 || (fault == Fault::OutputFull as u8 && output) {
            let source = Arc::new(std::io::ErrorKind::StorageFull.into());
            return Err(StoreError::Full { source });
        }
        if fault == Fault::Broken as u8 {
            return Err(StoreError::Unavailable { what: "told to fail".into() });
        }
        self.inner.commit(batch).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError> {
        self.inner.list(range).await
    }

    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.inner.read(query).await
    }

    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        self.inner.read_topic(query).await
    }

    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        self.inner.topics(filter).await
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.inner.trim(retention).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }

    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn usage(&self) -> StoreUsage {
        self.inner.usage()
    }
}

//! Stores that are broken on purpose, each in one way, do not pass.

use async_trait::async_trait;

use super::*;
use crate::event::Event;
use crate::store::{
    Committed, Document, Key, KeyRange, MemoryStore, Page, Retention, StoreIdentity, StoreUsage,
    TopicQuery, TopicState, Trimmed,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    LosesPayloads,
    SkipsAnEvent,
    IgnoresExpectations,
    TellsNoGaps,
    ForgetsToScan,
    KeepsWhatWasForgotten,
    StaysOpen,
}

struct Broken(MemoryStore, Fault);

#[async_trait]
impl StateStore for Broken {
    async fn commit(&self, mut batch: Batch) -> Result<Committed, StoreError> {
        if self.1 == Fault::IgnoresExpectations {
            for put in &mut batch.puts {
                put.expect = crate::store::Expect::Any;
            }
        }
        if self.1 == Fault::KeepsWhatWasForgotten {
            batch.forget.clear();
        }
        self.0.commit(batch).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.0.get(key).await
    }
    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError> {
        self.0.list(range).await
    }
    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        let mut page = self.0.read(query).await?;
        match self.1 {
            Fault::LosesPayloads => {
                for event in &mut page.events {
                    event.payload = event.payload.slice(..event.payload.len().min(65_536));
                }
            }
            Fault::SkipsAnEvent => page.events.retain(|event| event.position != Position(40)),
            Fault::TellsNoGaps => page.gaps.clear(),
            Fault::ForgetsToScan if page.events.is_empty() => page.next = query.after,
            _ => {}
        }
        Ok(page)
    }
    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        self.0.read_topic(query).await
    }
    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        self.0.topics(filter).await
    }
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.0.trim(retention).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        if self.1 == Fault::StaysOpen { Ok(()) } else { self.0.close().await }
    }
    fn identity(&self) -> &StoreIdentity {
        self.0.identity()
    }
    fn usage(&self) -> StoreUsage {
        self.0.usage()
    }
}

#[tokio::test]
async fn stores_that_are_broken_in_one_way_fail() {
    for fault in [
        Fault::LosesPayloads,
        Fault::SkipsAnEvent,
        Fault::IgnoresExpectations,
        Fault::TellsNoGaps,
        Fault::ForgetsToScan,
        Fault::KeepsWhatWasForgotten,
        Fault::StaysOpen,
    ] {
        let failures = check(async || Arc::new(Broken(MemoryStore::new(), fault)) as _).await;
        assert!(!failures.is_empty(), "{fault:?} was not noticed");
    }
}

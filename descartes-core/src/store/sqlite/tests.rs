//! What only this store must hold.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::testing::store_suite;

/// A store and the folder that goes with it.
struct Kept {
    store: SqliteStore,
    _dir: Arc<tempfile::TempDir>,
}

#[async_trait]
impl StateStore for Kept {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.store.commit(batch).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Document>, StoreError> {
        self.store.get(key).await
    }
    async fn list(&self, range: &KeyRange) -> Result<Page, StoreError> {
        self.store.list(range).await
    }
    async fn read(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.store.read(query).await
    }
    async fn read_topic(&self, query: &TopicQuery) -> Result<Vec<Event>, StoreError> {
        self.store.read_topic(query).await
    }
    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicState>, StoreError> {
        self.store.topics(filter).await
    }
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.store.trim(retention).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
    fn identity(&self) -> &StoreIdentity {
        self.store.identity()
    }
    fn usage(&self) -> StoreUsage {
        self.store.usage()
    }
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, &SqliteOptions::default()).expect("the store opens")
}

#[tokio::test]
async fn the_embedded_store_passes_the_suite_for_stores() {
    let failures = store_suite::check(async || {
        let dir = Arc::new(tempfile::tempdir().expect("a folder"));
        Arc::new(Kept { store: open(dir.path()), _dir: dir }) as _
    })
    .await;
    assert_eq!(failures, []);
}

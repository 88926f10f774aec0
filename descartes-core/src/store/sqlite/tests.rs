//! What only this store must hold.

mod copies;
mod crash;
mod damage;
mod full;
mod mend;
mod model;
mod salvage;
mod tmpfs;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::cursor::Position;
use crate::event::{EventBody, NewEvent, Topic};
use crate::testing::store_suite;
use crate::time::Timestamp;

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

/// One event of agent 1's output per payload, in one batch.
fn output(payloads: &[usize]) -> Batch {
    let mut batch = Batch::output();
    for (seed, len) in payloads.iter().enumerate() {
        let body = EventBody::SystemDraining;
        let payload: Vec<u8> = (0..*len).map(|n| (n * 31 + seed * 7) as u8).collect();
        let topic = Topic::new("agent/1/output");
        let event = NewEvent::new(topic, "local".into(), Timestamp::from_millis(1), &body);
        batch = batch.event(event.with_payload(payload.into()));
    }
    batch
}

async fn history(store: &SqliteStore) -> Vec<(u64, u64, Bytes)> {
    let mut query = EventQuery {
        topics: vec![TopicFilter::All],
        after: Position::START,
        max_events: 1000,
        max_bytes: 1 << 20,
    };
    let mut all = Vec::new();
    loop {
        let page = store.read(&query).await.expect("a page");
        let events = page.events.iter();
        all.extend(events.map(|event| (event.position.0, event.offset, event.payload.clone())));
        if page.next == page.head {
            return all;
        }
        query.after = page.next;
    }
}

async fn fault(store: &SqliteStore, fault: writer::Fault) {
    store.ask(|answer| Request::Fault(fault, answer)).await.expect("the writer lives");
}

fn segments(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for topic in std::fs::read_dir(dir.join("segments")).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(topic.path()).into_iter().flatten().flatten() {
            names.push(file.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn retention_gives_the_space_of_whole_segments_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..56 {
        store.commit(output(&[1 << 20])).await.unwrap();
    }
    assert_eq!(segments(dir.path()), ["0.seg", "1.seg", "2.seg", "3.seg"]);
    let mut retention = Retention::new(Timestamp::from_millis(0));
    retention.output_bytes_per_agent = 10 << 20;
    while store.trim(&retention).await.unwrap().more {}
    assert_eq!(segments(dir.path()), ["3.seg"]);
    assert!(store.usage().bytes < 20 << 20, "{:?}", store.usage());
    let mut forget = Batch::control();
    forget.forget.push(Topic::new("agent/1/output"));
    store.commit(forget).await.unwrap();
    while store.trim(&retention).await.unwrap().more {}
    assert_eq!(segments(dir.path()), [""; 0]);
    store.commit(output(&[5000])).await.unwrap();
    assert_eq!(history(&store).await.len(), 1);
}

#[tokio::test]
async fn readers_are_not_disturbed_by_retention() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut retention = Retention::new(Timestamp::from_millis(0));
    retention.output_bytes_per_agent = 2 << 20;
    let write = async {
        for _ in 0..60 {
            store.commit(output(&[1 << 20])).await.unwrap();
            while store.trim(&retention).await.unwrap().more {}
        }
    };
    let read = async {
        let mut query = EventQuery {
            topics: vec![TopicFilter::All],
            after: Position::START,
            max_events: 100,
            max_bytes: 3 << 20,
        };
        while query.after < Position(60) {
            let page = store.read(&query).await.unwrap();
            if let Some(first) = page.events.first() {
                let expected = match &page.gaps[..] {
                    [gap] => gap.to_offset,
                    _ => query.after.0,
                };
                assert_eq!(first.offset, expected);
            }
            assert!(page.events.windows(2).all(|pair| pair[1].offset == pair[0].offset + 1));
            query.after = page.next;
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn the_log_stays_bounded_under_a_flood_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = dir.path().join("journal.db-wal");
    let mut greatest = 0;
    for _ in 0..80 {
        store.commit(output(&[4096; 256])).await.unwrap();
        greatest = greatest.max(log.metadata().unwrap().len());
    }
    assert!(greatest < 64 << 20, "{greatest}");
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("new"));
    store.commit(output(&[5000])).await.unwrap();
    let mut folders = vec![dir.path().join("new")];
    while let Some(folder) = folders.pop() {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o77, 0, "{folder:?}");
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            assert_eq!(meta.permissions().mode() & 0o77, 0, "{entry:?}");
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
}

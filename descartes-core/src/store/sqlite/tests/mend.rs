//! What a repair keeps of a damaged store, and what it says of the rest.

use std::collections::BTreeMap;

use super::damage::{files, flipped, folder, lay, small, stride};
use super::*;
use crate::event::LOST_KIND;
use crate::store::Space;

/// Everything in a store by its name: documents, and events by topic and offset.
async fn contents(store: &SqliteStore) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for space in [Space::AGENT, Space::STATE] {
        for document in store.list(&KeyRange::new(space, "", 100)).await.unwrap().documents {
            found.insert(document.key.to_string(), format!("{document:?}"));
        }
    }
    let mut query = EventQuery {
        topics: vec![TopicFilter::All],
        after: Position::START,
        max_events: 100,
        max_bytes: 1 << 20,
    };
    loop {
        let page = store.read(&query).await.unwrap();
        for event in page.events {
            let name = format!("{}#{:03}", event.topic, event.offset);
            let same = (&event.by, event.at, &event.body, &event.payload);
            found.insert(name, format!("{} {same:?}", event.kind));
        }
        if page.next == page.head {
            return found;
        }
        query.after = page.next;
    }
}

#[tokio::test]
async fn a_repair_keeps_what_is_good_and_marks_what_is_not() {
    let dir = folder();
    small(dir.path(), true).await;
    let whole = files(dir.path());
    let original = open(dir.path());
    let (expected, identity) = (contents(&original).await, original.identity().clone());
    drop(original);
    let mut places =
        whole.iter().flat_map(|(path, bytes)| (0..bytes.len()).map(move |at| (path, at)));
    let (mut tried, mut kept) = (0, 0);
    while let Some((path, at)) = places.nth(3 * stride()) {
        let what = format!("{path:?} at {at}");
        let parent = folder();
        let dir = parent.path().join("store");
        let mut harmed = whole.clone();
        harmed.insert(path.clone(), flipped(&whole[path], at));
        lay(&harmed, &dir);
        let repaired = match SqliteStore::repair(&dir) {
            Ok(repaired) => repaired,
            // Another version of the tables, as far as anybody can tell.
            Err(OpenError::TooNew { .. } | OpenError::Older { .. }) => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        tried += 1;
        let report = SqliteStore::check(&dir, None).unwrap();
        assert!(report.is_whole(), "{what}: {report:?}");
        let store = open(&dir);
        assert_eq!(store.identity().store, identity.store, "{what}");
        assert!(store.identity().epoch > identity.epoch, "{what}");
        let found = contents(&store).await;
        kept += found.len();
        for (name, value) in &found {
            let lost = value.starts_with(LOST_KIND);
            assert!(lost || expected.get(name) == Some(value), "{what}: {name}");
        }
        if repaired.lost.is_empty() {
            assert_eq!(found, expected, "{what}: nothing was told as lost");
        }
        assert_eq!(files(&repaired.old), harmed, "{what}: the old files are as they were");
    }
    assert!(tried > 0);
    let mean = kept as f64 / tried as f64;
    assert!(mean > 0.7 * expected.len() as f64, "{mean} of {}", expected.len());
}

#[tokio::test]
async fn a_payload_that_is_damaged_is_lost_alone_and_its_place_stays() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    let store = open(&dir);
    store.commit(output(&[10, 6000, 20, 7000, 30])).await.unwrap();
    let cursor = store.identity().cursor(Position(4));
    store.close().await.unwrap();
    drop(store);
    let path = segment::path(&dir, 1, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = SqliteStore::check(&dir, None).unwrap();
    assert_eq!(report.damages[0].place, "events: seq 2", "{report:?}");
    let repaired = SqliteStore::repair(&dir).unwrap();
    assert_eq!(repaired.events, 4);
    assert!(repaired.lost.iter().any(|lost| lost.starts_with("events: seq 2:")), "{repaired:?}");
    let store = open(&dir);
    let lengths: Vec<_> = history(&store).await.iter().map(|event| event.2.len()).collect();
    assert_eq!(lengths, [10, 0, 20, 7000, 30]);
    assert_eq!(store.identity().cursor(Position(4)), cursor, "cursors of before go on");
    let done = store.commit(output(&[8000])).await.unwrap();
    assert_eq!((done.head, done.offsets), (Position(6), vec![5]));
    assert_eq!(std::fs::read(segment::path(&repaired.old, 1, 0)).unwrap(), bytes);
    let mut retention = Retention::new(Timestamp::default());
    retention.output_bytes_total = 0;
    while store.trim(&retention).await.unwrap().more {}
    assert_eq!(segments(&dir), [""; 0]);
    assert_eq!(segments(&repaired.old), ["0.seg"]);
}

#[tokio::test]
async fn a_store_that_somebody_has_open_is_neither_checked_nor_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(SqliteStore::check(dir.path(), None), Err(OpenError::InUse { .. })));
    assert!(matches!(SqliteStore::repair(dir.path()), Err(OpenError::InUse { .. })));
    drop(store);
    assert!(SqliteStore::check(dir.path(), None).unwrap().is_whole());
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(SqliteStore::check(&nowhere, None), Err(OpenError::Io { .. })));
    assert!(!nowhere.exists());
}

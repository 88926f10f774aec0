//! What happens when there is no space, and when the disk fails.

use super::*;
use crate::store::{Put, Space};

fn control(id: &str) -> Batch {
    let put = Put::new(Key::new(Space::META, id), "local".into(), Bytes::from_static(b"x"));
    let mut batch = Batch::control().put(put);
    batch.events = output(&[100]).events;
    batch
}

#[tokio::test]
async fn a_full_disk_refuses_output_whole_and_recovers_by_itself() {
    for kind in [writer::Fault::Full, writer::Fault::SegmentsFull] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.commit(output(&[10_000, 20])).await.unwrap();
        let (before, usage) = (history(&store).await, store.usage().bytes);
        fault(&store, kind).await;
        for _ in 0..3 {
            let refused = store.commit(output(&[30, 30_000])).await;
            assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
        }
        assert_eq!(history(&store).await, before);
        assert!(store.usage().bytes < usage + 100_000);
        assert_eq!(segment::path(dir.path(), 1, 0).metadata().unwrap().len(), 10_008);
        assert!(dir.path().join("reserve").exists(), "output does not take the reserve");
        fault(&store, writer::Fault::None).await;
        let done = store.commit(output(&[30_000])).await.unwrap();
        assert_eq!((done.head, done.offsets), (Position(3), vec![2]));
        assert_eq!(history(&store).await.len(), 3);
    }
}

#[tokio::test]
async fn what_is_left_to_others_is_not_taken_by_output() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().min_free_bytes(u64::MAX);
    let store = SqliteStore::open(dir.path(), &options).unwrap();
    let refused = store.commit(output(&[1])).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    store.commit(control("a")).await.expect("control goes on");
    drop(store);
    let store = SqliteStore::open(dir.path(), &SqliteOptions::default().min_free_bytes(1)).unwrap();
    store.commit(output(&[1])).await.expect("there is a byte");
}

#[tokio::test]
async fn control_goes_on_with_the_reserve_which_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = dir.path().join("reserve");
    let store = open(dir.path());
    assert_eq!(reserve.metadata().unwrap().len(), 1 << 20);
    fault(&store, writer::Fault::FullUntilReleased).await;
    let refused = store.commit(output(&[1])).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })));
    assert_eq!(store.commit(control("a")).await.unwrap().head, Position(1));
    assert!(!reserve.exists());
    let refused = store.commit(output(&[1])).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "what is left is for control");
    fault(&store, writer::Fault::None).await;
    // The free space is looked at a few times a second.
    while store.commit(output(&[1])).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(reserve.exists());
    assert_eq!(history(&store).await.len(), 2);
}

#[tokio::test]
async fn after_a_failed_write_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&[10_000])).await.unwrap();
    fault(&store, writer::Fault::Disk).await;
    for _ in 0..2 {
        let failed = store.commit(control("a")).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        let failed = store.commit(output(&[40_000])).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    }
    fault(&store, writer::Fault::None).await;
    let done = store.commit(output(&[20_000])).await.unwrap();
    assert_eq!((done.head, done.offsets), (Position(2), vec![1]));
    assert_eq!(store.get(&Key::new(Space::META, "a")).await.unwrap(), None);
    assert_eq!(history(&store).await.len(), 2);
}

//! Copies of a store: those that a backup makes, and those that an earlier version left.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::agent::{AgentFilter, PageRequest, StatusFilter};
use crate::event::PreviousEnd;
use crate::store::{Put, Space};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_of_the_store_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir.path().join("store")));
    let done = Arc::new(AtomicBool::new(false));
    let load = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tokio::spawn(async move {
            let mut retention = Retention::new(Timestamp::from_millis(0));
            retention.output_bytes_per_agent = 40 << 20;
            let mut round = 0_u64;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                let key = Key::new(Space::STATE, "/round");
                let body = round.to_string();
                let mut batch = output(&[100, 60_000, 5000]);
                batch = batch.put(Put::new(key, "local".into(), body.into()));
                store.commit(batch).await.unwrap();
                store.trim(&retention).await.unwrap();
            }
        })
    };
    while store.identity().cursor(Position(0)).position != Position(0)
        || store.get(&Key::new(Space::STATE, "/round")).await.unwrap().is_none()
    {
        tokio::task::yield_now().await;
    }
    for number in 0..3 {
        let to = dir.path().join(format!("copy-{number}"));
        let (from, target) = (dir.path().join("store"), to.clone());
        let copied = tokio::task::spawn_blocking(move || SqliteStore::backup(from, target));
        let copied = copied.await.unwrap().unwrap();
        let again = SqliteStore::backup(dir.path().join("store"), &to);
        assert!(matches!(again, Err(BackupError::Io { .. })), "{again:?}");
        let copy = open(&to);
        let identity = copy.identity();
        assert_eq!(identity.store, store.identity().store);
        assert_eq!(identity.epoch, store.identity().epoch + 1);
        assert_ne!(identity.instance, store.identity().instance);
        assert_eq!(identity.previous, PreviousEnd::Crashed);
        let round = copy.get(&Key::new(Space::STATE, "/round")).await.unwrap().unwrap();
        let round: u64 = std::str::from_utf8(&round.body).unwrap().parse().unwrap();
        let events = history(&copy).await;
        assert_eq!(events.len() as u64, copied.events);
        assert_eq!(events.last().unwrap().0, 3 * round, "documents and events are of one moment");
        let done = copy.commit(output(&[9000])).await.unwrap();
        assert_eq!(done.head, Position(3 * round + 1));
        let instance = identity.instance;
        drop(copy);
        let copy = open(&to);
        assert_eq!(copy.identity().instance, instance, "it keeps the number that it took");
        assert_eq!(copy.identity().epoch, store.identity().epoch + 1);
    }
    done.store(true, Ordering::Relaxed);
    load.await.unwrap();
}

#[tokio::test]
async fn a_damaged_store_gives_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("store");
    let store = open(&from);
    store.commit(output(&[10_000])).await.unwrap();
    let file = segment::path(&from, 1, 0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let to = dir.path().join("copy");
    assert!(matches!(SqliteStore::backup(&from, &to), Err(BackupError::Damaged { .. })));
    assert!(!to.exists());
}

/// A copy of the store that version 0.1.0 left.
fn first_format() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/format-1");
    for file in ["journal.db", "segments/3/0.seg", "segments/7/0.seg"] {
        let to = dir.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(kept.join(file), to).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_store_of_format_1_is_brought_up_to_date_with_all_that_is_in_it() {
    let dir = first_format();
    let checked = SqliteStore::check(dir.path(), None);
    assert!(matches!(checked, Err(OpenError::Older { found: 1, known: 2, .. })), "{checked:?}");
    let store = open(dir.path());
    assert_eq!((store.identity().epoch, store.identity().previous), (1, PreviousEnd::Clean));
    let agents = store.list(&KeyRange::new(Space::AGENT, "", 9)).await.unwrap().documents;
    assert_eq!(agents.len(), 2);
    let events = history(&store).await;
    let payloads: usize = events.iter().map(|event| event.2.len()).sum();
    let said = "one\ntwo\n".len() + 3 + 6000 + "\nlast\n".len();
    assert_eq!((events.last().map(|event| event.0), payloads), (Some(21), 2 * said));
    store.commit(output(&[5000])).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let report = SqliteStore::check(dir.path(), None).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.format, report.events as usize), (2, events.len() + 1));
}

#[tokio::test]
async fn agents_of_format_1_are_there_after_the_update() {
    let dir = first_format();
    let store = Arc::new(open(dir.path()));
    let host = crate::Descartes::builder().store(store).build().await.unwrap();
    let all = AgentFilter::status(StatusFilter::Any);
    let page = host.list(&all, &PageRequest::default()).unwrap();
    let names: Vec<_> = page.agents.iter().map(|agent| agent.record.name.to_string()).collect();
    assert_eq!(names, ["third", "first"]);
}

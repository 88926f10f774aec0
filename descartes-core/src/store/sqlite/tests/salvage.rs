//! What a repair finds in a database that SQLite does not open, or of which it reaches a part.

use super::damage::{files, folder, lay, small};
use super::*;
use crate::store::{Put, Space};

/// Bytes of a page of the database.
const PAGE: usize = 4096;
const DATABASE: &str = "journal.db";

/// What is kept of the store in `files` after `harm` was done to its database: documents, events.
fn kept(files: &super::damage::Files, harm: impl FnOnce(&mut Vec<u8>)) -> (u64, u64) {
    let parent = folder();
    let dir = parent.path().join("store");
    let mut harmed = files.clone();
    harm(harmed.get_mut(Path::new(DATABASE)).unwrap());
    lay(&harmed, &dir);
    let repaired = SqliteStore::repair(&dir).unwrap();
    assert!(!repaired.lost.is_empty(), "{repaired:?}");
    let report = SqliteStore::check(&dir, None).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert!(!dir.join("salvaged").exists());
    open(&dir);
    (repaired.documents, repaired.events)
}

/// A store with many pages, and how many documents and events it has.
async fn large() -> (super::damage::Files, u64, u64) {
    let dir = folder();
    small(dir.path(), true).await;
    let store = open(dir.path());
    for number in 0..60 {
        store.commit(output(&[200, 3000, 40 + number])).await.unwrap();
        let key = Key::new(Space::STATE, format!("/{number}"));
        let body = format!("\"{}\"", "v".repeat(900)).into_bytes();
        store
            .commit(Batch::control().put(Put::new(key, "local".into(), body.into())))
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let whole = files(dir.path());
    let report = SqliteStore::check(dir.path(), None).unwrap();
    assert!(report.is_whole(), "{report:?}");
    (whole, report.documents, report.events)
}

#[tokio::test]
async fn the_first_page_may_be_gone() {
    let (whole, documents, events) = large().await;
    assert_eq!(kept(&whole, |bytes| bytes[..PAGE].fill(0)), (documents, events));
    assert_eq!(kept(&whole, |bytes| bytes[3] ^= 4), (documents, events));
    assert_eq!(kept(&whole, |bytes| bytes[17] ^= 1), (documents, events));
}

#[tokio::test]
async fn of_a_database_that_was_cut_the_pages_that_are_left_are_kept() {
    let (whole, documents, events) = large().await;
    let length = whole[Path::new(DATABASE)].len();
    let mut last = (0, 0);
    for part in 1..8 {
        let found = kept(&whole, |bytes| bytes.truncate(length * part / 8 + 100));
        assert!(found.0 >= last.0 && found.1 >= last.1, "{part}: {found:?} after {last:?}");
        last = found;
    }
    assert!(last.0 > documents / 2 && last.1 > events / 2, "{last:?} of {documents}, {events}");
}

#[tokio::test]
async fn any_page_may_be_gone_and_takes_only_its_own_rows_with_it() {
    let (whole, documents, events) = large().await;
    let pages = whole[Path::new(DATABASE)].len() / PAGE;
    assert!(pages > 40, "{pages}");
    for page in 0..pages {
        let found = kept(&whole, |bytes| bytes[page * PAGE..][..PAGE].fill(0x55));
        let most = (documents.abs_diff(found.0), events.abs_diff(found.1));
        assert!(most.0 < 12 && most.1 < 40, "{page}: {found:?} of {documents}, {events}");
    }
}

#[tokio::test]
async fn what_was_deleted_stays_deleted_when_pages_are_read_one_by_one() {
    let dir = folder();
    small(dir.path(), true).await;
    let store = open(dir.path());
    let key = |number: i32| Key::new(Space::STATE, format!("/{number:03}"));
    for number in 0..60 {
        let body = format!("\"{}\"", "v".repeat(900)).into_bytes();
        let put = Put::new(key(number), "local".into(), body.into());
        store.commit(Batch::control().put(put)).await.unwrap();
    }
    for number in 5..60 {
        store.commit(Batch::control().delete(key(number))).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let whole = files(dir.path());
    let documents = SqliteStore::check(dir.path(), None).unwrap().documents;
    assert_eq!(kept(&whole, |bytes| bytes[3] ^= 4).0, documents);
}

#[tokio::test]
async fn what_lies_in_the_log_alone_is_found() {
    let dir = folder();
    small(dir.path(), false).await;
    let whole = files(dir.path());
    let log = &whole[Path::new("journal.db-wal")];
    assert!(log.len() > PAGE, "the log is not folded");
    let parent = folder();
    let copy = parent.path().join("store");
    lay(&whole, &copy);
    let store = open(&copy);
    store.close().await.unwrap();
    drop(store);
    let report = SqliteStore::check(&copy, None).unwrap();
    // Page 1 of the log is what SQLite opens: it is harmed there, and in the database.
    let parent = folder();
    let dir = parent.path().join("store");
    let mut harmed = whole.clone();
    harmed.get_mut(Path::new(DATABASE)).unwrap()[3] ^= 4;
    let log = harmed.get_mut(Path::new("journal.db-wal")).unwrap();
    let mut at = 32;
    while at + 24 + PAGE <= log.len() {
        if log[at..at + 4] == [0, 0, 0, 1] {
            log[at + 24 + 3] ^= 4;
        }
        at += 24 + PAGE;
    }
    lay(&harmed, &dir);
    let repaired = SqliteStore::repair(&dir).unwrap();
    assert_eq!((repaired.documents, repaired.events), (report.documents, report.events));
}

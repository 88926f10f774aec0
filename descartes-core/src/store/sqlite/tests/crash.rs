//! What is there after an end without `close`, and what is refused.

use std::io::Write;

use rusqlite::Connection;

use super::*;
use crate::event::PreviousEnd;

const SIZES: [usize; 6] = [0, 10, 4096, 4097, 70_000, 200_000];

#[tokio::test]
async fn everything_acknowledged_is_there_after_an_end_without_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.identity().previous, PreviousEnd::Clean);
    store.commit(output(&SIZES)).await.unwrap();
    let before = history(&store).await;
    let number = store.identity().store;
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.identity().previous, PreviousEnd::Crashed);
    assert_eq!((store.identity().store, store.identity().epoch), (number, 1));
    assert_eq!(store.identity().opened_at, Position(6));
    assert_eq!(history(&store).await, before);
    let done = store.commit(output(&[5000])).await.unwrap();
    assert_eq!((done.head, done.offsets), (Position(7), vec![6]));
    store.close().await.unwrap();
    let store = open(dir.path());
    assert_eq!(store.identity().previous, PreviousEnd::Clean);
    assert_eq!(history(&store).await.len(), 7);
}

#[tokio::test]
async fn positions_go_on_when_all_events_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&SIZES)).await.unwrap();
    let mut retention = Retention::new(Timestamp::default());
    retention.output_bytes_total = 0;
    while store.trim(&retention).await.unwrap().more {}
    drop(store);
    let store = open(dir.path());
    assert_eq!(history(&store).await, []);
    let done = store.commit(output(&[1])).await.unwrap();
    assert_eq!((done.head, done.offsets), (Position(7), vec![6]));
}

#[tokio::test]
async fn bytes_that_were_never_committed_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&[10_000])).await.unwrap();
    drop(store);
    let file = segment::path(dir.path(), 1, 0);
    let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(&[7; 5555]).unwrap();
    let store = open(dir.path());
    store.commit(output(&[20_000])).await.unwrap();
    assert_eq!(file.metadata().unwrap().len(), 30_016);
    let lengths: Vec<usize> = history(&store).await.iter().map(|event| event.2.len()).collect();
    assert_eq!(lengths, [10_000, 20_000]);
}

#[tokio::test]
async fn damage_in_a_payload_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&[10_000])).await.unwrap();
    let file = segment::path(dir.path(), 1, 0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let query = TopicQuery {
        topic: Topic::new("agent/1/output"),
        from: 0,
        max_events: 9,
        max_bytes: 1 << 20,
        bodies_only: false,
    };
    assert!(matches!(store.read_topic(&query).await, Err(StoreError::Corrupt { .. })));
    let bodies = TopicQuery { bodies_only: true, ..query };
    assert_eq!(store.read_topic(&bodies).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_segment_shorter_than_committed_hides_nothing_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&[10_000])).await.unwrap();
    drop(store);
    std::fs::write(segment::path(dir.path(), 1, 0), b"short").unwrap();
    let store = open(dir.path());
    store.commit(output(&[20_000])).await.unwrap();
    let query = TopicQuery {
        topic: Topic::new("agent/1/output"),
        from: 1,
        max_events: 9,
        max_bytes: 1 << 20,
        bodies_only: false,
    };
    assert_eq!(store.read_topic(&query).await.unwrap()[0].payload.len(), 20_000);
    let from_start = TopicQuery { from: 0, ..query };
    assert!(matches!(store.read_topic(&from_start).await, Err(StoreError::Corrupt { .. })));
}

/// Makes the store believe that it was last open before the machine started again.
fn on_another_boot(dir: &Path) {
    let conn = Connection::open(dir.join("journal.db")).unwrap();
    open::set_meta(&conn, "boot", "another").unwrap();
}

#[tokio::test]
async fn an_unclean_end_on_another_boot_begins_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(output(&SIZES)).await.unwrap();
    let place = store.identity().cursor(Position(3));
    drop(store);
    on_another_boot(dir.path());
    let store = open(dir.path());
    let identity = store.identity();
    assert_eq!((identity.epoch, identity.epochs.len()), (2, 2));
    assert_eq!(identity.epochs[1], (2, Position(6)));
    assert_eq!(identity.cursor(Position(3)), place);
    assert_eq!(identity.cursor(Position(7)).epoch, 2);
    store.close().await.unwrap();
    on_another_boot(dir.path());
    assert_eq!(open(dir.path()).identity().epoch, 2, "a clean end needs no epoch");
}

#[tokio::test]
async fn with_durability_against_power_loss_the_epoch_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().durability(Durability::Power);
    let store = SqliteStore::open(dir.path(), &options).unwrap();
    store.commit(output(&SIZES)).await.unwrap();
    drop(store);
    on_another_boot(dir.path());
    assert_eq!(SqliteStore::open(dir.path(), &options).unwrap().identity().epoch, 1);
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let second = SqliteStore::open(dir.path(), &SqliteOptions::default());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(store);
    open(dir.path());
}

#[test]
fn later_formats_and_foreign_files_are_refused() {
    let options = SqliteOptions::default();
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let conn = Connection::open(dir.path().join("journal.db")).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let later = SqliteStore::open(dir.path(), &options);
    assert!(matches!(later, Err(OpenError::TooNew { found: 99, known: schema::VERSION, .. })));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("journal.db"), [b'x'; 9000]).unwrap();
    let garbage = SqliteStore::open(dir.path(), &options);
    assert!(matches!(garbage, Err(OpenError::Damaged { .. })), "{garbage:?}");

    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(dir.path().join("journal.db")).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(conn);
    let foreign = SqliteStore::open(dir.path(), &options);
    assert!(matches!(foreign, Err(OpenError::Damaged { .. })));
}

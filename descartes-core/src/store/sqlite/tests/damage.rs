//! Each byte flipped, each length cut: noticed, never wrong data. And what a repair keeps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::agent::{AgentId, AgentRecord, AgentSpec};
use crate::event::OutputChunk;
use crate::event::{Extent, StreamName};
use crate::store::format::encode_record;
use crate::store::{Put, Space};

/// What the daemon's torture tests take their count from; a twentieth when not said.
fn torture() -> f64 {
    let given = std::env::var("DESCARTES_TORTURE").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(0.05)
}

/// One of so many places is tried: all of them in full, and few enough for some seconds else.
pub(super) fn stride() -> usize {
    (1.0 / torture().clamp(0.001, 1.0)).powf(1.7).round() as usize
}

/// A folder in memory where there is one: thousands of stores are opened, and each syncs.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Every file of a store, by its path inside.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(super) fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.metadata().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let inside = entry.path().strip_prefix(dir).unwrap().to_owned();
                found.insert(inside, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    // They carry nothing: one is only there to be deleted, the other to be locked; and SQLite makes
    // the index of its log anew when it is the first to open it.
    let nothing = ["reserve", "store.lock", "journal.db-shm"];
    found.retain(|path, bytes| !bytes.is_empty() && !nothing.contains(&path.to_str().unwrap()));
    found
}

pub(super) fn lay(files: &Files, dir: &Path) {
    for (path, bytes) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    // So that opening it does not write a megabyte each time.
    std::fs::write(dir.join("reserve"), vec![0; 1 << 20]).unwrap();
}

fn agent(name: &str) -> Put {
    let mut spec = AgentSpec::command(["program"]);
    spec.env.insert("TOKEN".into(), String::new());
    let id = AgentId::generate();
    let names = (name.into(), "process".into());
    let record = AgentRecord::new(id, names, spec, "local".into(), Timestamp::from_millis(5));
    Put::new(Key::new(Space::AGENT, id.to_string()), "local".into(), encode_record(&record))
}

fn said(topic: &str, size: usize) -> NewEvent {
    let chunk = OutputChunk::new(StreamName::Stdout, 1, Extent::default());
    let body = EventBody::AgentOutput(chunk);
    let at = Timestamp::from_millis(7);
    let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    NewEvent::new(Topic::new(topic), "local".into(), at, &body).with_payload(payload.into())
}

/// A little of everything: documents, topics with and without a trimmed beginning, payloads in
/// rows and in segments. Closed in order or not.
pub(super) async fn small(dir: &Path, in_order: bool) {
    let store = open(dir);
    for name in ["one", "two", "three"] {
        store.commit(Batch::control().put(agent(name))).await.unwrap();
    }
    let value = Put::new(Key::new(Space::STATE, "/k"), "local".into(), b"\"v\"".as_ref().into());
    store.commit(Batch::control().put(value)).await.unwrap();
    let mut batch = Batch::output();
    for size in [0, 40, 300, 4500, 17] {
        batch = batch.event(said("agent/1/output", size)).event(said("agent/2/output", 25));
    }
    store.commit(batch).await.unwrap();
    let mut retention = Retention::new(Timestamp::from_millis(0));
    retention.output_bytes_per_agent = 4800;
    while store.trim(&retention).await.unwrap().more {}
    let system = EventBody::SystemDraining;
    let system = NewEvent::new(Topic::system(), "local".into(), Timestamp::from_millis(9), &system);
    store.commit(Batch::control().event(system)).await.unwrap();
    store.close().await.unwrap();
    if in_order {
        return;
    }
    let store = open(dir);
    store.commit(Batch::control().put(agent("four"))).await.unwrap();
    store.commit(Batch::output().event(said("agent/1/output", 5000))).await.unwrap();
    // Killed: the files are as they are now, the log beside the database.
    let taken = files(dir);
    drop(store);
    for path in files(dir).keys() {
        std::fs::remove_file(dir.join(path)).unwrap();
    }
    lay(&taken, dir);
}

/// Everything that can be read of a store, as text; or that it is damaged, and where.
async fn all(dir: &Path) -> Result<String, String> {
    use std::fmt::Write as _;
    let store = SqliteStore::open(dir, &SqliteOptions::default()).map_err(|e| e.to_string())?;
    let failed = |error: StoreError| error.to_string();
    let mut text = format!("{:?}\n", (store.identity().store, &store.identity().epochs));
    for space in [Space::AGENT, Space::STATE, Space::CHAT, Space::META] {
        let page = store.list(&KeyRange::new(space, "", 100)).await.map_err(failed)?;
        writeln!(text, "{:?} {}", page.documents, page.position).unwrap();
        for document in page.documents {
            let again = store.get(&document.key).await.map_err(failed)?;
            assert_eq!(again.as_ref(), Some(&document));
        }
    }
    let topics = store.topics(&TopicFilter::All).await.map_err(failed)?;
    writeln!(text, "{topics:?}").unwrap();
    let exact = topics.iter().map(|state| TopicFilter::Exact(state.topic.clone())).collect();
    for topics in [vec![TopicFilter::All], exact] {
        let mut query =
            EventQuery { topics, after: Position::START, max_events: 4, max_bytes: 1 << 20 };
        loop {
            let page = store.read(&query).await.map_err(failed)?;
            writeln!(text, "{page:?}").unwrap();
            if page.next == page.head {
                break;
            }
            query.after = page.next;
        }
    }
    Ok(text)
}

/// What became of the damages that were tried.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    same: usize,
    refused: usize,
    new_epoch: usize,
}

impl Tally {
    /// A damaged store is like the whole one, or says that it is not; and a check finds it.
    async fn note(&mut self, files: &Files, expected: &str, what: &str) {
        let dir = folder();
        lay(files, dir.path());
        let checked = SqliteStore::check(dir.path(), None);
        let found = checked.as_ref().map_or(true, |report| !report.is_whole());
        self.tried += 1;
        let read = all(dir.path()).await;
        match &read {
            Ok(text) if text == expected => self.same += 1,
            Ok(text) => {
                let epochs = |text: &str| text.lines().next().unwrap().to_owned();
                assert_ne!(epochs(text), epochs(expected), "{what}: other data, and no word of it");
                assert!(found, "{what}: the end is gone, and a check does not see it");
                self.new_epoch += 1;
            }
            Err(error) => {
                assert!(found, "{what}: {error}, but a check finds nothing: {checked:?}");
                self.refused += 1;
            }
        }
    }
}

async fn damage(in_order: bool, harm: impl Fn(&[u8], usize) -> Vec<u8>) -> Tally {
    let dir = folder();
    small(dir.path(), in_order).await;
    let whole = files(dir.path());
    let report = SqliteStore::check(dir.path(), None).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert!(files(dir.path()) == whole, "a check changes nothing");
    let expected = all(dir.path()).await.expect("it can be read");
    let mut tally = Tally::default();
    let places: usize = whole.values().map(|bytes| bytes.len()).sum();
    let mut place = 0;
    for (path, bytes) in &whole {
        for at in 0..bytes.len() {
            place += 1;
            if place % stride() != 0 {
                continue;
            }
            let mut harmed = whole.clone();
            harmed.insert(path.clone(), harm(bytes, at));
            tally.note(&harmed, &expected, &format!("{path:?} at {at}")).await;
        }
    }
    assert!(tally.tried >= places / stride(), "{tally:?}");
    assert!(tally.refused > 0, "{tally:?}");
    tally
}

pub(super) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Every bit has its turn.
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[tokio::test]
async fn a_byte_that_is_flipped_is_noticed_or_harmless() {
    let tally = damage(true, flipped).await;
    assert!(tally.same > 0, "not every byte means something: {tally:?}");
}

#[tokio::test]
async fn a_byte_that_is_flipped_after_a_kill_is_noticed_or_harmless() {
    damage(false, flipped).await;
}

#[tokio::test]
async fn a_file_that_is_cut_is_noticed_wherever_it_is_cut() {
    damage(true, |bytes, at| bytes[..at].to_vec()).await;
}

#[tokio::test]
async fn a_file_that_is_cut_after_a_kill_is_noticed_wherever_it_is_cut() {
    let tally = damage(false, |bytes, at| bytes[..at].to_vec()).await;
    assert!(tally.new_epoch > 0, "a log that is cut shortens history: {tally:?}");
}

#[tokio::test]
async fn a_database_that_was_cut_to_less_than_a_head_is_not_taken_for_a_new_one() {
    let dir = folder();
    small(dir.path(), true).await;
    let whole = files(dir.path());
    for length in [0, 1, 99, 511, 512, 4095] {
        let mut harmed = whole.clone();
        harmed.get_mut(Path::new("journal.db")).unwrap().truncate(length);
        let dir = folder();
        lay(&harmed, dir.path());
        let report = SqliteStore::check(dir.path(), None).unwrap();
        assert!(!report.is_whole(), "{length} bytes: {report:?}");
    }
}

/// A key that is another one may still stand in its order: then no reader of its range would come by
/// its row, and nobody would miss it.
#[tokio::test]
async fn a_row_that_nobody_would_find_any_more_is_noticed() {
    let dir = folder();
    small(dir.path(), true).await;
    let (whole, database) = (files(dir.path()), PathBuf::from("journal.db"));
    let expected = all(dir.path()).await.expect("it can be read");
    let bytes = &whole[&database];
    let mut tally = Tally::default();
    for start in memchr::memmem::find_iter(bytes, b"state") {
        for at in start..start + 5 {
            let mut harmed = whole.clone();
            harmed.insert(database.clone(), flipped(bytes, at));
            tally.note(&harmed, &expected, &format!("a key at {at}")).await;
        }
    }
    for length in bytes.len() - 16..bytes.len() {
        let mut harmed = whole.clone();
        harmed.get_mut(&database).unwrap().truncate(length);
        tally.note(&harmed, &expected, &format!("cut to {length}")).await;
    }
    assert!(tally.refused >= 20, "{tally:?}");
}

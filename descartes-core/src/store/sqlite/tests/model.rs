//! Whatever is written, forgotten and trimmed, this store shows what the one in memory shows.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use super::*;
use crate::store::MemoryStore;

#[derive(Clone, Debug)]
enum Step {
    /// Events of these topics, with payloads of these sizes.
    Commit(Vec<(usize, usize)>),
    Forget(usize),
    Trim {
        per_agent: u64,
        total: u64,
        before: i64,
    },
    Reopen,
}

const TOPICS: [&str; 4] = ["agent/1/output", "agent/2/output", "agent/1/status", "system"];

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0_usize..200, 4000_usize..4200, 5000_usize..20_000];
    let events = prop::collection::vec((0_usize..4, size), 1..12);
    prop_oneof![
        6 => events.prop_map(Step::Commit),
        1 => (0_usize..4).prop_map(Step::Forget),
        2 => (0_u64..100_000, 0_u64..150_000, 0_i64..80).prop_map(|(per_agent, total, before)| {
            Step::Trim { per_agent, total, before }
        }),
        1 => Just(Step::Reopen),
    ]
}

async fn take(store: &dyn StateStore, step: &Step, time: &mut i64) {
    match step {
        Step::Commit(events) => {
            let mut batch = Batch::output();
            for (topic, size) in events {
                *time += 1;
                let at = Timestamp::from_millis(*time);
                let topic = Topic::new(TOPICS[*topic]);
                let event = NewEvent::new(topic, "local".into(), at, &EventBody::SystemDraining);
                batch = batch.event(event.with_payload(vec![*time as u8; *size].into()));
            }
            store.commit(batch).await.expect("a commit");
        }
        Step::Forget(topic) => {
            let mut batch = Batch::control();
            batch.forget.push(Topic::new(TOPICS[*topic]));
            store.commit(batch).await.expect("a commit");
        }
        Step::Trim { per_agent, total, before } => {
            let mut retention = Retention::new(Timestamp::from_millis(*before));
            retention.output_bytes_per_agent = *per_agent;
            retention.output_bytes_total = *total;
            while store.trim(&retention).await.expect("a piece").more {}
        }
        Step::Reopen => {}
    }
}

async fn same(store: &SqliteStore, model: &MemoryStore) -> Result<(), TestCaseError> {
    let topics = async |store: &dyn StateStore| store.topics(&TopicFilter::All).await;
    let expected = topics(model).await.expect("topics");
    prop_assert_eq!(topics(store).await.expect("topics"), expected);
    let filters = [
        vec![TopicFilter::All],
        vec![TopicFilter::Prefix("agent/1/".into())],
        vec![TopicFilter::Exact(Topic::new(TOPICS[0])), TopicFilter::Exact(Topic::new("system"))],
    ];
    for topics in filters {
        let mut query =
            EventQuery { topics, after: Position::START, max_events: 7, max_bytes: 30_000 };
        loop {
            let page = store.read(&query).await.expect("a page");
            let model = model.read(&query).await.expect("a page");
            prop_assert_eq!(&page.gaps, &model.gaps);
            prop_assert_eq!(page.head, model.head);
            // Forgotten events are passed over while their rows are still there, so that `next`
            // may be further, but never behind something that the model still shows.
            prop_assert!(page.next >= model.next);
            let seen = |page: &EventPage| -> Vec<_> {
                let events = page.events.iter();
                events.map(|event| (event.position, event.offset, event.payload.clone())).collect()
            };
            prop_assert_eq!(seen(&page), seen(&model));
            if query.after >= page.head {
                break;
            }
            // One by one, so that a reader comes back from every place.
            query.after = query.after.next();
        }
    }
    Ok(())
}

#[test]
fn it_shows_what_the_store_in_memory_shows() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let steps = prop::collection::vec(step(), 1..25);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    proptest!(config, |(steps in steps)| {
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let mut store = open(dir.path());
            let model = MemoryStore::new();
            let mut times = (0, 0);
            for step in &steps {
                take(&model, step, &mut times.0).await;
                if matches!(step, Step::Reopen) {
                    drop(store);
                    store = open(dir.path());
                }
                take(&store, step, &mut times.1).await;
            }
            same(&store, &model).await
        })?;
    });
}

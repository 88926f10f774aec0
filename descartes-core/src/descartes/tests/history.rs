//! Readers that come back: nothing missing, nothing twice, gaps told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::cursor::{Cursor, Position};
use crate::event::{EventBody, EventKind, NewEvent, Topic, TopicFilter};
use crate::journal::{
    After, Item, Journal, ReadRequest, SubscribeError, SubscribeRequest, Subscription,
};
use crate::store::{Batch, Gap, MemoryStore, Retention, StateStore};
use crate::time::{Clock, Timestamp};

/// A ring so small that most of history is read from the store.
const SMALL_RING: usize = 2_000;

struct Scene {
    journal: Journal,
    store: Arc<dyn StateStore>,
}

impl Scene {
    fn new() -> Self {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
        let journal = Journal::start(Arc::clone(&store), SMALL_RING, Clock::system());
        Self { journal, store }
    }

    async fn append(&self, topic: u8) {
        let kind = EventKind::Other("test.event".into());
        let body = EventBody::Other(kind, bytes::Bytes::from_static(b"{}"));
        let at = Timestamp::from_millis(1);
        let event = NewEvent::new(name(topic), "me".into(), at, &body);
        self.journal.commit(Batch::control().event(event)).await.expect("a commit");
    }

    async fn follow(&self, after: After) -> Subscription {
        let request = SubscribeRequest::new(vec![TopicFilter::Prefix("t/".into())], after);
        self.journal.subscribe(request).await.expect("a subscription")
    }
}

fn name(topic: u8) -> Topic {
    Topic::new(format!("t/{topic}"))
}

/// Everything up to the end of history.
async fn rest(mut subscription: Subscription) -> (Vec<(Position, u64)>, Vec<Gap>) {
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match subscription.next().await.expect("the journal is open").expect("the store works") {
            Item::Events(batch) => {
                events.extend(batch.iter().map(|event| (event.position, event.offset)));
            }
            Item::Gap(gap, _) => gaps.push(gap),
            Item::Synced(_) => return (events, gaps),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_reader_cut_off_after_any_event_comes_back_to_exactly_the_rest(
        topics in proptest::collection::vec(0u8..4, 1..60),
    ) {
        runtime().block_on(async {
            let scene = Scene::new();
            for topic in &topics {
                scene.append(*topic).await;
            }
            let (all, gaps) = rest(scene.follow(After::Start).await).await;
            assert_eq!((all.len(), gaps.len()), (topics.len(), 0));
            for seen in 0..=all.len() {
                let last = if seen == 0 { Position::START } else { all[seen - 1].0 };
                let cursor = scene.journal.cursor(last).to_string().parse::<Cursor>();
                let cursor = cursor.expect("a cursor reads back");
                let (events, gaps) = rest(scene.follow(After::Cursor(cursor)).await).await;
                assert_eq!((&events[..], gaps.len()), (&all[seen..], 0), "after {seen}");
            }
        });
    }

    #[test]
    fn trimmed_history_gives_one_exact_gap_for_each_topic_that_lost_something(
        before in proptest::collection::vec(0u8..3, 1..30),
        after in proptest::collection::vec(0u8..3, 0..30),
    ) {
        runtime().block_on(async {
            let scene = Scene::new();
            for topic in &before {
                scene.append(*topic).await;
            }
            let trimmed = Retention::new(Timestamp::from_millis(i64::MAX));
            while scene.store.trim(&trimmed).await.expect("a trim").more {}
            for topic in &after {
                scene.append(*topic).await;
            }
            for seen in 0..=before.len() {
                let position = Position(seen as u64);
                let cursor = After::Cursor(scene.journal.cursor(position));
                let (events, mut gaps) = rest(scene.follow(cursor).await).await;
                gaps.sort_by(|left, right| left.topic.cmp(&right.topic));
                // The ring may still have what the store forgot: then nothing was missed of that.
                let shown = events.iter().filter(|(at, _)| at.0 <= before.len() as u64).count();
                assert_eq!(events.len() - shown, after.len());
                if shown == 0 {
                    assert_eq!(gaps, expected_gaps(&before, seen), "after {seen}");
                }
            }
        });
    }
}

fn expected_gaps(before: &[u8], seen: usize) -> Vec<Gap> {
    let mut offsets: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for (index, topic) in before.iter().enumerate() {
        let (from, to) = offsets.entry(*topic).or_default();
        *to += 1;
        if index < seen {
            *from += 1;
        }
    }
    let lost = offsets.into_iter().filter(|(_, (from, to))| from < to);
    lost.map(|(topic, (from_offset, to_offset))| Gap { topic: name(topic), from_offset, to_offset })
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_store_or_of_a_future_is_refused() {
    let scene = Scene::new();
    scene.append(0).await;
    let head = scene.journal.head();
    let foreign = Cursor { store: head.store.wrapping_add(1), ..head };
    let future = Cursor { position: head.position.next(), ..head };
    let later = Cursor { epoch: head.epoch + 1, ..head };
    for cursor in [foreign, future, later] {
        let request = SubscribeRequest::new(vec![TopicFilter::All], After::Cursor(cursor));
        let refused = scene.journal.subscribe(request).await;
        assert!(matches!(refused, Err(SubscribeError::Foreign)), "{cursor}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tail_begins_with_the_last_events_of_each_topic() {
    let scene = Scene::new();
    for topic in [0, 0, 0, 1, 0, 1, 2] {
        scene.append(topic).await;
    }
    let topics = vec![TopicFilter::Prefix("t/".into())];
    let mut request = SubscribeRequest::new(topics, After::Start);
    request.tail = Some(2);
    let subscription = scene.journal.subscribe(request).await.expect("a subscription");
    let (events, _) = rest(subscription).await;
    let positions: Vec<_> = events.iter().map(|(position, _)| position.0).collect();
    assert_eq!(positions, [3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_news_as_long_as_it_may_and_no_longer() {
    let scene = Scene::new();
    let topics = vec![TopicFilter::Exact(name(1))];
    let mut request = ReadRequest::new(SubscribeRequest::new(topics, After::Now));
    request.wait = Duration::from_secs(5);
    let before = tokio::time::Instant::now();
    let page = scene.journal.read(request.clone()).await.expect("a page");
    assert!(page.events.is_empty() && page.synced);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    let (page, ()) = tokio::join!(scene.journal.read(request), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.append(0).await;
        scene.append(1).await;
    });
    assert_eq!(page.expect("a page").events.len(), 1);
    assert_eq!(before.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn types_select_events_and_the_cursor_passes_over_the_others() {
    let scene = Scene::new();
    scene.append(0).await;
    let topics = vec![TopicFilter::All];
    let mut request = SubscribeRequest::new(topics, After::Start);
    request.types = vec!["other.*".into()];
    let page = scene.journal.read(ReadRequest::new(request.clone())).await.expect("a page");
    assert!(page.events.is_empty());
    assert_eq!(page.cursor, scene.journal.head());
    request.types = vec!["test.*".into()];
    let page = scene.journal.read(ReadRequest::new(request)).await.expect("a page");
    assert_eq!(page.events.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_not_read_from_memory_either() {
    let scene = Scene::new();
    scene.append(0).await;
    scene.append(1).await;
    let mut forget = Batch::control();
    forget.forget.push(name(0));
    scene.journal.commit(forget).await.expect("a commit");
    let (events, gaps) =
        rest(scene.follow(After::Cursor(scene.journal.cursor(Position::START))).await).await;
    assert_eq!(events.iter().map(|(position, _)| position.0).collect::<Vec<_>>(), [2]);
    assert_eq!(gaps, [Gap { topic: name(0), from_offset: 0, to_offset: 1 }]);
}

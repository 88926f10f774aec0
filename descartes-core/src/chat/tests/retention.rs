//! Chats of which nothing was heard for long are forgotten, and nothing of them is left.

use super::*;
use crate::RetentionPolicy;
use crate::approval::ApprovalFilter;
use crate::store::{KeyRange, Space};
use crate::time::{Clock, Timestamp};

async fn host_that_keeps(age: Duration) -> (Descartes, Arc<dyn StateStore>) {
    let store = shared_store();
    let retention = RetentionPolicy { chats_age: age, ..RetentionPolicy::default() };
    let clock = Clock::fake(Timestamp::from_millis(1_700_000_000_000));
    let builder = builder().store(Arc::clone(&store)).retention(retention).clock(clock);
    (builder.build().await.expect("it begins"), store)
}

async fn documents(store: &Arc<dyn StateStore>, space: Space) -> usize {
    let range = KeyRange::new(space, "", 100);
    store.list(&range).await.expect("a list").documents.len()
}

#[tokio::test(start_paused = true)]
async fn an_old_chat_is_forgotten_with_its_events_and_approvals_and_a_live_one_is_not() {
    let day = Duration::from_secs(24 * 3600);
    let (host, store) = host_that_keeps(day).await;
    let (old, busy) = (chat(&host).await, chat(&host).await);
    // Nobody decides: it is denied at its deadline.
    assert_eq!(&*turn(&host, old, "write").await.content, "denied");
    let still = prompt(&host, busy, "wait").await;
    until(&host, old, |record| !record.is_active).await;
    assert_eq!(documents(&store, Space::APPROVAL).await, 1);
    let asked = host.approvals(&ApprovalFilter::default()).await.expect("approvals").0[0].id;
    tokio::time::sleep(day * 2).await;
    assert!(host.chat(old).is_err(), "it is forgotten");
    assert!(host.chat(busy).is_ok(), "a turn is under way");
    assert_eq!(documents(&store, Space::CHAT).await, 1);
    assert_eq!(documents(&store, Space::APPROVAL).await, 0);
    assert!(host.approval(asked).await.is_err());
    for topic in [Topic::chat(old), Topic::approval(asked)] {
        let query =
            TopicQuery { topic, from: 0, max_events: 9, max_bytes: 9999, bodies_only: false };
        assert_eq!(store.read_topic(&query).await.expect("a page").len(), 0);
    }
    drop(still);
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn chats_that_are_used_are_kept() {
    let hour = Duration::from_secs(3600);
    let (host, _) = host_that_keeps(24 * hour).await;
    let chat = chat(&host).await;
    for _ in 0..10 {
        assert_eq!(&*turn(&host, chat, "say here").await.content, "here");
        tokio::time::sleep(20 * hour).await;
    }
    assert!(host.chat(chat).is_ok());
    host.shutdown().await;
}

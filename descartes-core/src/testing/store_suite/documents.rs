//! Claims about documents.

use std::sync::Arc;

use bytes::Bytes;

use super::{Claim, Seen, batch, event, holds, output, same};
use crate::cursor::Position;
use crate::event::TopicFilter;
use crate::store::{
    Batch, Document, EventQuery, Expect, Key, KeyRange, Put, Space, StateStore, StoreError,
};

fn key(id: &str) -> Key {
    Key::new(Space::STATE, id)
}

fn put(id: &str, body: &'static str, expect: Expect) -> Put {
    let mut put = Put::new(key(id), "owner".into(), Bytes::from_static(body.as_bytes()));
    put.expect = expect;
    put
}

pub(super) async fn a_document_reads_back_with_its_owner_and_version(
    store: &dyn StateStore,
) -> Claim {
    same("what was never written", &store.get(&key("a")).await?, &None)?;
    for version in 1..=3 {
        let done = store.commit(Batch::control().put(put("a", "one", Expect::Any))).await?;
        same("versions", &done.versions, &vec![version])?;
        let expected = Document {
            key: key("a"),
            owner: "owner".into(),
            version,
            body: Bytes::from_static(b"one"),
        };
        same("the document", &store.get(&key("a")).await?, &Some(expected))?;
    }
    same("another kind's", &store.get(&Key::new(Space::AGENT, "a")).await?, &None)
}

pub(super) async fn an_expectation_that_does_not_hold_changes_nothing(
    store: &dyn StateStore,
) -> Claim {
    store.commit(Batch::control().put(put("a", "one", Expect::Absent))).await?;
    for (expect, actual) in [(Expect::Absent, 1), (Expect::Version(2), 1)] {
        let batch = Batch::control()
            .put(put("b", "new", Expect::Any))
            .put(put("a", "two", expect))
            .event(event(&output(1), 0, Bytes::from(vec![7; 9000])));
        match store.commit(batch).await {
            Err(StoreError::Conflict { key: seen, actual: Some(version) }) => {
                same("whose conflict", &seen, &key("a"))?;
                same("its version", &version, &actual)?;
            }
            other => return Err(Seen(format!("{other:?} instead of a conflict"))),
        }
    }
    let absent = store.commit(Batch::control().put(put("c", "x", Expect::Version(1)))).await;
    holds(
        "an absent document has no version",
        matches!(absent, Err(StoreError::Conflict { actual: None, .. })),
    )?;
    same("the other put", &store.get(&key("b")).await?, &None)?;
    let done = store.commit(batch([event(&output(1), 0, Bytes::new())])).await?;
    same("the first position", &done.head, &Position(1))?;
    same("the first offset", &done.offsets, &vec![0])?;
    store.commit(Batch::control().put(put("a", "two", Expect::Version(1)))).await?;
    Ok(())
}

pub(super) async fn later_puts_of_a_batch_see_the_earlier_ones(store: &dyn StateStore) -> Claim {
    let twice = Batch::control().put(put("a", "one", Expect::Absent)).put(put(
        "a",
        "two",
        Expect::Version(1),
    ));
    same("versions", &store.commit(twice).await?.versions, &vec![1, 2])?;
    let body = store.get(&key("a")).await?.map(|document| document.body);
    same("the last one's body", &body, &Some(Bytes::from_static(b"two")))?;
    let again = Batch::control().put(put("a", "three", Expect::Any)).delete(key("a"));
    store.commit(again).await?;
    same("deletes come after puts", &store.get(&key("a")).await?, &None)
}

pub(super) async fn deleting_what_does_not_exist_is_no_error(store: &dyn StateStore) -> Claim {
    store.commit(Batch::control().delete(key("a"))).await?;
    store.commit(Batch::control().put(put("a", "one", Expect::Absent))).await?;
    store.commit(Batch::control().delete(key("a")).delete(key("a"))).await?;
    same("the document", &store.get(&key("a")).await?, &None)?;
    let done = store.commit(Batch::control().put(put("a", "one", Expect::Absent))).await?;
    same("the version of a new life", &done.versions, &vec![1])
}

pub(super) async fn pages_of_documents_are_complete_in_both_directions(
    store: &dyn StateStore,
) -> Claim {
    let mut all = Batch::control().put(put("m", "before", Expect::Any));
    let names: Vec<Arc<str>> = (0..25).map(|n| format!("n/{n:02}").into()).collect();
    for name in &names {
        all = all.put(put(name, "x", Expect::Any));
    }
    all =
        all.put(put("n0", "after", Expect::Any)).put(put("n/\u{fffd}\u{1f600}", "z", Expect::Any));
    all = all.event(event(&output(1), 0, Bytes::new()));
    store.commit(all).await?;
    for reverse in [false, true] {
        let mut expected = names.clone();
        expected.push("n/\u{fffd}\u{1f600}".into());
        if reverse {
            expected.reverse();
        }
        let mut range = KeyRange::new(Space::STATE, "n/", 7);
        range.reverse = reverse;
        let mut seen: Vec<Arc<str>> = Vec::new();
        loop {
            let page = store.list(&range).await?;
            same("the page's position", &page.position, &Position(1))?;
            holds("a page within its limit", page.documents.len() <= 7)?;
            seen.extend(page.documents.into_iter().map(|document| document.key.id));
            if !page.more {
                break;
            }
            range.after = seen.last().cloned();
        }
        same("names", &seen, &expected)?;
    }
    Ok(())
}

pub(super) async fn a_closed_store_refuses_everything(store: &dyn StateStore) -> Claim {
    store.commit(Batch::control().put(put("a", "one", Expect::Any))).await?;
    store.close().await?;
    let commit = store.commit(Batch::control().put(put("a", "two", Expect::Any))).await;
    holds("commit", matches!(commit, Err(StoreError::Closed)))?;
    holds("get", matches!(store.get(&key("a")).await, Err(StoreError::Closed)))?;
    let read = EventQuery {
        topics: vec![TopicFilter::All],
        after: Position::START,
        max_events: 1,
        max_bytes: 1,
    };
    holds("read", matches!(store.read(&read).await, Err(StoreError::Closed)))?;
    holds("a second close", matches!(store.close().await, Err(StoreError::Closed)))
}

//! Claims about what is forgotten, and what readers are told of it.

use bytes::Bytes;

use super::{Claim, Seen, batch, bytes, event, holds, output, query, read_all, same};
use crate::cursor::Position;
use crate::event::{Topic, TopicFilter};
use crate::store::{Batch, Gap, Retention, StateStore, TopicQuery, TopicState, Trimmed};
use crate::time::Timestamp;

fn keep(per_agent: u64, total: u64, events_before: i64) -> Retention {
    let mut retention = Retention::new(Timestamp::from_millis(events_before));
    (retention.output_bytes_per_agent, retention.output_bytes_total) = (per_agent, total);
    retention
}

async fn trim(store: &dyn StateStore, retention: &Retention) -> Result<Trimmed, Seen> {
    let mut sum = Trimmed::default();
    for _ in 0..10_000 {
        let piece = store.trim(retention).await?;
        sum.output_events += piece.output_events;
        sum.other_events += piece.other_events;
        if !piece.more {
            return Ok(sum);
        }
    }
    Err(Seen("trim never comes to an end".to_owned()))
}

async fn state(store: &dyn StateStore, topic: &Topic) -> Result<TopicState, Seen> {
    let mut states = store.topics(&TopicFilter::Exact(topic.clone())).await?;
    states.pop().ok_or_else(|| Seen(format!("{topic} is not there")))
}

/// Events of two agents' output and of the system, in turn; their times are their positions.
async fn mixed(store: &dyn StateStore, turns: u64, payload: usize) -> Claim {
    let topics = [output(1), output(2), Topic::system()];
    for turn in 0..turns {
        let event = |(n, topic)| event(topic, (turn * 3 + n + 1) as i64, bytes(turn, payload));
        store.commit(batch((0_u64..).zip(&topics).map(event))).await?;
    }
    Ok(())
}

pub(super) async fn output_over_the_limit_of_one_agent_goes_oldest_first(
    store: &dyn StateStore,
) -> Claim {
    mixed(store, 30, 5000).await?;
    for turn in 0..30 {
        store.commit(batch([event(&output(1), 0, bytes(turn, 5000))])).await?;
    }
    let trimmed = trim(store, &keep(40 * 5002, u64::MAX, 0)).await?;
    holds("only output was forgotten", trimmed.other_events == 0 && trimmed.output_events >= 20)?;
    let long = state(store, &output(1)).await?;
    holds("no more than the limit is kept", long.bytes <= 40 * 5002)?;
    same("nothing new is gone", &long.next_offset, &60)?;
    same("what was forgotten", &long.first_offset, &trimmed.output_events)?;
    same("the short one", &state(store, &output(2)).await?.first_offset, &0)?;
    let query = TopicQuery {
        topic: output(1),
        from: 0,
        max_events: 100,
        max_bytes: 1 << 20,
        bodies_only: false,
    };
    let kept = store.read_topic(&query).await?;
    same("the first kept", &kept.first().map(|event| event.offset), &Some(long.first_offset))?;
    let sum: u64 = kept.iter().map(|event| (event.body.len() + event.payload.len()) as u64).sum();
    same("the bytes that are kept", &sum, &long.bytes)
}

pub(super) async fn output_over_the_limit_of_all_goes_oldest_first(
    store: &dyn StateStore,
) -> Claim {
    mixed(store, 30, 5000).await?;
    trim(store, &keep(u64::MAX, 20 * 5002, 0)).await?;
    let (one, two) = (state(store, &output(1)).await?, state(store, &output(2)).await?);
    holds("no more than the limit is kept", one.bytes + two.bytes <= 20 * 5002)?;
    holds("both lost alike", one.first_offset.abs_diff(two.first_offset) <= 1)?;
    same("the system", &state(store, &Topic::system()).await?.first_offset, &0)
}

pub(super) async fn a_chat_over_its_limit_goes_oldest_first_and_others_stay(
    store: &dyn StateStore,
) -> Claim {
    let topics = [Topic::new("chat/long"), Topic::new("chat/short"), Topic::new("chats")];
    for turn in 0..30 {
        let of = |topic| event(topic, 0, bytes(turn, 1000));
        store.commit(batch([of(&topics[0]), of(&topics[2])])).await?;
    }
    store.commit(batch([event(&topics[1], 0, bytes(0, 1000))])).await?;
    let mut keep = keep(u64::MAX, u64::MAX, 0);
    keep.chat_bytes = 10 * 1002;
    let trimmed = trim(store, &keep).await?;
    same("forgotten", &(trimmed.output_events, trimmed.other_events), &(0, 20))?;
    let long = state(store, &topics[0]).await?;
    same("the long one", &(long.first_offset, long.next_offset), &(20, 30))?;
    for kept in &topics[1..] {
        same("another", &state(store, kept).await?.first_offset, &0)?;
    }
    let page = store.read(&query(&[TopicFilter::Exact(topics[0].clone())], Position(0))).await?;
    let gap = Gap { topic: topics[0].clone(), from_offset: 0, to_offset: 20 };
    same("what its readers are told", &page.gaps, &vec![gap])
}

pub(super) async fn old_events_go_and_output_does_not(store: &dyn StateStore) -> Claim {
    mixed(store, 30, 10).await?;
    let trimmed = trim(store, &keep(u64::MAX, u64::MAX, 46)).await?;
    same("forgotten", &(trimmed.output_events, trimmed.other_events), &(0, 15))?;
    same("the system", &state(store, &Topic::system()).await?.first_offset, &15)?;
    let done = store.commit(batch([event(&Topic::system(), 99, Bytes::new())])).await?;
    same("offsets go on", &done.offsets, &vec![30])
}

pub(super) async fn a_gap_tells_exactly_what_a_reader_misses(store: &dyn StateStore) -> Claim {
    mixed(store, 40, 5000).await?;
    for limit in [30, 11, 10, 3] {
        trim(store, &keep(limit * 5002, u64::MAX, 0)).await?;
        let first = state(store, &output(1)).await?.first_offset;
        for after in 0..=120_u64 {
            // Turn `n` has output 1 at position 3n + 1.
            let from_offset = after.div_ceil(3);
            let expected = (from_offset < first).then(|| Gap {
                topic: output(1),
                from_offset,
                to_offset: first,
            });
            let exact = query(&[TopicFilter::Exact(output(1))], Position(after));
            let page = read_all(store, exact).await?;
            same("gaps", &page.gaps, &expected.clone().into_iter().collect())?;
            let seen: Vec<u64> = page.events.iter().map(|event| event.offset).collect();
            same("the rest", &seen, &(from_offset.max(first)..40).collect())?;
            let all = store.read(&query(&[TopicFilter::All], Position(after))).await?;
            let mine: Vec<Gap> =
                all.gaps.into_iter().filter(|gap| gap.topic == output(1)).collect();
            same("gaps of a reader of all", &mine, &expected.into_iter().collect())?;
        }
    }
    Ok(())
}

pub(super) async fn a_forgotten_topic_is_gone_at_once_and_its_offsets_go_on(
    store: &dyn StateStore,
) -> Claim {
    mixed(store, 10, 5000).await?;
    let mut forget = Batch::control().event(event(&output(1), 0, Bytes::new()));
    forget.forget = vec![output(1), Topic::new("never/seen")];
    same("the next offset", &store.commit(forget).await?.offsets, &vec![10])?;
    for round in 0..2 {
        let expected = TopicState { topic: output(1), first_offset: 10, next_offset: 11, bytes: 2 };
        same("the topic", &state(store, &output(1)).await?, &expected)?;
        let page = read_all(store, query(&[TopicFilter::All], Position(10))).await?;
        let gap = Gap { topic: output(1), from_offset: 4, to_offset: 10 };
        same("gaps", &page.gaps, &vec![gap])?;
        let seen: Vec<u64> = page.events.iter().map(|event| event.position.0).collect();
        let expected: Vec<u64> = (11..=31).filter(|n| n % 3 != 1 || *n == 31).collect();
        same("the rest", &seen, &expected)?;
        if round == 0 {
            trim(store, &keep(u64::MAX, u64::MAX, 0)).await?;
        }
    }
    Ok(())
}

pub(super) async fn audit_has_a_time_of_its_own(store: &dyn StateStore) -> Claim {
    for at in 1..=6 {
        let topics = [Topic::audit(), Topic::system()];
        let events = topics.iter().map(|topic| event(topic, at, bytes(0, 8)));
        store.commit(batch(events)).await?;
    }
    let mut retention = keep(u64::MAX, u64::MAX, 5);
    retention.audit_before = Timestamp::from_millis(3);
    trim(store, &retention).await?;
    same("audit", &state(store, &Topic::audit()).await?.first_offset, &2)?;
    same("the others", &state(store, &Topic::system()).await?.first_offset, &4)
}

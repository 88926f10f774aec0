//! Claims about events and readers.

use bytes::Bytes;

use super::{Claim, Seen, batch, bytes, event, holds, output, query, read_all, same};
use crate::cursor::Position;
use crate::event::{Event, NewEvent, Topic, TopicFilter};
use crate::store::{Batch, EventQuery, StateStore, TopicQuery, TopicState};

/// Payload sizes around every boundary that a store may have.
const SIZES: [usize; 9] = [0, 1, 100, 4095, 4096, 4097, 5000, 65_536, 70_000];

/// A history of three topics with payloads of all sizes, in batches of different lengths.
async fn history(store: &dyn StateStore) -> Result<Vec<NewEvent>, Seen> {
    let topics = [output(1), output(2), Topic::system()];
    let mut all = Vec::new();
    for n in 0..90_u64 {
        let topic = &topics[(n * n % 7 % 3) as usize];
        let payload = bytes(n, SIZES[(n % 9) as usize]);
        all.push(event(topic, n as i64, payload));
    }
    let mut rest = all.as_slice();
    let mut len = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(len.min(rest.len()));
        store.commit(batch(now.iter().cloned())).await?;
        (rest, len) = (later, len % 9 + 2);
    }
    Ok(all)
}

fn same_event(seen: &Event, expected: &NewEvent) -> Claim {
    same("topic", &seen.topic, &expected.topic)?;
    same("kind", &seen.kind, &expected.kind)?;
    same("by", &seen.by, &expected.by)?;
    same("at", &seen.at, &expected.at)?;
    same("shape", &seen.shape, &expected.shape)?;
    same("body", &seen.body, &expected.body)?;
    holds("the payload is what was written", seen.payload == expected.payload)
}

pub(super) async fn positions_and_offsets_grow_by_one(store: &dyn StateStore) -> Claim {
    let (one, two) = (output(1), output(2));
    let first = [&one, &two, &one].map(|topic| event(topic, 0, Bytes::new()));
    let done = store.commit(batch(first)).await?;
    same("head", &done.head, &Position(3))?;
    same("offsets", &done.offsets, &vec![0, 0, 1])?;
    let done = store.commit(batch([event(&two, 0, Bytes::new())])).await?;
    same("head", &done.head, &Position(4))?;
    same("offsets", &done.offsets, &vec![1])?;
    let done = store.commit(Batch::control()).await?;
    same("the head after an empty batch", &done.head, &Position(4))?;
    let state = |topic: &Topic| TopicState {
        topic: topic.clone(),
        first_offset: 0,
        next_offset: 2,
        bytes: 4,
    };
    same("topics", &store.topics(&TopicFilter::All).await?, &vec![state(&one), state(&two)])?;
    let exact = store.topics(&TopicFilter::Exact(two.clone())).await?;
    same("one topic", &exact, &vec![state(&two)])?;
    same("none", &store.topics(&TopicFilter::Prefix("x/".into())).await?, &vec![])
}

pub(super) async fn events_read_back_byte_for_byte(store: &dyn StateStore) -> Claim {
    let all = history(store).await?;
    let seen = read_all(store, query(&[TopicFilter::All], Position::START)).await?;
    same("how many", &seen.events.len(), &all.len())?;
    for (place, (seen, expected)) in seen.events.iter().zip(&all).enumerate() {
        same("position", &seen.position, &Position(place as u64 + 1))?;
        same_event(seen, expected)?;
    }
    Ok(())
}

pub(super) async fn a_reader_that_is_cut_off_anywhere_sees_the_rest_once(
    store: &dyn StateStore,
) -> Claim {
    let all = history(store).await?;
    let filters: [&[TopicFilter]; 4] = [
        &[TopicFilter::All],
        &[TopicFilter::Exact(output(2))],
        &[TopicFilter::Exact(output(1)), TopicFilter::Exact(Topic::system())],
        &[TopicFilter::Prefix("agent/".into()), TopicFilter::Exact(Topic::system())],
    ];
    for filters in filters {
        for after in 0..=all.len() as u64 {
            let mut query = query(filters, Position(after));
            query.max_events = 1 + after as usize % 13;
            let seen = read_all(store, query).await?;
            let seen: Vec<u64> = seen.events.iter().map(|event| event.position.0).collect();
            let wanted = |place: &u64| {
                let topic = &all[*place as usize - 1].topic;
                filters.iter().any(|filter| filter.matches(topic))
            };
            let expected: Vec<u64> = (after + 1..=all.len() as u64).filter(wanted).collect();
            same("positions", &seen, &expected)?;
        }
    }
    Ok(())
}

pub(super) async fn pages_are_bounded_and_never_empty_handed(store: &dyn StateStore) -> Claim {
    history(store).await?;
    for max_bytes in [0, 1, 5000, 100_000] {
        let mut query = query(&[TopicFilter::All], Position::START);
        query.max_bytes = max_bytes;
        loop {
            let page = store.read(&query).await?;
            let size = |event: &Event| event.body.len() + event.payload.len();
            let sum: usize = page.events.iter().map(size).sum();
            holds("a page has an event", !page.events.is_empty() || page.next == page.head)?;
            holds("a page within its bytes", sum <= max_bytes || page.events.len() == 1)?;
            if page.next == page.head {
                break;
            }
            query.after = page.next;
        }
    }
    Ok(())
}

pub(super) async fn a_page_tells_how_far_it_scanned_when_nothing_matched(
    store: &dyn StateStore,
) -> Claim {
    for _ in 0..10 {
        let many = (0..500).map(|_| event(&output(1), 0, Bytes::new()));
        store.commit(batch(many)).await?;
    }
    for filter in [TopicFilter::Prefix("x/".into()), TopicFilter::Exact(Topic::new("x"))] {
        let seen = read_all(store, query(&[filter], Position::START)).await?;
        same("events", &seen.events.len(), &0)?;
        same("the end", &seen.next, &Position(5000))?;
    }
    let beyond = store.read(&query(&[TopicFilter::All], Position(9000))).await?;
    same("a place beyond the end", &beyond.next, &Position(9000))
}

pub(super) async fn a_topic_reads_by_offset(store: &dyn StateStore) -> Claim {
    let all = history(store).await?;
    let wanted: Vec<&NewEvent> = all.iter().filter(|event| event.topic == output(1)).collect();
    for from in 0..wanted.len() + 2 {
        let mut query = TopicQuery {
            topic: output(1),
            from: from as u64,
            max_events: 1 + from % 11,
            max_bytes: 150_000,
            bodies_only: false,
        };
        let seen = store.read_topic(&query).await?;
        holds("a page within its events", seen.len() <= query.max_events)?;
        holds("at least one event", from >= wanted.len() || !seen.is_empty())?;
        for (place, seen) in seen.iter().enumerate() {
            same("offset", &seen.offset, &((from + place) as u64))?;
            same_event(seen, wanted[from + place])?;
        }
        query.bodies_only = true;
        for seen in store.read_topic(&query).await? {
            holds("bodies only", seen.payload.is_empty() && !seen.body.is_empty())?;
        }
    }
    Ok(())
}

pub(super) async fn concurrent_readers_never_see_a_hole(store: &dyn StateStore) -> Claim {
    let write = async {
        for n in 0..200_u64 {
            let events = (0..n % 4).map(|m| event(&output((m % 2) as u32), 0, bytes(n, 3000)));
            store.commit(batch(events)).await?;
        }
        Ok::<_, Seen>(())
    };
    let read = async {
        let mut seen = 0;
        while seen < 300 {
            let page = store
                .read(&EventQuery {
                    topics: vec![TopicFilter::All],
                    after: Position(seen),
                    max_events: 64,
                    max_bytes: 1 << 20,
                })
                .await?;
            for event in page.events {
                same("the next position", &event.position, &Position(seen + 1))?;
                seen += 1;
            }
            tokio::task::yield_now().await;
        }
        Ok::<_, Seen>(())
    };
    tokio::try_join!(write, read)?;
    Ok(())
}

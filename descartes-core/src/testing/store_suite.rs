//! What every [`StateStore`] must hold, for whoever writes one.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use descartes_core::{store::MemoryStore, testing::store_suite};
//! # async fn example() {
//! let failures = store_suite::check(async || Arc::new(MemoryStore::new()) as _).await;
//! assert_eq!(failures, []);
//! # }
//! ```

mod documents;
mod events;
mod retention;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::Position;
use crate::event::{EventBody, NewEvent, Topic, TopicFilter};
use crate::store::{Batch, EventPage, EventQuery, StateStore, StoreError};
use crate::time::Timestamp;

/// A claim that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What should have been true.
    pub claim: &'static str,
    /// What was seen instead.
    pub seen: String,
}

/// Runs every claim against a store of its own, which `fresh` makes, and tells what failed.
pub async fn check(fresh: impl AsyncFn() -> Arc<dyn StateStore>) -> Vec<Failure> {
    let mut failures = Vec::new();
    macro_rules! claims {
        ($($room:ident::$claim:ident,)*) => {$(
            if let Err(Seen(seen)) = $room::$claim(&*fresh().await).await {
                failures.push(Failure { claim: stringify!($claim), seen });
            }
        )*};
    }
    claims! {
        documents::a_document_reads_back_with_its_owner_and_version,
        documents::an_expectation_that_does_not_hold_changes_nothing,
        documents::later_puts_of_a_batch_see_the_earlier_ones,
        documents::deleting_what_does_not_exist_is_no_error,
        documents::pages_of_documents_are_complete_in_both_directions,
        documents::a_closed_store_refuses_everything,
        events::positions_and_offsets_grow_by_one,
        events::events_read_back_byte_for_byte,
        events::a_reader_that_is_cut_off_anywhere_sees_the_rest_once,
        events::pages_are_bounded_and_never_empty_handed,
        events::a_page_tells_how_far_it_scanned_when_nothing_matched,
        events::a_topic_reads_by_offset,
        events::concurrent_readers_never_see_a_hole,
        retention::output_over_the_limit_of_one_agent_goes_oldest_first,
        retention::output_over_the_limit_of_all_goes_oldest_first,
        retention::a_chat_over_its_limit_goes_oldest_first_and_others_stay,
        retention::old_events_go_and_output_does_not,
        retention::audit_has_a_time_of_its_own,
        retention::a_gap_tells_exactly_what_a_reader_misses,
        retention::a_forgotten_topic_is_gone_at_once_and_its_offsets_go_on,
    }
    failures
}

/// What a claim saw that it should not have seen.
struct Seen(String);

impl From<StoreError> for Seen {
    fn from(error: StoreError) -> Self {
        Self(format!("an error: {error}"))
    }
}

type Claim = Result<(), Seen>;

fn same<T: PartialEq + Debug>(what: &str, seen: &T, expected: &T) -> Claim {
    if seen == expected {
        return Ok(());
    }
    Err(Seen(format!("{what}: {seen:?} instead of {expected:?}")))
}

fn holds(what: &str, condition: bool) -> Claim {
    if condition { Ok(()) } else { Err(Seen(format!("not so: {what}"))) }
}

/// Bytes that differ for each `seed` and have no pattern that survives a shift.
fn bytes(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect::<Vec<u8>>().into()
}

fn event(topic: &Topic, at: i64, payload: Bytes) -> NewEvent {
    let at = Timestamp::from_millis(at);
    NewEvent::new(topic.clone(), "local".into(), at, &EventBody::SystemDraining)
        .with_payload(payload)
}

fn output(agent: u32) -> Topic {
    Topic::new(format!("agent/{agent}/output"))
}

fn batch(events: impl IntoIterator<Item = NewEvent>) -> Batch {
    Batch { events: events.into_iter().collect(), ..Batch::default() }
}

fn query(topics: &[TopicFilter], after: Position) -> EventQuery {
    EventQuery { topics: topics.to_vec(), after, max_events: 100, max_bytes: 1 << 20 }
}

/// Every page from `after` to the end, put together; the gaps are those of the first page.
async fn read_all(store: &dyn StateStore, first: EventQuery) -> Result<EventPage, Seen> {
    let mut all = store.read(&first).await?;
    while all.next < all.head {
        let page = store.read(&EventQuery { after: all.next, ..first.clone() }).await?;
        holds("a page that is not the last goes on", page.next > all.next)?;
        all.events.extend(page.events);
        (all.next, all.head) = (page.next, page.head);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;

//! Finds the place at which a subscription begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{After, SubscribeError, SubscribeRequest, Subscription};
use crate::cursor::{Cursor, Position};
use crate::event::Topic;
use crate::journal::Shared;
use crate::store::{Gap, StoreError, TopicQuery, TopicState};

/// Topics that `tail` looks at one by one; a reader of more begins at the start of history.
const TAIL_TOPICS: usize = 4096;

pub(in crate::journal) async fn open(
    shared: Arc<Shared>,
    request: SubscribeRequest,
) -> Result<Subscription, SubscribeError> {
    let head = shared.ring.head();
    let Place { position, gaps } = place(&shared, request.after, head)?;
    let begin = shared.store.identity().cursor(position);
    let filters: Arc<[_]> = request.topics.into();
    let seen = Arc::new(AtomicU64::new(position.0));
    let place = shared.waiters.add(Arc::clone(&filters), Arc::clone(&seen));
    let mut subscription = Subscription {
        shared,
        filters,
        types: request.types,
        sight: request.sight,
        skips: HashMap::new(),
        place,
        seen,
        position,
        begin,
        history_end: Some(head),
        gaps: Vec::new(),
        told: HashMap::new(),
        page: None,
        held: None,
    };
    if gaps {
        subscription.tell_lost_epoch().await?;
    }
    if let Some(tail) = request.tail {
        subscription.begin_with_tail(tail, head).await?;
    }
    Ok(subscription)
}

struct Place {
    position: Position,
    /// Whether the reader has seen what the store no longer knows of.
    gaps: bool,
}

/// Checks a cursor against the store's epochs.
fn place(shared: &Shared, after: After, head: Position) -> Result<Place, SubscribeError> {
    let cursor = match after {
        After::Start => return Ok(Place { position: Position::START, gaps: false }),
        After::Now => return Ok(Place { position: head, gaps: false }),
        After::Cursor(cursor) => cursor,
    };
    let identity = shared.store.identity();
    let known = identity.epochs.iter().position(|(epoch, _)| *epoch == cursor.epoch);
    let known = known.filter(|_| cursor.store == identity.store).ok_or(SubscribeError::Foreign)?;
    let position = cursor.read_whole();
    match identity.epochs.get(known + 1) {
        Some((_, end)) if position > *end => Ok(Place { position: *end, gaps: true }),
        None if cursor.position > head => Err(SubscribeError::Foreign),
        _ => Ok(Place { position, gaps: false }),
    }
}

impl Subscription {
    /// Says of every topic that what the reader had seen may not be what is there now.
    async fn tell_lost_epoch(&mut self) -> Result<(), StoreError> {
        for state in self.states().await? {
            if !self.sees_gap(&state.topic) {
                continue;
            }
            let next = self.offset_after(&state, self.position).await?;
            self.gaps.push(Gap { topic: state.topic, from_offset: next, to_offset: next });
        }
        Ok(())
    }

    /// Moves the place so that each topic begins with its last `tail` events.
    async fn begin_with_tail(&mut self, tail: u64, head: Position) -> Result<(), StoreError> {
        self.position = head;
        for state in self.states().await? {
            let first = state.next_offset.saturating_sub(tail).max(state.first_offset);
            if first >= state.next_offset {
                continue;
            }
            if let Some(position) = self.position_of(&state.topic, first).await? {
                self.position = self.position.min(Position(position.0 - 1));
                self.skips.insert(state.topic, first);
            }
        }
        self.begin = self.cursor();
        Ok(())
    }

    // By `&mut`: a shared reference across an await would ask the subscription to be `Sync`.
    async fn states(&mut self) -> Result<Vec<TopicState>, StoreError> {
        let mut all: Vec<TopicState> = Vec::new();
        for filter in self.filters.iter() {
            for state in self.shared.store.topics(filter).await? {
                if all.len() < TAIL_TOPICS && all.iter().all(|known| known.topic != state.topic) {
                    all.push(state);
                }
            }
        }
        Ok(all)
    }

    async fn position_of(
        &mut self,
        topic: &Topic,
        offset: u64,
    ) -> Result<Option<Position>, StoreError> {
        let query = TopicQuery {
            topic: topic.clone(),
            from: offset,
            max_events: 1,
            max_bytes: 1,
            bodies_only: true,
        };
        let events = self.shared.store.read_topic(&query).await?;
        Ok(events.first().map(|event| event.position))
    }

    /// The first offset of a topic whose position is after `position`.
    async fn offset_after(
        &mut self,
        state: &TopicState,
        position: Position,
    ) -> Result<u64, StoreError> {
        let (mut low, mut high) = (state.first_offset, state.next_offset);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.position_of(&state.topic, middle).await? {
                Some(found) if found <= position => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

impl After {
    /// Reads the text of the wire: a cursor, `start` or `now`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn from_text(text: &str) -> Result<Self, SubscribeError> {
        Ok(match text {
            "start" => Self::Start,
            "now" => Self::Now,
            cursor => Self::Cursor(cursor.parse::<Cursor>()?),
        })
    }
}

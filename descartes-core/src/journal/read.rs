//! Reading one page: a subscription that is asked once.

use std::time::Duration;

use super::{After, Item, Journal, SubscribeError, SubscribeRequest};
use crate::cursor::Cursor;
use crate::event::Event;
use crate::limits::{READ_PAGE_BYTES, READ_PAGE_EVENTS};
use crate::store::Gap;

/// Which page to read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadRequest {
    /// What of, and from where.
    pub subscribe: SubscribeRequest,
    /// At most so many events.
    pub limit: usize,
    /// At most so many bytes, but at least one event.
    pub max_bytes: usize,
    /// How long to wait for the first event.
    pub wait: Duration,
}

impl ReadRequest {
    /// The page of `subscribe` that is there now, within the default bounds.
    #[must_use]
    pub fn new(subscribe: SubscribeRequest) -> Self {
        let (limit, max_bytes) = (READ_PAGE_EVENTS, READ_PAGE_BYTES);
        Self { subscribe, limit, max_bytes, wait: Duration::ZERO }
    }
}

/// A page of events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// What of each topic is no longer kept.
    pub gaps: Vec<Gap>,
    /// Everything up to here was looked at, also when nothing matched.
    pub cursor: Cursor,
    /// Whether nothing more was there when the page was read.
    pub synced: bool,
}

pub(super) async fn read(
    journal: &Journal,
    request: ReadRequest,
) -> Result<ReadPage, SubscribeError> {
    let before = match request.subscribe.after {
        After::Cursor(cursor) => Some(cursor),
        After::Start | After::Now => None,
    };
    let mut subscription = journal.subscribe(request.subscribe).await?.hidden();
    let cursor = before.unwrap_or_else(|| subscription.begin());
    let mut page = ReadPage { events: Vec::new(), gaps: Vec::new(), cursor, synced: false };
    let deadline = tokio::time::Instant::now() + request.wait;
    let mut bytes = 0;
    loop {
        let next = if !page.synced {
            // History is read to its end; only the wait for news has a deadline.
            subscription.next().await
        } else if page.events.is_empty() && page.gaps.is_empty() {
            tokio::time::timeout_at(deadline, subscription.next()).await.ok().flatten()
        } else {
            None
        };
        match next.transpose()? {
            None => break,
            Some(Item::Synced(_)) => page.synced = true,
            Some(Item::Gap(gap, _)) => page.gaps.push(gap),
            Some(Item::Events(batch)) => {
                for event in batch.iter() {
                    bytes += event.weight();
                    let full = page.events.len() >= request.limit || bytes > request.max_bytes;
                    if full && !page.events.is_empty() {
                        page.synced = false;
                        return Ok(page);
                    }
                    page.cursor = journal.cursor(event.position);
                    page.events.push(event.clone());
                }
            }
        }
        page.cursor = subscription.cursor();
    }
    Ok(page)
}

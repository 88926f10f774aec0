//! A reader that follows topics: it holds a position, and pulls.

mod open;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

pub(super) use open::open;

use super::Shared;
use super::ring::{Group, Look};
use crate::cursor::{Cursor, NotACursor, Position};
use crate::event::{Event, EventKind, Topic, TopicFilter};
use crate::limits::{READ_PAGE_EVENTS, SUBSCRIPTION_PAGE_BYTES};
use crate::store::{EventPage, EventQuery, Gap, StoreError};

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// With the oldest event that is kept.
    #[default]
    Start,
    /// With what comes now.
    Now,
    /// Behind this place.
    Cursor(Cursor),
}

/// What to follow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SubscribeRequest {
    /// These topics; none means none.
    pub topics: Vec<TopicFilter>,
    /// From here on.
    pub after: After,
    /// Only these types (exact, or ending in `.*`); none means all.
    pub types: Vec<Arc<str>>,
    /// Begin with the last so many events of each topic instead of `after`.
    pub tail: Option<u64>,
    /// Of all this, only what the reader may see.
    pub sight: Option<Sight>,
}

/// What a reader may see of the topics that it asked for. It is asked for each event when that is
/// read: what a reader may see can change.
#[derive(Clone)]
pub struct Sight(Arc<dyn Fn(Seen<'_>) -> bool + Send + Sync>);

/// What a reader is about to be shown.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// An event.
    Event(&'a Event),
    /// That events of a topic are no longer kept.
    Gap(&'a Topic),
}

impl Sight {
    /// What `sees` says. It must not block.
    #[must_use]
    pub fn new(sees: impl Fn(Seen<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(sees))
    }

    fn sees(&self, what: Seen<'_>) -> bool {
        (self.0)(what)
    }
}

impl std::fmt::Debug for Sight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sight")
    }
}

impl SubscribeRequest {
    /// Everything of `topics` from `after` on.
    #[must_use]
    pub fn new(topics: Vec<TopicFilter>, after: After) -> Self {
        Self { topics, after, types: Vec::new(), tail: None, sight: None }
    }
}

/// Why a reader cannot begin or go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The cursor was given out by another store, or never.
    #[error("the cursor belongs to another store")]
    Foreign,
    /// The text is no cursor at all.
    #[error(transparent)]
    NotACursor(#[from] NotACursor),
    /// The store failed.
    #[error("could not read the journal")]
    Store(#[from] StoreError),
}

/// One thing that a subscription says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// Events; never empty.
    Events(EventBatch),
    /// All history up to the moment of subscribing was delivered. Said once.
    Synced(Cursor),
    /// Events of a topic after the reader's place are no longer kept.
    Gap(Gap, Cursor),
}

/// Some consecutive events of a subscription; shared, not copied.
#[derive(Clone, Debug)]
pub struct EventBatch {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// A commit from some index on.
    Group { group: Arc<Group>, from: usize },
    /// These of a commit.
    Picked { group: Arc<Group>, picks: Arc<[u32]> },
    /// A page of the store.
    Page(Arc<[Event]>),
}

impl EventBatch {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Group { group, from } => group.events().len() - from,
            Source::Picked { picks, .. } => picks.len(),
            Source::Page(events) => events.len(),
        }
    }

    /// Never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Event> {
        match &self.source {
            Source::Group { group, from } => group.events().get(from + index),
            Source::Picked { group, picks } => {
                picks.get(index).map(|pick| &group.events()[*pick as usize])
            }
            Source::Page(events) => events.get(index),
        }
    }

    /// The events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

type PageFuture = Pin<Box<dyn Future<Output = Result<EventPage, StoreError>> + Send>>;

/// A reader of the journal. Costs a position, not a queue; dropping it ends it.
pub struct Subscription {
    shared: Arc<Shared>,
    filters: Arc<[TopicFilter]>,
    types: Vec<Arc<str>>,
    sight: Option<Sight>,
    /// Events below these offsets were skipped by `tail`.
    skips: HashMap<Topic, u64>,
    place: usize,
    position: Position,
    /// The position, for those who count who is behind.
    seen: Arc<AtomicU64>,
    begin: Cursor,
    history_end: Option<Position>,
    gaps: Vec<Gap>,
    /// Up to which offset the reader knows that a topic's events are missing.
    told: HashMap<Topic, u64>,
    page: Option<PageFuture>,
    /// What a page brought, and the place behind it; said after the page's gaps.
    held: Option<(EventBatch, Position)>,
}

impl Subscription {
    /// The next thing to say; none when the journal was closed.
    ///
    /// # Errors
    /// When the store cannot be read. The subscription keeps its place and may be asked again.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped before it returns.
    pub async fn next(&mut self) -> Option<Result<Item, StoreError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for hand-written futures and streams.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, StoreError>>> {
        let item = self.poll_item(cx);
        self.seen.store(self.position.0, Ordering::Relaxed);
        item
    }

    /// The same, which is not counted among the subscriptions: it reads a page.
    pub(super) fn hidden(self) -> Self {
        self.shared.waiters.hide(self.place);
        self
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, StoreError>>> {
        loop {
            if let Some(gap) = self.gaps.pop() {
                return Poll::Ready(Some(Ok(Item::Gap(gap, self.cursor()))));
            }
            if let Some((batch, end)) = self.held.take() {
                self.position = end;
                return Poll::Ready(Some(Ok(Item::Events(batch))));
            }
            if self.page.is_some() {
                match ready!(self.poll_page(cx)) {
                    Ok(()) => continue,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            if self.history_end.is_some_and(|end| self.position >= end) {
                self.history_end = None;
                return Poll::Ready(Some(Ok(Item::Synced(self.cursor()))));
            }
            match self.shared.ring.look(self.position) {
                Look::Group(group) => {
                    if let Some(batch) = self.pick(group) {
                        return Poll::Ready(Some(Ok(Item::Events(batch))));
                    }
                }
                Look::Behind => self.page = Some(self.ask_store()),
                Look::Closed => return Poll::Ready(None),
                Look::AtHead => {
                    self.shared.waiters.park(self.place, cx.waker());
                    if self.is_at_head() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The place of a reader that has seen all that was delivered.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.shared.store.identity().cursor(self.position)
    }

    /// Where it began: the cursor of a reader that saw nothing of it.
    #[must_use]
    pub fn begin(&self) -> Cursor {
        self.begin
    }

    /// Whether all history up to the moment of subscribing was delivered.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.history_end.is_none()
    }

    fn is_at_head(&self) -> bool {
        matches!(self.shared.ring.look(self.position), Look::AtHead)
    }

    /// What this reader wants of a commit; moves its place behind it.
    fn pick(&mut self, group: Arc<Group>) -> Option<EventBatch> {
        let from = group.events().partition_point(|event| event.position <= self.position);
        self.position = group.last();
        let plain = self.is_plain();
        let wants_topic = |topic: &Topic| self.filters.iter().any(|filter| filter.matches(topic));
        if let Some(topic) = group.only_topic()
            && plain
        {
            let wanted = wants_topic(topic) && from < group.events().len();
            return wanted.then(|| EventBatch { source: Source::Group { group, from } });
        }
        let indexed = group.events().iter().enumerate().skip(from);
        let picks: Vec<u32> = indexed
            .filter(|(_, event)| self.wants(event))
            .map(|(index, _)| u32::try_from(index).unwrap_or(u32::MAX))
            .collect();
        if picks.is_empty() {
            return None;
        }
        Some(EventBatch { source: Source::Picked { group, picks: picks.into() } })
    }

    fn wants(&self, event: &Event) -> bool {
        self.filters.iter().any(|filter| filter.matches(&event.topic))
            && (self.types.is_empty() || wants_kind(&self.types, &event.kind))
            && self.skips.get(&event.topic).is_none_or(|first| event.offset >= *first)
            && self.sight.as_ref().is_none_or(|sight| sight.sees(Seen::Event(event)))
    }

    /// Whether everything of its topics is wanted.
    fn is_plain(&self) -> bool {
        self.types.is_empty() && self.skips.is_empty() && self.sight.is_none()
    }

    fn sees_gap(&self, topic: &Topic) -> bool {
        self.sight.as_ref().is_none_or(|sight| sight.sees(Seen::Gap(topic)))
    }

    fn ask_store(&self) -> PageFuture {
        let query = EventQuery {
            topics: self.filters.to_vec(),
            after: self.position,
            max_events: READ_PAGE_EVENTS,
            max_bytes: SUBSCRIPTION_PAGE_BYTES,
        };
        let store = Arc::clone(&self.shared.store);
        Box::pin(async move { store.read(&query).await })
    }

    /// Finishes the page that was asked for, if one was.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let Some(page) = &mut self.page else { return Poll::Ready(Ok(())) };
        let page = ready!(page.as_mut().poll(cx));
        self.page = None;
        Poll::Ready(page.map(|page| self.take_page(page)))
    }

    /// Remembers to say what is missing. A page tells of everything missing behind its beginning,
    /// the next one again: the reader is told once.
    fn note_gap(&mut self, mut gap: Gap) {
        if !self.sees_gap(&gap.topic) {
            return;
        }
        let skipped = self.skips.get(&gap.topic).copied().unwrap_or(0);
        let told = self.told.get(&gap.topic).copied().unwrap_or(0);
        gap.from_offset = gap.from_offset.max(told);
        if gap.to_offset <= skipped.max(told) {
            return;
        }
        self.told.insert(gap.topic.clone(), gap.to_offset);
        super::merge_gap(&mut self.gaps, gap);
    }

    /// What this reader wants of a page; moves its place behind it.
    ///
    /// The store may be ahead of what is visible: nothing is shown before its writer's moment.
    fn take_page(&mut self, page: EventPage) {
        let visible = self.shared.ring.head();
        let EventPage { mut events, next, gaps, .. } = page;
        for gap in gaps {
            self.note_gap(gap);
        }
        let end = next.min(visible).max(self.position);
        let plain = self.is_plain();
        events.retain(|event| event.position <= visible && (plain || self.wants(event)));
        let Some(first) = events.first() else {
            self.position = end;
            return;
        };
        // Gaps are said before the events behind them, with the place that is still before those.
        self.position = Position(first.position.0 - 1).max(self.position);
        self.held = Some((EventBatch { source: Source::Page(events.into()) }, end));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.waiters.remove(self.place);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Whether `kind` is one of `types`: exact, or a prefix with `.*`.
fn wants_kind(types: &[Arc<str>], kind: &EventKind) -> bool {
    let kind = kind.as_str();
    types.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == &**wanted,
    })
}

//! The contents of a store in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::Position;
use crate::event::{Event, NewEvent, Topic, TopicFilter};
use crate::limits::{STORE_SCAN_EVENTS, STORE_TRIM_EVENTS};
use crate::store::lost::LostEvents;
use crate::store::{
    Batch, Committed, Document, EventPage, EventQuery, Gap, Key, KeyRange, Page, Put, Retention,
    StoreError, TopicQuery, TopicState, Trimmed,
};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) head: Position,
    pub(super) closed: bool,
    documents: BTreeMap<Key, Document>,
    events: BTreeMap<u64, Event>,
    topics: HashMap<Topic, TopicLog>,
}

/// One topic: where its kept events stand, and where those stood that are gone.
#[derive(Debug, Default)]
struct TopicLog {
    first_offset: u64,
    kept: VecDeque<u64>,
    lost: LostEvents,
    bytes: u64,
}

impl TopicLog {
    fn next_offset(&self) -> u64 {
        self.first_offset + self.kept.len() as u64
    }
}

fn size(event: &Event) -> u64 {
    (event.body.len() + event.payload.len()) as u64
}

impl State {
    pub(super) fn bytes(&self) -> u64 {
        let documents: usize = self.documents.values().map(|document| document.body.len()).sum();
        documents as u64 + self.topics.values().map(|log| log.bytes).sum::<u64>()
    }

    pub(super) fn commit(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let versions = self.versions(&batch.puts)?;
        for (Put { key, owner, body, .. }, version) in batch.puts.into_iter().zip(&versions) {
            let version = *version;
            self.documents.insert(key.clone(), Document { key, owner, version, body });
        }
        for key in &batch.deletes {
            self.documents.remove(key);
        }
        for topic in &batch.forget {
            while self.drop_first(topic).is_some() {}
        }
        let offsets = batch.events.into_iter().map(|event| self.append(event)).collect();
        Ok(Committed { head: self.head, offsets, versions })
    }

    /// Checks what `puts` expect, each after those before it, and tells their new versions.
    fn versions(&self, puts: &[Put]) -> Result<Vec<u64>, StoreError> {
        let mut written: HashMap<&Key, u64> = HashMap::new();
        let mut versions = Vec::with_capacity(puts.len());
        for put in puts {
            let stored = || self.documents.get(&put.key).map(|document| document.version);
            let actual = written.get(&put.key).copied().or_else(stored);
            if !put.expect.holds(actual) {
                return Err(StoreError::Conflict { key: put.key.clone(), actual });
            }
            let version = actual.unwrap_or(0) + 1;
            written.insert(&put.key, version);
            versions.push(version);
        }
        Ok(versions)
    }

    fn append(&mut self, event: NewEvent) -> u64 {
        self.head = self.head.next();
        let log = self.topics.entry(event.topic.clone()).or_default();
        let offset = log.next_offset();
        let event = Event::placed(event, self.head, offset);
        log.kept.push_back(self.head.0);
        log.bytes += size(&event);
        self.events.insert(self.head.0, event);
        offset
    }

    fn drop_first(&mut self, topic: &Topic) -> Option<Event> {
        let log = self.topics.get_mut(topic)?;
        let position = log.kept.pop_front()?;
        log.lost.push(log.first_offset, Position(position));
        log.first_offset += 1;
        let event = self.events.remove(&position)?;
        log.bytes -= size(&event);
        Some(event)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Document> {
        self.documents.get(key).cloned()
    }

    pub(super) fn list(&self, range: &KeyRange) -> Page {
        let KeyRange { space, prefix, after, reverse, limit } = range;
        let begin = match after {
            Some(after) if !reverse && **after >= **prefix => {
                Bound::Excluded(Key::new(*space, Arc::clone(after)))
            }
            _ => Bound::Included(Key::new(*space, Arc::clone(prefix))),
        };
        let wanted = self
            .documents
            .range((begin, Bound::Unbounded))
            .take_while(|(key, _)| key.space == *space && key.id.starts_with(&**prefix))
            .map(|(_, document)| document);
        let mut documents: Vec<Document> = if *reverse {
            let below = |key: &Key| after.as_ref().is_none_or(|after| key.id < *after);
            let mut greatest = VecDeque::new();
            for document in wanted.take_while(|document| below(&document.key)) {
                if greatest.len() > *limit {
                    greatest.pop_front();
                }
                greatest.push_back(document);
            }
            greatest.into_iter().rev().cloned().collect()
        } else {
            wanted.take(limit + 1).cloned().collect()
        };
        let more = documents.len() > *limit;
        documents.truncate(*limit);
        Page { documents, more, position: self.head }
    }

    pub(super) fn read(&self, query: &EventQuery) -> EventPage {
        let mut exact = Vec::new();
        for filter in &query.topics {
            match filter {
                TopicFilter::Exact(topic) => exact.push(topic.clone()),
                TopicFilter::Prefix(_) | TopicFilter::All => {
                    let after = query.after.0.saturating_add(1);
                    let scan = self.events.range(after..).map(|(_, event)| event);
                    return self.page(query, scan.take(STORE_SCAN_EVENTS), Some(STORE_SCAN_EVENTS));
                }
            }
        }
        exact.sort();
        exact.dedup();
        self.page(query, self.merged(&exact, query.after), None)
    }

    fn page<'a>(
        &self,
        query: &EventQuery,
        scan: impl Iterator<Item = &'a Event>,
        scan_limit: Option<usize>,
    ) -> EventPage {
        let (mut events, mut bytes, mut scanned) = (Vec::new(), 0, 0);
        let (mut next, mut whole) = (query.after, true);
        for event in scan {
            if query.topics.iter().any(|filter| filter.matches(&event.topic)) {
                let size = event.body.len() + event.payload.len();
                let room = events.len() < query.max_events && bytes + size <= query.max_bytes;
                if !events.is_empty() && !room {
                    whole = false;
                    break;
                }
                bytes += size;
                events.push(event.clone());
            }
            next = event.position;
            scanned += 1;
        }
        if whole && scan_limit.is_none_or(|limit| scanned < limit) {
            next = self.head.max(query.after);
        }
        EventPage { events, next, head: self.head, gaps: self.gaps(query) }
    }

    /// The events of `topics` after a position in the order of the journal.
    fn merged<'a>(&'a self, topics: &[Topic], after: Position) -> impl Iterator<Item = &'a Event> {
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut rests = Vec::new();
        for log in topics.iter().filter_map(|topic| self.topics.get(topic)) {
            let from = log.kept.partition_point(|position| *position <= after.0);
            let mut rest = log.kept.range(from..);
            if let Some(first) = rest.next() {
                heads.push(Reverse((*first, rests.len())));
                rests.push(rest);
            }
        }
        std::iter::from_fn(move || {
            let Reverse((position, index)) = heads.pop()?;
            if let Some(next) = rests[index].next() {
                heads.push(Reverse((*next, index)));
            }
            self.events.get(&position)
        })
    }

    fn gaps(&self, query: &EventQuery) -> Vec<Gap> {
        let wanted = |topic: &Topic| query.topics.iter().any(|filter| filter.matches(topic));
        let lost = |(topic, log): (&Topic, &TopicLog)| {
            let from_offset = log.lost.first_after(query.after)?;
            Some(Gap { topic: topic.clone(), from_offset, to_offset: log.first_offset })
        };
        let mut gaps: Vec<Gap> =
            self.topics.iter().filter(|(topic, _)| wanted(topic)).filter_map(lost).collect();
        gaps.sort_by(|one, other| one.topic.cmp(&other.topic));
        gaps
    }

    pub(super) fn read_topic(&self, query: &TopicQuery) -> Vec<Event> {
        let Some(log) = self.topics.get(&query.topic) else { return Vec::new() };
        let skip = query.from.saturating_sub(log.first_offset).min(log.kept.len() as u64);
        let (mut events, mut bytes) = (Vec::new(), 0);
        for position in log.kept.range(skip as usize..) {
            let Some(event) = self.events.get(position) else { break };
            let mut event = event.clone();
            if query.bodies_only {
                event.payload = Bytes::new();
            }
            let size = event.body.len() + event.payload.len();
            let room = events.len() < query.max_events && bytes + size <= query.max_bytes;
            if !events.is_empty() && !room {
                break;
            }
            bytes += size;
            events.push(event);
        }
        events
    }

    pub(super) fn topics(&self, filter: &TopicFilter) -> Vec<TopicState> {
        let wanted = self.topics.iter().filter(|(topic, _)| filter.matches(topic));
        let mut states: Vec<TopicState> = wanted
            .map(|(topic, log)| TopicState {
                topic: topic.clone(),
                first_offset: log.first_offset,
                next_offset: log.next_offset(),
                bytes: log.bytes,
            })
            .collect();
        states.sort_by(|one, other| one.topic.cmp(&other.topic));
        states
    }

    pub(super) fn trim(&mut self, retention: &Retention) -> Trimmed {
        let mut trimmed = Trimmed::default();
        while let Some(topic) = self.due(retention) {
            let dropped = trimmed.output_events + trimmed.other_events;
            if dropped >= STORE_TRIM_EVENTS as u64 {
                trimmed.more = true;
                break;
            }
            self.drop_first(&topic);
            if topic.is_output() {
                trimmed.output_events += 1;
            } else {
                trimmed.other_events += 1;
            }
        }
        trimmed
    }

    /// The topic whose first event is the next to go.
    fn due(&self, retention: &Retention) -> Option<Topic> {
        let outputs = || self.topics.iter().filter(|(topic, _)| topic.is_output());
        let too_long = outputs().find(|(_, log)| log.bytes > retention.output_bytes_per_agent);
        if let Some((topic, _)) = too_long {
            return Some(topic.clone());
        }
        let total: u64 = outputs().map(|(_, log)| log.bytes).sum();
        if total > retention.output_bytes_total {
            let oldest = outputs().filter(|(_, log)| !log.kept.is_empty());
            return oldest.min_by_key(|(_, log)| log.kept[0]).map(|(topic, _)| topic.clone());
        }
        let mut chats = self.topics.iter().filter(|(topic, _)| topic.is_chat());
        if let Some((topic, _)) = chats.find(|(_, log)| log.bytes > retention.chat_bytes) {
            return Some(topic.clone());
        }
        let old = |topic: &Topic, log: &TopicLog| {
            let first = log.kept.front().and_then(|position| self.events.get(position));
            first.is_some_and(|event| event.at < retention.before(topic))
        };
        let mut others = self.topics.iter().filter(|(topic, _)| !topic.is_output());
        others.find(|(topic, log)| old(topic, log)).map(|(topic, _)| topic.clone())
    }
}

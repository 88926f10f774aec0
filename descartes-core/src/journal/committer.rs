//! The one task that writes: merge, commit, show, answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::health::Trouble;
use super::queue::Waiting;
use super::{Apply, Shared};
use crate::cursor::Position;
use crate::event::{Event, EventBody, NewEvent, Topic};
use crate::limits::{OUTPUT_COMMIT_PACE, RETENTION_AFTER_BYTES, STORE_RECOVERY_BYTES, STORE_RETRY};
use crate::store::{Batch, Committed, Lane, StoreError};

pub(super) async fn run(shared: Arc<Shared>) {
    let mut paced = Instant::now();
    loop {
        let taken = if shared.health.trouble().is_some() {
            tokio::select! {
                taken = shared.queue.take(paced) => taken,
                () = tokio::time::sleep(STORE_RETRY) => {
                    try_again(&shared).await;
                    continue;
                }
            }
        } else {
            shared.queue.take(paced).await
        };
        match taken {
            Some(taken) => {
                paced = Instant::now() + OUTPUT_COMMIT_PACE;
                commit_all(&shared, taken).await;
            }
            None => return,
        }
    }
}

/// A batch that was taken, and how much it had: its events are lent to the commit.
struct Part {
    waiting: Waiting,
    events: usize,
    puts: usize,
}

impl Part {
    fn of(waiting: Waiting) -> Self {
        let Batch { events, puts, .. } = &waiting.batch;
        let (events, puts) = (events.len(), puts.len());
        Self { waiting, events, puts }
    }
}

/// Commits what was taken at once; where a batch of it is refused, each by itself.
async fn commit_all(shared: &Arc<Shared>, taken: Vec<Waiting>) {
    let mut parts: Vec<Part> = taken.into_iter().map(Part::of).collect();
    if parts.len() == 1 {
        return commit_group(shared, parts).await;
    }
    let merged = merge(&mut parts);
    let events = merged.events.clone();
    let forgets = !merged.forget.is_empty();
    match commit(shared, merged).await {
        Ok(committed) => {
            if forgets {
                shared.ring.forget();
            }
            publish(shared, parts, events, &committed);
        }
        Err(error) => {
            tracing::debug!(%error, "a merged commit was refused");
            give_back(&mut parts, events);
            for part in parts {
                commit_group(shared, vec![part]).await;
            }
        }
    }
}

async fn commit_group(shared: &Arc<Shared>, mut group: Vec<Part>) {
    let batch = merge(&mut group);
    let events = batch.events.clone();
    let (lane, forgets) = (batch.lane, !batch.forget.is_empty());
    match commit(shared, batch).await {
        Ok(committed) => {
            if forgets {
                shared.ring.forget();
            }
            publish(shared, group, events, &committed);
        }
        Err(error) => {
            note(shared, &error, lane).await;
            for part in group {
                drop(part.waiting.answer.send(Err(error.clone())));
            }
        }
    }
}

/// Commits `batch`, and counts it.
async fn commit(shared: &Shared, batch: Batch) -> Result<Committed, StoreError> {
    let (begun, events) = (Instant::now(), batch.events.len());
    let bytes = batch.events.iter().map(|event| event.payload.len()).sum::<usize>();
    let committed = shared.store.commit(batch).await?;
    shared.counters.count((events, bytes), begun.elapsed());
    Ok(committed)
}

/// One batch that does what all of `parts` do, in their order. Of one part it takes everything,
/// of several their events.
fn merge(parts: &mut [Part]) -> Batch {
    if let [only] = parts {
        return std::mem::take(&mut only.waiting.batch);
    }
    let mut all = Batch::output();
    all.events.reserve(parts.iter().map(|part| part.events).sum());
    for Part { waiting: Waiting { batch, .. }, .. } in parts {
        all.puts.extend_from_slice(&batch.puts);
        all.deletes.extend_from_slice(&batch.deletes);
        all.forget.extend_from_slice(&batch.forget);
        all.events.append(&mut batch.events);
        if batch.lane == Lane::Control {
            all.lane = Lane::Control;
        }
    }
    all
}

/// Undoes what [`merge`] took of several parts.
fn give_back(parts: &mut [Part], events: Vec<NewEvent>) {
    let mut events = events.into_iter();
    for part in parts {
        part.waiting.batch.events = events.by_ref().take(part.events).collect();
    }
}

/// Shows what was committed, then answers those who waited for it.
fn publish(shared: &Shared, group: Vec<Part>, events: Vec<NewEvent>, committed: &Committed) {
    count_bulk(shared, &events);
    let first = committed.head.0 + 1 - events.len() as u64;
    let placed = events.into_iter().zip(first..).zip(&committed.offsets);
    let placed: Vec<Event> = placed
        .map(|((new, position), offset)| Event::placed(new, Position(position), *offset))
        .collect();
    let mut answers = Vec::with_capacity(group.len());
    let mut places = Places { committed, first, offset: 0, version: 0 };
    let applies: Vec<(Option<Apply>, Committed)> = group
        .into_iter()
        .map(|part| {
            let place = places.next(&part);
            answers.push((part.waiting.answer, place.clone()));
            (part.waiting.apply, place)
        })
        .collect();
    let group = shared.ring.publish(placed, committed.head, || {
        for (apply, part) in applies {
            if let Some(apply) = apply {
                apply(&part);
            }
        }
    });
    if let Some(group) = group {
        shared.waiters.wake(&group);
    }
    for (answer, part) in answers {
        drop(answer.send(Ok(part)));
    }
}

/// Tells whoever applies retention when much has come.
fn count_bulk(shared: &Shared, events: &[NewEvent]) {
    let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
    let before = shared.bulk.fetch_add(bytes, Ordering::Relaxed);
    if before + bytes >= RETENTION_AFTER_BYTES {
        shared.bulk.store(0, Ordering::Relaxed);
        shared.bulky.notify_one();
    }
}

/// Deals the places of a merged commit out to its batches.
struct Places<'a> {
    committed: &'a Committed,
    first: u64,
    offset: usize,
    version: usize,
}

impl Places<'_> {
    fn next(&mut self, part: &Part) -> Committed {
        let offsets = self.offset..self.offset + part.events;
        let versions = self.version..self.version + part.puts;
        (self.offset, self.version) = (offsets.end, versions.end);
        Committed {
            head: Position(self.first + offsets.end as u64 - 1),
            offsets: self.committed.offsets[offsets].to_vec(),
            versions: self.committed.versions[versions].to_vec(),
        }
    }
}

/// Remembers that the store is in trouble, and says so in the journal when it still can.
async fn note(shared: &Arc<Shared>, error: &StoreError, lane: Lane) {
    let Some(trouble) = Trouble::of(error) else { return };
    let reasons = vec![trouble.reason.to_string()];
    if !shared.health.degrade(trouble) {
        return;
    }
    tracing::error!(%error, "the store does not work; output waits, control goes on");
    if lane == Lane::Output {
        // Control has the reserve; when even that does not help, recovery will tell.
        show(shared, Batch::control(), &EventBody::SystemDegraded { reasons }).await;
    }
}

/// Looks whether the store works again.
async fn try_again(shared: &Arc<Shared>) {
    let free = shared.store.usage().free_bytes;
    if free.is_some_and(|free| free < STORE_RECOVERY_BYTES) {
        return;
    }
    if show(shared, Batch::output(), &EventBody::SystemRecovered).await {
        tracing::info!("the store works again");
        shared.health.recover();
    }
}

/// Commits and publishes one event of the system; returns whether that worked.
async fn show(shared: &Arc<Shared>, batch: Batch, body: &EventBody) -> bool {
    let event = NewEvent::new(Topic::system(), "system".into(), shared.clock.now(), body);
    let batch = batch.event(event);
    let events = batch.events.clone();
    match commit(shared, batch).await {
        Ok(committed) => {
            publish(shared, Vec::new(), events, &committed);
            true
        }
        Err(error) => {
            tracing::debug!(%error, "the store does not work yet");
            false
        }
    }
}

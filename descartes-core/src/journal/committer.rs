//! The one task that writes: merge, commit, show, answer.

use std::sync::Arc;

use super::health::Trouble;
use super::queue::Waiting;
use super::{Apply, Shared};
use crate::cursor::Position;
use crate::event::{Event, EventBody, NewEvent, Topic};
use crate::limits::{STORE_RECOVERY_BYTES, STORE_RETRY};
use crate::store::{Batch, Committed, Lane, StoreError};

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let taken = if shared.health.trouble().is_some() {
            tokio::select! {
                taken = shared.queue.take() => taken,
                () = tokio::time::sleep(STORE_RETRY) => {
                    try_again(&shared).await;
                    continue;
                }
            }
        } else {
            shared.queue.take().await
        };
        match taken {
            Some(taken) => commit_all(&shared, taken).await,
            None => return,
        }
    }
}

/// Commits what was taken at once; where a batch of it is refused, each by itself.
async fn commit_all(shared: &Arc<Shared>, taken: Vec<Waiting>) {
    if let [_] = &taken[..] {
        return commit_group(shared, taken).await;
    }
    let merged = merge(&taken);
    let events = merged.events.clone();
    match shared.store.commit(merged).await {
        Ok(committed) => publish(shared, taken, events, &committed),
        Err(error) => {
            tracing::debug!(%error, "a merged commit was refused");
            for waiting in taken {
                commit_group(shared, vec![waiting]).await;
            }
        }
    }
}

async fn commit_group(shared: &Arc<Shared>, group: Vec<Waiting>) {
    let batch = merge(&group);
    let events = batch.events.clone();
    let lane = batch.lane;
    match shared.store.commit(batch).await {
        Ok(committed) => publish(shared, group, events, &committed),
        Err(error) => {
            note(shared, &error, lane).await;
            for waiting in group {
                drop(waiting.answer.send(Err(error.clone())));
            }
        }
    }
}

/// One batch that does what all of `taken` do, in their order.
fn merge(taken: &[Waiting]) -> Batch {
    let [only] = taken else {
        let mut all = Batch::output();
        for Waiting { batch, .. } in taken {
            all.puts.extend_from_slice(&batch.puts);
            all.deletes.extend_from_slice(&batch.deletes);
            all.forget.extend_from_slice(&batch.forget);
            all.events.extend_from_slice(&batch.events);
            if batch.lane == Lane::Control {
                all.lane = Lane::Control;
            }
        }
        return all;
    };
    only.batch.clone()
}

/// Shows what was committed, then answers those who waited for it.
fn publish(shared: &Shared, taken: Vec<Waiting>, events: Vec<NewEvent>, committed: &Committed) {
    let first = committed.head.0 + 1 - events.len() as u64;
    let placed = events.into_iter().zip(first..).zip(&committed.offsets);
    let placed: Vec<Event> = placed
        .map(|((new, position), offset)| Event::placed(new, Position(position), *offset))
        .collect();
    let mut answers = Vec::with_capacity(taken.len());
    let mut parts = Parts { committed, first, offset: 0, version: 0 };
    let applies: Vec<(Option<Apply>, Committed)> = taken
        .into_iter()
        .map(|waiting| {
            let part = parts.next(&waiting.batch);
            answers.push((waiting.answer, part.clone()));
            (waiting.apply, part)
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

/// Deals the places of a merged commit out to its batches.
struct Parts<'a> {
    committed: &'a Committed,
    first: u64,
    offset: usize,
    version: usize,
}

impl Parts<'_> {
    fn next(&mut self, batch: &Batch) -> Committed {
        let offsets = self.offset..self.offset + batch.events.len();
        let versions = self.version..self.version + batch.puts.len();
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
    match shared.store.commit(batch).await {
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

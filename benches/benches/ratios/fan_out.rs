//! The same bursts to many readers: of the journal, and of a broadcast channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use descartes_benches::no_store::NoStore;
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_core::Descartes;
use descartes_core::agent::{AgentId, AgentStatus};
use descartes_core::event::{EventBody, NewEvent, StatusChange, Topic, TopicFilter};
use descartes_core::journal::{After, Item, SubscribeRequest};
use descartes_core::store::Batch;
use descartes_core::testing::FakeRunner;
use descartes_core::time::Clock;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;

use crate::{Bench, Measured};

const BURST: usize = 32;
/// Bursts that the slowest reader may be behind; well inside the channel's bound.
const WINDOW: usize = 8;
/// The length of an event's JSON.
const EVENT_BYTES: usize = 200;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = Bench::runtime()?;
    let mut rows = Vec::new();
    for (readers, bursts, aim) in [(1, 20_000, 1.0), (100, 4_000, 2.0), (1000, 1_000, 4.0)] {
        let bursts = bench.size.pick(bursts, 2 * WINDOW);
        let deliveries = (readers * bursts * BURST) as f64;
        let mut ours = || deliveries / figure(journal(&runtime, readers, bursts));
        let mut theirs = || deliveries / channel(&runtime, readers, bursts);
        let series = Series::interleaved(bench.size.rounds(), &mut [&mut ours, &mut theirs]);
        rows.push(Row {
            what: format!("fan-out to {readers}, bursts of {BURST}: deliveries"),
            ours: Figure(series.figure(0), "/s"),
            reference: Figure(series.figure(1), "/s"),
            whose: "tokio broadcast",
            ratio: series.ratio(0, 1),
            aim: Aim::AtLeast(aim),
        });
    }
    Ok(Measured::Rows(rows))
}

/// Lets the sender run ahead of the slowest reader by a window of bursts, and no more.
struct Pace {
    readers: usize,
    arrived: [AtomicUsize; WINDOW],
    room: Semaphore,
}

impl Pace {
    fn new(readers: usize) -> Arc<Self> {
        let room = Semaphore::new(WINDOW);
        Arc::new(Self { readers, arrived: Default::default(), room })
    }

    /// A reader has the whole of one more burst, which is number `burst`.
    fn arrived(&self, burst: usize) {
        let arrived = &self.arrived[burst % WINDOW];
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.readers {
            arrived.store(0, Ordering::Release);
            self.room.add_permits(1);
        }
    }

    async fn wait(&self) {
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
    }

    /// Until all of it has arrived everywhere.
    async fn finish(&self) {
        if let Ok(permits) = self.room.acquire_many(WINDOW as u32).await {
            permits.forget();
        }
    }
}

/// Seconds for `bursts` to reach all readers of the journal.
fn journal(runtime: &Runtime, readers: usize, bursts: usize) -> anyhow::Result<f64> {
    runtime.block_on(async {
        let builder = Descartes::builder().store(Arc::new(NoStore::default()));
        let descartes = builder.runner(Arc::new(FakeRunner::echo())).build().await?;
        let (pace, agent) = (Pace::new(readers), AgentId::generate());
        let mut tasks = JoinSet::new();
        for _ in 0..readers {
            let (descartes, pace) = (descartes.clone(), Arc::clone(&pace));
            let topic = TopicFilter::Exact(Topic::agent_status(agent));
            let request = SubscribeRequest::new(vec![topic], After::Now);
            let subscription = descartes.journal().subscribe(request).await?;
            tasks.spawn(follow(subscription, pace, bursts));
        }
        let batch = burst(agent);
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..WINDOW {
            let (descartes, pace) = (descartes.clone(), Arc::clone(&pace));
            senders.spawn(publish(descartes, batch.clone(), pace, bursts / WINDOW));
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        pace.finish().await;
        let seconds = began.elapsed().as_secs_f64();
        while let Some(done) = tasks.join_next().await {
            std::hint::black_box(done?);
        }
        descartes.shutdown().await;
        Ok(seconds)
    })
}

/// One of as many senders as there may be bursts on their way: each waits for its commit.
async fn publish(
    descartes: Descartes,
    batch: Batch,
    pace: Arc<Pace>,
    bursts: usize,
) -> anyhow::Result<()> {
    for _ in 0..bursts {
        pace.wait().await;
        descartes.journal().commit(batch.clone()).await?;
    }
    Ok(())
}

async fn follow(
    mut subscription: descartes_core::journal::Subscription,
    pace: Arc<Pace>,
    bursts: usize,
) -> usize {
    let (mut seen, mut bytes) = (0, 0);
    while seen < bursts * BURST {
        let Some(Ok(item)) = subscription.next().await else { break };
        let Item::Events(batch) = item else { continue };
        for event in batch.iter() {
            bytes += event.encoded(|_| Bytes::from(vec![b'x'; EVENT_BYTES])).len();
            seen += 1;
            if seen % BURST == 0 {
                pace.arrived(seen / BURST - 1);
            }
        }
    }
    bytes
}

fn burst(agent: AgentId) -> Batch {
    let change = StatusChange::new(AgentStatus::Running, AgentStatus::Paused, 1);
    let body = EventBody::AgentStatusChanged(change);
    let now = Clock::system().now();
    let event = NewEvent::new(Topic::agent_status(agent), "bench".into(), now, &body);
    (0..BURST).fold(Batch::control(), |batch, _| batch.event(event.clone()))
}

/// Seconds for `bursts` to reach all readers of a broadcast channel.
fn channel(runtime: &Runtime, readers: usize, bursts: usize) -> f64 {
    runtime.block_on(async {
        let (sender, _) = broadcast::channel::<Bytes>(2 * WINDOW * BURST);
        let pace = Pace::new(readers);
        let mut tasks = JoinSet::new();
        for _ in 0..readers {
            tasks.spawn(receive(sender.subscribe(), Arc::clone(&pace)));
        }
        let sent = tokio::spawn(send(sender, Arc::clone(&pace), bursts));
        let seconds = sent.await.unwrap_or(f64::NAN);
        while let Some(done) = tasks.join_next().await {
            std::hint::black_box(done.unwrap_or_default());
        }
        seconds
    })
}

async fn send(sender: broadcast::Sender<Bytes>, pace: Arc<Pace>, bursts: usize) -> f64 {
    let began = Instant::now();
    for _ in 0..bursts {
        pace.wait().await;
        for _ in 0..BURST {
            // As ours: encoded once, then shared.
            let event = Bytes::from(vec![b'x'; EVENT_BYTES]);
            if sender.send(event).is_err() {
                return f64::NAN;
            }
        }
    }
    pace.finish().await;
    began.elapsed().as_secs_f64()
}

async fn receive(mut receiver: broadcast::Receiver<Bytes>, pace: Arc<Pace>) -> usize {
    let (mut seen, mut bytes) = (0_usize, 0);
    while let Ok(event) = receiver.recv().await {
        bytes += event.len();
        seen += 1;
        if seen.is_multiple_of(BURST) {
            pace.arrived(seen / BURST - 1);
        }
    }
    bytes
}

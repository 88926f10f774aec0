//! Commits to the journal over the embedded store, against SQLite with the same rows.

use std::cell::RefCell;
use std::time::Instant;

use descartes_benches::host;
use descartes_benches::series::{Series, figure, median};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_core::Descartes;
use descartes_core::agent::{AgentId, AgentStatus};
use descartes_core::event::{EventBody, NewEvent, StatusChange, Topic};
use descartes_core::store::Batch;
use descartes_core::time::Clock;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::journal_floor::{Floor, handed_over};
use crate::{Bench, Measured};

/// What a writer saw: events a second, and the median wait in microseconds.
#[derive(Clone, Copy)]
struct Told {
    rate: f64,
    p50: f64,
}

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = Bench::runtime()?;
    let folder = tempfile::tempdir()?;
    let descartes = runtime.block_on(host::embedded(folder.path()))?;
    let event = event();
    let bare = tempfile::tempdir()?;
    {
        let _entered = runtime.enter();
        drop(host::sqlite(bare.path())?);
    }
    let floor = RefCell::new(Floor::open(bare.path(), event.body.to_vec())?);
    let mut rows = Vec::new();
    for (writers, each) in [(1, 10_000), (16, 3_000)] {
        let each = bench.size.pick(each, 20);
        let ours = || commits(&runtime, &descartes, &event, writers, each);
        let whole = || in_one_loop(&mut floor.borrow_mut(), writers, each);
        let handed = || handed(&mut floor.borrow_mut(), writers, each);
        if writers == 1 {
            rows.extend(compare(bench, writers, "bare SQLite loop", (&ours, &whole), true));
        } else {
            let whose = "SQLite, 16 threads hand over";
            rows.extend(compare(bench, writers, whose, (&ours, &handed), true));
            let whose = "SQLite, 16 rows at once";
            rows.extend(compare(bench, writers, whose, (&ours, &whole), false));
        }
    }
    runtime.block_on(descartes.shutdown());
    Ok(Measured::Rows(rows))
}

type Contestant<'a> = &'a dyn Fn() -> anyhow::Result<Told>;

fn compare(
    bench: &Bench,
    writers: usize,
    whose: &'static str,
    (ours, theirs): (Contestant<'_>, Contestant<'_>),
    aimed: bool,
) -> Vec<Row> {
    let waits = RefCell::new([const { Vec::new() }; 2]);
    let run = |index: usize, contestant: Contestant<'_>| {
        figure(contestant().map(|told| {
            waits.borrow_mut()[index].push(told.p50);
            told.rate
        }))
    };
    let series = Series::interleaved(
        bench.size.rounds(),
        &mut [&mut || run(0, ours), &mut || run(1, theirs)],
    );
    let [ours, theirs] = waits.into_inner().map(median);
    let plural = if writers == 1 { "" } else { "s" };
    let what = |end: &str| format!("journal commit, {writers} writer{plural}: {end}");
    let aim = |aim| if aimed { aim } else { Aim::None };
    vec![
        Row {
            what: what("p50"),
            ours: Figure(ours, "us"),
            reference: Figure(theirs, "us"),
            whose,
            ratio: ours / theirs,
            aim: aim(Aim::AtMost(2.0)),
        },
        Row {
            what: what("events"),
            ours: Figure(series.figure(0), "/s"),
            reference: Figure(series.figure(1), "/s"),
            whose,
            ratio: series.ratio(0, 1),
            aim: aim(Aim::AtLeast(0.7)),
        },
    ]
}

fn event() -> NewEvent {
    let change = StatusChange::new(AgentStatus::Running, AgentStatus::Paused, 1);
    let body = EventBody::AgentStatusChanged(change);
    NewEvent::new(
        Topic::agent_status(AgentId::generate()),
        "bench".into(),
        Clock::system().now(),
        &body,
    )
}

/// Writers that each commit one event and wait for it, `each` times.
fn commits(
    runtime: &Runtime,
    descartes: &Descartes,
    event: &NewEvent,
    writers: usize,
    each: usize,
) -> anyhow::Result<Told> {
    runtime.block_on(async {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let (journal, event) = (descartes.journal().clone(), event.clone());
            tasks.spawn(async move {
                let mut waits = Vec::with_capacity(each);
                for _ in 0..each {
                    let began = Instant::now();
                    journal.commit(Batch::control().event(event.clone())).await?;
                    waits.push(began.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<_, descartes_core::store::StoreError>(waits)
            });
        }
        let mut waits = Vec::new();
        while let Some(done) = tasks.join_next().await {
            waits.extend(done??);
        }
        let rate = (writers * each) as f64 / began.elapsed().as_secs_f64();
        Ok(Told { rate, p50: median(waits) })
    })
}

/// The same by one loop, `writers` events in each transaction.
fn in_one_loop(floor: &mut Floor, writers: usize, each: usize) -> anyhow::Result<Told> {
    let mut waits = Vec::with_capacity(each);
    let all = Instant::now();
    for _ in 0..each {
        let began = Instant::now();
        floor.commit(writers)?;
        waits.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let rate = (writers * each) as f64 / all.elapsed().as_secs_f64();
    Ok(Told { rate, p50: median(waits) })
}

fn handed(floor: &mut Floor, writers: usize, each: usize) -> anyhow::Result<Told> {
    let (elapsed, waits) = handed_over(floor, writers, each)?;
    Ok(Told { rate: waits.len() as f64 / elapsed.as_secs_f64(), p50: median(waits) })
}

//! Single operations with criterion's statistics, each beside its floor; at the end the ratios.
//!
//! `cargo bench -p descartes-benches --bench operations` compares with the run before it.

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use descartes_benches::host;
use descartes_benches::size::Size;
use descartes_core::agent::{AgentId, AgentStatus};
use descartes_core::event::{EventBody, NewEvent, StatusChange, Topic};
use descartes_core::store::{Batch, MemoryStore, StateStore};
use descartes_core::time::Clock;
use descartes_rpc::connection::answer;
use descartes_rpc::peer::Peer;
use tokio::runtime::{Builder, Runtime};

const HEALTH: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
const LIST: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"limit":10}}"#;

/// Group, ours, floor.
const RATIOS: &[(&str, &str, &str)] = &[
    ("call", "system.health", "direct"),
    ("call", "agent.list", "direct"),
    ("commit", "journal", "store"),
];

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    calls(&mut criterion, &runtime)?;
    commits(&mut criterion, &runtime)?;
    criterion.final_summary();
    if Size::of_this_run() == Size::Full {
        tell_ratios(&folder)?;
    }
    Ok(())
}

fn calls(criterion: &mut Criterion, runtime: &Runtime) -> anyhow::Result<()> {
    let descartes = runtime.block_on(host::in_memory())?;
    let rpc = host::rpc(descartes.clone());
    let peer = Peer::owner("memory");
    let mut group = criterion.benchmark_group("call");
    group.bench_function("direct", |b| b.iter(|| black_box(&descartes).health()));
    for (name, call) in [("system.health", HEALTH), ("agent.list", LIST)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let (rpc, peer) = (rpc.clone(), peer.clone());
                runtime.block_on(answer(rpc, peer, Bytes::from_static(call)))
            });
        });
    }
    group.finish();
    Ok(())
}

fn commits(criterion: &mut Criterion, runtime: &Runtime) -> anyhow::Result<()> {
    let descartes = runtime.block_on(host::in_memory())?;
    let change = StatusChange::new(AgentStatus::Running, AgentStatus::Paused, 1);
    let body = EventBody::AgentStatusChanged(change);
    let topic = Topic::agent_status(AgentId::generate());
    let batch =
        Batch::control().event(NewEvent::new(topic, "bench".into(), Clock::system().now(), &body));
    let store = MemoryStore::new();
    let mut group = criterion.benchmark_group("commit");
    group.bench_function("store", |b| b.iter(|| runtime.block_on(store.commit(batch.clone()))));
    group.bench_function("journal", |b| {
        b.iter(|| runtime.block_on(descartes.journal().commit(batch.clone())));
    });
    group.finish();
    Ok(())
}

/// What criterion found, as ratios.
fn tell_ratios(folder: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    for (group, ours, floor) in RATIOS {
        let figures = (figure(folder, group, ours), figure(folder, group, floor));
        if let (Ok(ours_figure), Ok(floor_figure)) = figures {
            let ratio = ours_figure / floor_figure;
            writeln!(out, "{group}: {ours} / {floor} = {ratio:.2} ({ours_figure:.0} ns)")?;
        }
    }
    Ok(())
}

/// The median of one benchmark, in nanoseconds.
fn figure(folder: &Path, group: &str, name: &str) -> anyhow::Result<f64> {
    let path = folder.join(group).join(name).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let median = estimates["median"]["point_estimate"].as_f64();
    median.ok_or_else(|| anyhow::anyhow!("no median of {name}"))
}

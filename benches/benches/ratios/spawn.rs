//! Children from their start to their end, 64 at once.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use descartes_benches::host;
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_core::agent::AgentSpec;
use descartes_core::{Descartes, WaitFor};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::{Bench, Measured};

const AT_ONCE: usize = 64;
const PROGRAM: &str = "/bin/true";

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = Bench::runtime()?;
    let folder = tempfile::tempdir()?;
    let descartes = runtime.block_on(host::embedded(folder.path()))?;
    let each = bench.size.pick(10, 1);
    let mut ours = || {
        rate(&runtime, each, || {
            let descartes = descartes.clone();
            async move { agent(&descartes).await }
        })
    };
    let mut bare = || rate(&runtime, each, child);
    let series = Series::interleaved(bench.size.rounds(), &mut [&mut ours, &mut bare]);
    runtime.block_on(descartes.shutdown());
    Ok(Measured::Rows(vec![Row {
        what: "spawn to reaped, 64 at once".to_owned(),
        ours: Figure(series.figure(0), "/s"),
        reference: Figure(series.figure(1), "/s"),
        whose: "bare tokio Command",
        ratio: series.ratio(0, 1),
        aim: Aim::AtLeast(0.6),
    }]))
}

async fn agent(descartes: &Descartes) -> anyhow::Result<()> {
    let started = descartes.spawn(AgentSpec::command([PROGRAM]), "bench").await?;
    let ended = descartes.wait(started.record.id, WaitFor::Exit).await?;
    anyhow::ensure!(ended.exit.as_ref().and_then(|exit| exit.code) == Some(0), "{ended:?}");
    Ok(())
}

async fn child() -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(PROGRAM);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    anyhow::ensure!(child.wait().await?.success(), "it failed");
    Ok(())
}

/// Children a second, NaN if one went wrong.
fn rate<F>(runtime: &Runtime, each: usize, child: impl Fn() -> F) -> f64
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let _entered = runtime.enter();
    let began = Instant::now();
    let turns = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let done = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE * each {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { break };
            let child = child();
            tasks.spawn(async move {
                let _turn = turn;
                child.await
            });
        }
        tasks.join_all().await
    });
    let seconds = began.elapsed().as_secs_f64();
    let ended: anyhow::Result<Vec<()>> = done.into_iter().collect();
    figure(ended.map(|ended| ended.len() as f64 / seconds))
}

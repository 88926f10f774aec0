//! A regular expression over everything that an agent wrote, against ripgrep over a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use descartes_benches::series::{Series, figure};
use descartes_benches::size::from_environment;
use descartes_benches::table::{Aim, Figure, Row};
use descartes_benches::{corpus, host};
use descartes_core::agent::{AgentId, AgentSpec};
use descartes_core::output::OutputSearch;
use descartes_core::{Descartes, WaitFor};

use crate::{Bench, Measured};

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let rg = std::env::var_os("DESCARTES_BENCH_RG").unwrap_or_else(|| OsString::from("rg"));
    if Command::new(&rg).arg("--version").output().is_err() {
        let why = "no ripgrep: install `rg`, or name it in DESCARTES_BENCH_RG";
        return Ok(Measured::Skipped(why.to_owned()));
    }
    let megabytes = from_environment("DESCARTES_BENCH_SEARCH_MIB", bench.size.pick(1024, 8));
    let bytes = megabytes << 20;
    let runtime = Bench::runtime()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log");
    corpus::flood(&mut BufWriter::new(File::create(&file)?), bytes)?;
    let descartes = runtime.block_on(host::embedded(folder.path()))?;
    let agent = runtime.block_on(capture(&descartes, bench, bytes))?;
    let (found, _) = runtime.block_on(search(&descartes, agent))?;
    let (expected, _) = grep(&rg, &file)?;
    anyhow::ensure!(found == expected, "found {found} lines, ripgrep {expected}");
    let speed = |took: anyhow::Result<(u64, f64)>| {
        figure(took.map(|(_, seconds)| megabytes as f64 / seconds))
    };
    let series = Series::interleaved(
        bench.size.pick(5, 1),
        &mut [&mut || speed(runtime.block_on(search(&descartes, agent))), &mut || {
            speed(grep(&rg, &file))
        }],
    );
    runtime.block_on(descartes.shutdown());
    Ok(Measured::Rows(vec![Row {
        what: format!("agent.output, expression over {megabytes} MiB"),
        ours: Figure(series.figure(0), "MiB/s"),
        reference: Figure(series.figure(1), "MiB/s"),
        whose: "rg on a file",
        ratio: series.ratio(0, 1),
        aim: Aim::AtLeast(0.4),
    }]))
}

async fn capture(descartes: &Descartes, bench: &Bench, bytes: u64) -> anyhow::Result<AgentId> {
    let program = bench.load.to_string_lossy().into_owned();
    let spec = AgentSpec::command([program, "flood".to_owned(), bytes.to_string()]);
    let id = descartes.spawn(spec, "bench").await?.record.id;
    let ended = descartes.wait(id, WaitFor::Exit).await?;
    anyhow::ensure!(ended.exit.as_ref().and_then(|exit| exit.code) == Some(0), "{ended:?}");
    Ok(id)
}

/// Lines that match, and the seconds it took.
async fn search(descartes: &Descartes, agent: AgentId) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let mut query = OutputSearch::default();
    query.filter = Some(corpus::RARE.to_owned());
    let page = descartes.search(agent, query).await?;
    Ok((page.total, began.elapsed().as_secs_f64()))
}

fn grep(rg: &OsString, file: &Path) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let done = Command::new(rg).arg("-c").arg(corpus::RARE).arg(file).output()?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((String::from_utf8(done.stdout)?.trim().parse()?, seconds))
}

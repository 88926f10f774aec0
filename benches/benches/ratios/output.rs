//! A child that writes as fast as it is read: into the journal, and into a file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use descartes_benches::corpus::WRITE_BYTES;
use descartes_benches::host;
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_core::agent::AgentSpec;
use descartes_core::{Descartes, WaitFor};

use crate::{Bench, Measured};

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = Bench::runtime()?;
    let folder = tempfile::tempdir()?;
    let descartes = runtime.block_on(host::embedded(folder.path()))?;
    let bytes: u64 = bench.size.pick(256 << 20, 4 << 20);
    let megabytes = bytes as f64 / f64::from(1 << 20);
    let program = bench.load.to_string_lossy().into_owned();
    let mut ours = || {
        let took = runtime.block_on(capture(&descartes, &program, bytes));
        figure(took.map(|seconds| megabytes / seconds))
    };
    let mut file = || {
        let took = append(&bench.load, &folder.path().join("flood"), bytes);
        figure(took.map(|seconds| megabytes / seconds))
    };
    let series = Series::interleaved(bench.size.pick(5, 1), &mut [&mut ours, &mut file]);
    runtime.block_on(descartes.shutdown());
    Ok(Measured::Rows(vec![Row {
        what: "output capture of a block flood".to_owned(),
        ours: Figure(series.figure(0), "MiB/s"),
        reference: Figure(series.figure(1), "MiB/s"),
        whose: "pipe appended to a file",
        ratio: series.ratio(0, 1),
        aim: Aim::AtLeast(0.4),
    }]))
}

/// Seconds from the start of a flood to its end, everything journalled.
async fn capture(descartes: &Descartes, program: &str, bytes: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let spec = AgentSpec::command([program, "flood", &bytes.to_string()]);
    let id = descartes.spawn(spec, "bench").await?.record.id;
    let ended = descartes.wait(id, WaitFor::Exit).await?;
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(ended.exit.as_ref().and_then(|exit| exit.code) == Some(0), "{ended:?}");
    descartes.remove(id, "bench").await?;
    Ok(seconds)
}

/// Seconds from the start of a flood to its end, everything in a file.
fn append(program: &Path, path: &Path, bytes: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut file = File::create(path)?;
    let mut command = Command::new(program);
    let mut child = command.arg("flood").arg(bytes.to_string()).stdout(Stdio::piped()).spawn()?;
    let mut buffer = vec![0; WRITE_BYTES];
    let mut written = 0;
    if let Some(mut pipe) = child.stdout.take() {
        loop {
            let read = pipe.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read])?;
            written += read as u64;
        }
    }
    anyhow::ensure!(child.wait()?.success() && written == bytes, "{written} of {bytes} bytes");
    let seconds = began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(seconds)
}

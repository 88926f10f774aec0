//! Every figure of the table: ours, the floor or peer of the same run, their ratio.
//!
//! `cargo bench -p descartes-benches --bench ratios -- http sse` measures those two alone.
//! `DESCARTES_BENCH_QUICK=1` only shows that everything runs.

#[path = "ratios/chats.rs"]
mod chats;
#[path = "ratios/fan_out.rs"]
mod fan_out;
#[path = "ratios/health.rs"]
mod health;
#[path = "ratios/http.rs"]
mod http;
#[path = "ratios/journal.rs"]
mod journal;
#[path = "ratios/journal_floor.rs"]
mod journal_floor;
#[path = "ratios/output.rs"]
mod output;
#[path = "ratios/search.rs"]
mod search;
#[path = "ratios/spawn.rs"]
mod spawn;
#[path = "ratios/sse.rs"]
mod sse;
#[path = "ratios/unix.rs"]
mod unix;
#[path = "ratios/zmq.rs"]
mod zmq;
#[path = "ratios/zmq_gate.rs"]
mod zmq_gate;
#[path = "ratios/zmq_publish.rs"]
mod zmq_publish;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use descartes_benches::size::Size;
use descartes_benches::table::{Row, heading};
use tokio::runtime::{Builder, Runtime};

/// What every bench is given.
struct Bench {
    size: Size,
    /// The program of the load generator.
    load: PathBuf,
}

/// What a bench gives back.
enum Measured {
    Rows(Vec<Row>),
    /// Not measured here, and why.
    Skipped(String),
}

type Measure = fn(&Bench) -> anyhow::Result<Measured>;

const ALL: &[(&str, Measure)] = &[
    ("health", health::measure),
    ("http", http::single),
    ("batch", http::batch),
    ("unix", unix::measure),
    ("zmq", zmq::measure),
    ("zmq_gate", zmq_gate::measure),
    ("zmq_publish", zmq_publish::measure),
    ("journal", journal::measure),
    ("fan_out", fan_out::measure),
    ("sse", sse::measure),
    ("spawn", spawn::measure),
    ("output", output::measure),
    ("search", search::measure),
    ("chats", chats::measure),
];

impl Bench {
    /// A runtime as the daemon has one.
    fn runtime() -> std::io::Result<Runtime> {
        Builder::new_multi_thread().enable_all().build()
    }
}

fn main() -> ExitCode {
    let bench = Bench {
        size: Size::of_this_run(),
        load: PathBuf::from(env!("CARGO_BIN_EXE_descartes-load")),
    };
    match run(&bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error:?}"));
            ExitCode::FAILURE
        }
    }
}

fn run(bench: &Bench) -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", heading())?;
    let (mut skipped, began) = (Vec::new(), Instant::now());
    for (name, measure) in ALL {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        match measure(bench).map_err(|error| error.context(*name))? {
            Measured::Rows(rows) => {
                for row in rows {
                    writeln!(out, "{row}")?;
                    anyhow::ensure!(row.ratio.is_finite() && row.ratio > 0.0, "{name} failed");
                }
            }
            Measured::Skipped(why) => skipped.push(format!("skipped: {name}: {why}")),
        }
        out.flush()?;
    }
    for line in skipped {
        writeln!(out, "{line}")?;
    }
    if bench.size == Size::Quick {
        writeln!(out, "quick: this shows that benches run; the ratios mean nothing")?;
    }
    writeln!(out, "after {} s", began.elapsed().as_secs())?;
    Ok(())
}

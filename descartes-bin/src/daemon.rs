//! `descartes-daemon`: configuration, one instance, signals, logs; composes everything else.

mod container;
mod cores;
mod credentials;
mod descriptors;
mod failure;
mod given;
mod host;
mod lock;
mod logs;
mod manager;
mod notice;
mod reload;
mod remotes;
mod run;
mod settings;
mod signals;
mod stop;
mod usage;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use descartes_rpc::meter::Meter;
use tokio::runtime::{Builder, Runtime};

use crate::cli;
use crate::config::{Config, Flags, Surroundings};
use crate::directories::Directories;
use crate::exit::Code;
use crate::output::Output;
use crate::transports;
pub(crate) use container::found as in_container;
pub(crate) use failure::Failure;
#[cfg(feature = "zmq")]
pub(crate) use failure::chain;
pub(crate) use given::Given;
pub(crate) use lock::{InstanceLock, LockError};
use logs::Logs;
#[cfg(feature = "metrics")]
pub(crate) use remotes::Queues;
#[cfg(test)]
pub(crate) use settings::wired;

/// Workers of a daemon that is not told otherwise by `TOKIO_WORKER_THREADS`: one thread writes the
/// store, so more of them only cost memory.
const WORKERS_MOST: usize = 8;
/// How long blocking work may go on when everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to stop, and says by its exit code how that went.
#[must_use]
pub fn main() -> ExitCode {
    let began = Instant::now();
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return cli::said_by_clap(&error),
    };
    let output = Output::new(false);
    match start(&flags, began, &output) {
        Ok(code) => code.into(),
        Err(failure) => {
            output.note(format_args!("descartes-daemon: {failure}"));
            failure.code().into()
        }
    }
}

fn start(flags: &Flags, began: Instant, output: &Output) -> Result<Code, Failure> {
    let surroundings = Surroundings::of_this_process();
    let config = Config::load(flags, &surroundings)?;
    if flags.print_config {
        output.bytes(config.to_toml().as_bytes()).map_err(Failure::internal("print"))?;
        return Ok(Code::Done);
    }
    let directories = Directories::find(flags.data_dir.as_deref(), &surroundings)?;
    if flags.check_config {
        config.auth.secrets()?;
        transports::check(&config)?;
        output.line("the configuration is fine").map_err(Failure::internal("print"))?;
        return Ok(Code::Done);
    }
    let given = Given::of(&surroundings)?;
    directories.prepare()?;
    let logs =
        Logs::begin(&config.logging, &surroundings).map_err(Failure::internal("open the log"))?;
    if flags.detached
        && let Err(error) = rustix::process::setsid()
    {
        tracing::debug!(%error, "the session cannot be left");
    }
    let _lock = InstanceLock::take(&directories.data)?;
    if flags.jwt_secret.is_some() {
        tracing::warn!("others can read --jwt-secret from the list of processes; use a file");
    }
    let meter = Meter::default();
    let auth = credentials::authenticator(&config.auth, &directories.secrets(), &meter)?;
    cores::forbid();
    let connections = descriptors::connections(&config);
    let runtime = runtime(&surroundings).map_err(Failure::internal("start the runtime"))?;
    let contained = container::found(&surroundings);
    let plan = run::Plan {
        config,
        directories,
        connections,
        auth,
        contained,
        given,
        began,
        output,
        flags: flags.clone(),
        surroundings,
        meter,
        #[cfg(feature = "metrics")]
        scrape: crate::metrics::Scrape::default(),
    };
    let ended = runtime.block_on(run::run(plan, logs));
    runtime.shutdown_timeout(LAST_WORK);
    ended
}

fn runtime(surroundings: &Surroundings) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if surroundings.var("TOKIO_WORKER_THREADS").is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads(cores.min(WORKERS_MOST));
    }
    builder.thread_name("descartes").enable_all().build()
}

//! `descartes-daemon`: configuration, one instance, signals, logs; composes everything else.

mod checks;
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
mod os;
mod reload;
mod remotes;
mod run;
mod settings;
mod signals;
mod stop;
mod traces;
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
pub(crate) use checks::files as check_files;
pub(crate) use container::found as in_container;
pub(crate) use failure::Failure;
#[cfg(feature = "zmq")]
pub(crate) use failure::chain;
pub(crate) use given::Given;
pub(crate) use lock::{InstanceLock, LockError};
use logs::Logs;
#[cfg(feature = "metrics")]
pub(crate) use remotes::Queues;
use run::{Life, Plan};
#[cfg(test)]
pub(crate) use settings::wired;
use signals::Signals;

/// Workers of a daemon that is not told otherwise by `TOKIO_WORKER_THREADS`: one thread writes the
/// store, so more of them only cost memory.
const WORKERS_MOST: usize = 8;
/// Workers that one may ask for; each is a thread with a stack of its own.
const WORKERS_TOLD_MOST: usize = 1024;
/// Characters of another number that are repeated.
const FOUND_CHARS: usize = 32;
/// How long blocking work may go on when everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to stop, and says by its exit code how that went.
#[must_use]
pub fn main() -> ExitCode {
    let (began, output) = (Instant::now(), Output::new(false));
    match live(began) {
        Ok(code) => code,
        Err(failure) => {
            output.note(format_args!("descartes-daemon: {failure}"));
            failure.code().into()
        }
    }
}

fn live(began: Instant) -> Result<ExitCode, Failure> {
    let surroundings = Surroundings::of_this_process();
    os::keep_little(&surroundings);
    // Before anything is opened, and signals before anything that takes time.
    let given = Given::of(&surroundings);
    let signals = Signals::install().map_err(Failure::internal("handle signals"))?;
    let workers = workers(&surroundings)?;
    let runtime = runtime(workers).map_err(Failure::internal("start the runtime"))?;
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return Ok(cli::said_by_clap(&error)),
    };
    let prepare = move || prepare(flags, surroundings, given, began);
    let ended = runtime.block_on(run::live(prepare, signals));
    match ended {
        // It has been waited for.
        Ok(Life::Hung) => runtime.shutdown_background(),
        _ => runtime.shutdown_timeout(LAST_WORK),
    }
    ended.map(|life| match life {
        Life::Ended(code) => code.into(),
        Life::Hung => Code::Done.into(),
    })
}

/// What there is to do, with everything that is needed before anybody can be served; nothing when
/// it is done. It blocks.
fn prepare(
    flags: Flags,
    surroundings: Surroundings,
    given: Result<Given, Failure>,
    began: Instant,
) -> Result<Option<(Plan, Logs)>, Failure> {
    let output = Output::new(false);
    let config = Config::load(&flags, &surroundings)?;
    if flags.print_config {
        output.bytes(config.to_toml().as_bytes()).map_err(Failure::internal("print"))?;
        return Ok(None);
    }
    let directories = Directories::find(flags.data_dir.as_deref(), &surroundings)?;
    let made = [&*directories.data, &*directories.runtime];
    if flags.check_config {
        checks::files(&config, &made)?;
        for doubt in config.doubts() {
            output.note(format_args!("warning: {doubt}"));
        }
        output.line("the configuration is fine").map_err(Failure::internal("print"))?;
        return Ok(None);
    }
    let given = given?;
    directories.prepare()?;
    checks::files(&config, &made)?;
    let logs = Logs::begin(&config.logging, &surroundings);
    let logs = logs.map_err(|source| config.no_log(source))?;
    checks::doubt(&config);
    if flags.detached
        && let Err(error) = rustix::process::setsid()
    {
        tracing::debug!(%error, "the session cannot be left");
    }
    let lock = InstanceLock::take(&directories.data)?;
    if flags.jwt_secret.is_some() {
        tracing::warn!("others can read --jwt-secret from the list of processes; use a file");
    }
    let meter = Meter::default();
    let auth = credentials::authenticator(&config, &directories.secrets(), &meter)?;
    cores::forbid();
    let connections = descriptors::connections(&config);
    let contained = container::found(&surroundings);
    let plan = Plan {
        config,
        directories,
        connections,
        auth,
        contained,
        given,
        began,
        output,
        flags,
        surroundings,
        meter,
        #[cfg(feature = "metrics")]
        scrape: crate::metrics::Scrape::default(),
        _lock: lock,
    };
    Ok(Some((plan, logs)))
}

fn runtime(workers: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name("descartes").enable_all().build()
}

/// How many threads work: what the environment says, which the runtime would only believe.
fn workers(surroundings: &Surroundings) -> Result<usize, Failure> {
    let Some(found) = surroundings.var("TOKIO_WORKER_THREADS") else {
        return Ok(thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MOST));
    };
    let number = found.parse().ok().filter(|number| (1..=WORKERS_TOLD_MOST).contains(number));
    let found = || found.chars().take(FOUND_CHARS).collect();
    number.ok_or_else(|| Failure::Threads { found: found(), most: WORKERS_TOLD_MOST })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_work_as_is_told_and_nonsense_is_refused() {
        let told = |text| workers(&Surroundings::with(&[("TOKIO_WORKER_THREADS", text)]));
        assert!((1..=WORKERS_MOST).contains(&workers(&Surroundings::with(&[])).unwrap()));
        assert!((1..=WORKERS_MOST).contains(&told("").unwrap()));
        assert_eq!((told("1").unwrap(), told("1024").unwrap()), (1, 1024));
        for wrong in ["0", "x", "-1", "1025", "99999999999999999999", " 2"] {
            let refused = told(wrong).unwrap_err();
            assert_eq!(refused.code() as u8, 78, "{refused}");
        }
    }
}

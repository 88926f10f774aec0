//! `daemon start`, `daemon stop`, `daemon restart`, `daemon status`, `daemon logs`.

mod logs;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use descartes_rpc::client::ClientError;
use descartes_rpc::wire::system::{Health, NoParams, ShutdownParams};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;
use tokio::time::Instant;

use super::failure::{Failure, START_HINT};
use super::reach::Reach;
use crate::config::Flags;
use crate::daemon::check_files;
use crate::directories::Directories;
use crate::endpoints::Endpoints;
use crate::exit::Code;
use crate::output::Output;
use logs::{DaemonLogs, logs};

/// How long a daemon may take to be ready: it may have to read and repair a large store.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at whether it is ready.
const START_INTERVAL: Duration = Duration::from_millis(5);
/// How long a daemon may take to stop beyond what it was given for its agents.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// What a daemon gives its agents and calls unless told otherwise.
const DRAIN_SECS: u32 = 30;
/// How much of the log is shown when a daemon did not start.
const LOG_LINES: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum DaemonCommand {
    /// Start the daemon in the background and wait until it is ready
    Start {
        /// Flags of descartes-daemon
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
        flags: Vec<OsString>,
    },
    /// Stop the daemon and wait until it is gone; its agents are stopped with their grace
    Stop {
        /// How many seconds calls and agents may take to end
        #[arg(long, value_name = "SECS")]
        timeout: Option<u32>,
    },
    /// Stop the daemon, if one runs, and start it anew
    Restart {
        /// How many seconds calls and agents may take to end
        #[arg(long, value_name = "SECS")]
        timeout: Option<u32>,
        /// Flags of descartes-daemon; those that it was started with are not known any more
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
        flags: Vec<OsString>,
    },
    /// Print the daemon's log: of `daemon start`, or the file of `[logging] file`
    Logs(DaemonLogs),
    /// Say whether the daemon runs, and where
    Status,
}

pub(super) async fn run(
    command: DaemonCommand,
    reach: &Reach,
    output: &Output,
) -> Result<ExitCode, Failure> {
    // How the daemon that runs is stopped first, where it is.
    let (flags, stopped) = match command {
        DaemonCommand::Stop { timeout } => return stop(reach, timeout, output).await,
        DaemonCommand::Logs(it) => return logs(reach, it, output).await,
        DaemonCommand::Status => return status(reach, output).await,
        DaemonCommand::Start { flags } => (flags, None),
        DaemonCommand::Restart { timeout, flags } => (flags, Some(timeout)),
    };
    let understood = match understood(reach, flags) {
        Ok(understood) => understood,
        Err(error) => return Ok(super::said_by_clap(&error)),
    };
    match stopped {
        None => start(reach, understood, output).await,
        Some(timeout) => restart(reach, timeout, understood, output).await,
    }
}

async fn start(
    reach: &Reach,
    (flags, parsed): (Vec<OsString>, Flags),
    output: &Output,
) -> Result<ExitCode, Failure> {
    let reach = reach.at(parsed.data_dir);
    if let Some((endpoints, _)) = running(&reach).await? {
        say(output, ("already running", &reach.directories()?), &endpoints)?;
        return Ok(Code::Done.into());
    }
    begin(&reach, &flags, ("started", output)).await
}

async fn restart(
    reach: &Reach,
    timeout: Option<u32>,
    (flags, parsed): (Vec<OsString>, Flags),
    output: &Output,
) -> Result<ExitCode, Failure> {
    if parsed.print_config || parsed.check_config {
        let told = "a daemon that only looks at its configuration takes nobody's place";
        return Err(Failure::Usage(told.to_owned()));
    }
    let config = reach.config_with(&parsed)?;
    let reach = reach.at(parsed.data_dir);
    // Whoever has made a mistake keeps the daemon that runs.
    let Directories { data, runtime } = reach.directories()?;
    check_files(&config, &[&data, &runtime])?;
    let stopped = end(&reach, timeout).await?;
    let what = if stopped.is_some() { "restarted" } else { "started" };
    begin(&reach, &flags, (what, output)).await
}

/// The flags of a daemon that is started from here, as they are and as they are understood.
fn understood(
    reach: &Reach,
    mut flags: Vec<OsString>,
) -> Result<(Vec<OsString>, Flags), clap::Error> {
    if let Some(dir) = &reach.data_dir {
        flags.splice(0..0, ["--data-dir".into(), dir.clone().into_os_string()]);
    }
    let program = OsString::from("descartes-daemon");
    let parsed = Flags::try_parse_from([program].iter().chain(&flags))?;
    Ok((flags, parsed))
}

/// Starts a daemon where none is.
async fn begin(
    reach: &Reach,
    flags: &[OsString],
    (what, output): (&str, &Output),
) -> Result<ExitCode, Failure> {
    let directories = reach.directories()?;
    directories.prepare()?;
    let log = kept_log(&directories);
    let mut child = launch(flags, &log)?;
    let endpoints = until_ready(&mut child, reach, &log).await?;
    say(output, (what, &directories), &endpoints)?;
    Ok(Code::Done.into())
}

/// Where what a daemon prints goes that was started here.
fn kept_log(directories: &Directories) -> PathBuf {
    directories.data.join("daemon.log")
}

fn say(
    output: &Output,
    (what, directories): (&str, &Directories),
    endpoints: &Endpoints,
) -> Result<(), Failure> {
    Ok(output.result(endpoints, || {
        let mut text = format!("descartes-daemon {what} (pid {})", endpoints.pid);
        for (name, url) in [("http", &endpoints.http), ("zmq", &endpoints.zmq)] {
            if let Some(url) = url {
                text.push_str(&format!("\n  {name:5} {url}"));
            }
        }
        if let Some(path) = &endpoints.unix {
            text.push_str(&format!("\n  unix  {}", path.display()));
        }
        text + &format!("\n  data  {}", directories.data.display())
    })?)
}

/// The daemon that runs, and how it is.
async fn running(reach: &Reach) -> Result<Option<(Endpoints, Health)>, Failure> {
    let Some(endpoints) = reach.endpoints()? else { return Ok(None) };
    match reach.client_of(&endpoints)?.system_health(NoParams {}).await {
        Ok(health) => Ok(Some((endpoints, health))),
        // A file that a killed daemon left behind.
        Err(ClientError::Unreachable { .. } | ClientError::ConnectionLost { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Starts the daemon that was installed beside this program, else the one that is found.
fn launch(flags: &[OsString], log: &PathBuf) -> Result<Child, Failure> {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name("descartes-daemon"));
    let program = beside.filter(|path| path.exists());
    let program = program.unwrap_or_else(|| PathBuf::from("descartes-daemon"));
    let failed = |what: String| move |source| Failure::Local { what, source };
    let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let stdout = open().map_err(failed(format!("open {}", log.display())))?;
    let stderr = stdout.try_clone().map_err(failed(format!("open {}", log.display())))?;
    Command::new(&program)
        .args(flags)
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(failed(format!("start {}", program.display())))
}

async fn until_ready(
    child: &mut Child,
    reach: &Reach,
    log: &PathBuf,
) -> Result<Endpoints, Failure> {
    let give_up = Instant::now() + START_LIMIT;
    while Instant::now() < give_up {
        let ended = child.try_wait();
        let ended = ended.map_err(|source| Failure::Local { what: "wait".into(), source })?;
        if let Some(status) = ended {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Err(Failure::Daemon { code: code.unwrap_or(1), log: last_lines(log) });
        }
        // The file is written when the daemon is ready, and not before.
        if let Some(endpoints) = reach.endpoints()?.filter(|it| it.pid == child.id()) {
            return Ok(endpoints);
        }
        tokio::time::sleep(START_INTERVAL).await;
    }
    let secs = START_LIMIT.as_secs();
    Err(Failure::TimedOut(format!("not ready after {secs} s; see {}", log.display())))
}

fn last_lines(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

async fn stop(reach: &Reach, timeout: Option<u32>, output: &Output) -> Result<ExitCode, Failure> {
    let Some(pid) = end(reach, timeout).await? else {
        output.result(&json!({ "stopped": false }), || "no daemon is running".to_owned())?;
        return Ok(Code::Done.into());
    };
    let result = json!({ "stopped": true, "pid": pid });
    output.result(&result, || format!("descartes-daemon stopped (pid {pid})"))?;
    Ok(Code::Done.into())
}

/// Stops the daemon and waits until it is gone; which it was, if one ran.
async fn end(reach: &Reach, timeout: Option<u32>) -> Result<Option<u32>, Failure> {
    let Some(endpoints) = reach.endpoints()? else { return Ok(None) };
    let process = process(endpoints.pid);
    let params =
        ShutdownParams { timeout_secs: timeout.map(Into::into), ..ShutdownParams::default() };
    match reach.client_of(&endpoints)?.system_shutdown(params).await {
        Ok(_) => {}
        Err(ClientError::Unreachable { .. }) => return Ok(None),
        // It may be gone before its answer is: what counts is that it goes.
        Err(ClientError::ConnectionLost { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let limit = Duration::from_secs(timeout.unwrap_or(DRAIN_SECS).into()) + STOP_MARGIN;
    if let Some(process) = process
        && !has_ended(process, limit).await?
    {
        return Err(Failure::TimedOut(format!("pid {} still runs", endpoints.pid)));
    }
    Ok(Some(endpoints.pid))
}

/// The process, to be waited for; `None` when it is not there (or not seen from here).
fn process(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Waits until the process has ended; `false` when that takes longer than `limit`.
async fn has_ended(process: OwnedFd, limit: Duration) -> Result<bool, Failure> {
    let wait = move || -> io::Result<bool> {
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        Ok(poll(&mut watched, Some(&limit))? > 0)
    };
    let waited = tokio::task::spawn_blocking(wait).await.map_err(io::Error::other);
    let failed = |source| Failure::Local { what: "wait for the daemon".to_owned(), source };
    waited.flatten().map_err(failed)
}

async fn status(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    match running(reach).await? {
        Some((endpoints, health)) => {
            let result = json!({ "running": true, "endpoints": endpoints, "health": health });
            if output.is_json() {
                output.json(&result)?;
            } else {
                let what = format!("{}, up {} s", health.status, health.uptime_secs);
                say(output, (&what, &reach.directories()?), &endpoints)?;
            }
            Ok(Code::Done.into())
        }
        None => {
            output.result(&json!({ "running": false }), || "no daemon is running".to_owned())?;
            output.note(format_args!("  {START_HINT}"));
            Ok(Code::Unavailable.into())
        }
    }
}

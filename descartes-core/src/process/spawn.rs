//! From a launch to a child: nothing is run between fork and exec, and nothing is left behind.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::net::unix::pipe;

use super::os::leader::Leader;
use super::os::{table, tag};
use super::registry::Registration;
use super::{Shared, lookup, marker, run, youth};
use crate::agent::StdinMode;
use crate::runner::{AgentDriver, Launch, SpawnError, SpawnStage};

/// A child that was just started, and our ends of its pipes.
///
/// Dropped, its group is killed.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) leader: Leader,
    pub(super) registration: Registration,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
    pub(super) launch: Launch,
    /// Whether its processes bear the tag.
    pub(super) tagged: bool,
    pub(super) began: Instant,
}

/// Starts the program of `launch` and the task that owns the run; returns its pid.
///
/// On a thread that may block: starting takes as long as the program's file takes to be read.
/// Both happen there, so that a caller which goes away leaves nothing that nobody owns: the task
/// ends a run whose driver was given up.
pub(super) async fn start(
    shared: Arc<Shared>,
    launch: Launch,
    driver: AgentDriver,
) -> Result<u32, SpawnError> {
    let program = launch.argv.first().cloned().unwrap_or_default();
    let begin = move || {
        let child = start_now(&shared, launch)?;
        let pid = child.leader.pid();
        tokio::spawn(run::own(shared, child, driver));
        Ok(pid)
    };
    tokio::task::spawn_blocking(begin).await.unwrap_or_else(|error| {
        Err(SpawnError::new(program, SpawnStage::Exec, io::Error::other(error)))
    })
}

fn start_now(shared: &Shared, launch: Launch) -> Result<Child, SpawnError> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let marker = marker::Marker { instance: launch.instance, agent: launch.agent, run: launch.run };
    let lists: [&[String]; 2] = [&shared.pass_env, &launch.pass_env];
    let env = shared.host.for_child(&lists, &launch.env, &marker);
    let cwd = working_directory(&name, &launch)?;
    let path = env.get(OsStr::new("PATH"));
    let program = lookup::program(&name, &cwd, path.map(OsString::as_os_str))?;
    let failed = |source| {
        let mut error = SpawnError::new(&*name, SpawnStage::Exec, with_errno(source));
        error.cwd = Some(cwd.clone());
        error
    };
    let mut command = Command::new(program);
    command
        .arg0(launch.arg0.as_deref().unwrap_or(&name))
        .args(&launch.argv[1..])
        .env_clear()
        .envs(&env)
        .current_dir(&cwd)
        .process_group(0)
        .stdin(if has_input(&launch) { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let began = Instant::now();
    let (mut child, registration, tagged) =
        start_marked(shared, &mut command, marker).map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let leader = Leader::new(child).map_err(failed)?;
    let receiver = |end: Option<OwnedFd>| {
        let end = end.ok_or(io::Error::from(io::ErrorKind::BrokenPipe))?;
        pipe::Receiver::from_owned_fd(end)
    };
    let sender = |end: OwnedFd| pipe::Sender::from_owned_fd(end);
    Ok(Child {
        leader,
        registration,
        stdin: stdin.map(|end| sender(end.into())).transpose().map_err(failed)?,
        stdout: receiver(stdout.map(Into::into)).map_err(failed)?,
        stderr: receiver(stderr.map(Into::into)).map_err(failed)?,
        launch,
        tagged,
        began,
    })
}

/// Starts a child whose processes bear the tag of its run from their first moment on, when that
/// can be; registers it, and says whether they do.
fn start_marked(
    shared: &Shared,
    command: &mut Command,
    marker: marker::Marker,
) -> io::Result<(std::process::Child, Registration, bool)> {
    let _alone = shared.registry.start_alone();
    let bearing = tag::bear(shared.registry.tag_for(&marker));
    let last = table::last_pid();
    let child = command.spawn()?;
    // A subreaper's children may be what it adopted from this very run: it cannot tell.
    if bearing.marked && !shared.subreaper {
        youth::forgive_strangers(&bearing, last, child.id());
    }
    let registration = shared.registry.register(child.id(), marker);
    Ok((child, registration, bearing.marked))
}

fn working_directory(program: &str, launch: &Launch) -> Result<PathBuf, SpawnError> {
    let cwd = match &launch.cwd {
        Some(cwd) => cwd.clone(),
        None => std::env::current_dir()
            .map_err(|source| SpawnError::new(program, SpawnStage::Directory, source))?,
    };
    lookup::directory(program, &cwd)?;
    Ok(cwd)
}

/// Whether standard input is anything but at its end from the start.
fn has_input(launch: &Launch) -> bool {
    launch.stdin == StdinMode::Open || !launch.first_input.is_empty()
}

/// The standard library refuses a NUL in an argument without asking the system.
fn with_errno(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => Errno::INVAL.into(),
    }
}

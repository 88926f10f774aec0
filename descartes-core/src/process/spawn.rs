//! From a launch to a child: nothing is run between fork and exec, and nothing is left behind.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use tokio::net::unix::pipe;

use super::os::leader::Leader;
use super::os::tag;
use super::registry::Registration;
use super::{Shared, lookup, marker};
use crate::agent::StdinMode;
use crate::runner::{Launch, SpawnError, SpawnStage};

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
}

/// Starts the program of `launch`.
///
/// On a thread that may block: starting takes as long as the program's file takes to be read.
pub(super) async fn start(shared: Arc<Shared>, launch: Launch) -> Result<Child, SpawnError> {
    let program = launch.argv.first().cloned().unwrap_or_default();
    let started = tokio::task::spawn_blocking(move || start_now(&shared, launch)).await;
    started.unwrap_or_else(|error| {
        Err(SpawnError::new(program, SpawnStage::Exec, io::Error::other(error)))
    })
}

fn start_now(shared: &Shared, launch: Launch) -> Result<Child, SpawnError> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let marker = marker::Marker { instance: launch.instance, agent: launch.agent, run: launch.run };
    let lists: [&[String]; 2] = [&shared.pass_env, &launch.pass_env];
    let env = shared.host.for_child(&lists, &launch.env, &marker);
    let cwd = working_directory(&name, &launch)?;
    let path = env.get(std::ffi::OsStr::new("PATH"));
    let program = lookup::program(&name, &cwd, path.map(std::ffi::OsString::as_os_str))?;
    let failed = |source| {
        let mut error = SpawnError::new(&*name, SpawnStage::Exec, source);
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
    let (mut child, registration) = start_marked(shared, &mut command, marker).map_err(failed)?;
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
    })
}

/// Starts a child that bears the tag of its run.
///
/// In a host of its own from its first moment on. Elsewhere another thread may start something
/// that is none of ours, so there the child is tagged at once afterwards; what it manages to
/// start before that is found by its ancestry and its variable alone.
fn start_marked(
    shared: &Shared,
    command: &mut Command,
    marker: marker::Marker,
) -> io::Result<(std::process::Child, Registration)> {
    if shared.subreaper {
        let _alone = shared.registry.start_alone();
        let worn = tag::Worn::put_on(shared.registry.tag_for(&marker));
        let child = command.spawn()?;
        drop(worn);
        let registration = shared.registry.register(child.id(), marker);
        return Ok((child, registration));
    }
    let child = command.spawn()?;
    let registration = shared.registry.register(child.id(), marker);
    if !tag::set(child.id(), registration.tag) {
        tracing::debug!(pid = child.id(), "a child could not be tagged");
    }
    Ok((child, registration))
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

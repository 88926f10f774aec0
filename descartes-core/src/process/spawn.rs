//! From a launch to a child: nothing is run between fork and exec, and nothing is left behind.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::os::leader::{Leader, may_adopt};
use super::os::{table, tag};
use super::registry::Registration;
use super::{Shared, lookup, marker, run, youth};
use crate::agent::StdinMode;
use crate::runner::{AgentDriver, Launch, LookUp, SpawnError, SpawnStage};

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

/// A child that was just started, whose pipes nobody follows yet.
///
/// Dropped, its group is killed.
#[derive(Debug)]
struct Started {
    leader: Leader,
    registration: Registration,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    launch: Launch,
    cwd: PathBuf,
    tagged: bool,
    began: Instant,
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
    let (reply, answer) = oneshot::channel();
    Starts::push(shared, Job { launch, driver, runtime: Handle::current(), reply });
    answer.await.unwrap_or_else(|gone| {
        Err(SpawnError::new(program, SpawnStage::Exec, io::Error::other(gone)))
    })
}

/// Something to start.
#[derive(Debug)]
struct Job {
    launch: Launch,
    driver: AgentDriver,
    /// Whose task the run becomes.
    runtime: Handle,
    reply: oneshot::Sender<Result<u32, SpawnError>>,
}

/// What waits to be started. One thread works at a time, because one start follows the other
/// anyway: many that waited for their turn would only wake each other. As many wait as callers.
#[derive(Debug, Default)]
pub(super) struct Starts(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Whether a thread works on them.
    working: bool,
}

impl Starts {
    fn push(shared: Arc<Shared>, job: Job) {
        let mut waiting = shared.starts.lock();
        waiting.jobs.push_back(job);
        let idle = !std::mem::replace(&mut waiting.working, true);
        drop(waiting);
        if idle {
            let worker = Worker { shared, done: false };
            // Its end is told by the answers.
            drop(tokio::task::spawn_blocking(move || worker.work()));
        }
    }

    /// The next job; without one nobody is working any more.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        let job = waiting.jobs.pop_front();
        waiting.working = job.is_some();
        job
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that starts things.
struct Worker {
    shared: Arc<Shared>,
    /// Whether it ended because nothing waited.
    done: bool,
}

impl Worker {
    fn work(mut self) {
        while let Some(Job { launch, driver, runtime, reply }) = self.shared.starts.next() {
            // Whoever asked may have gone; the run is owned all the same.
            match start_now(&self.shared, launch) {
                Ok(started) => {
                    drop(runtime.spawn(own(Arc::clone(&self.shared), started, driver, reply)));
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        self.done = true;
    }
}

/// What waits for one that panicked, or that its runtime never ran, is told that it was not
/// started.
impl Drop for Worker {
    fn drop(&mut self) {
        if !self.done {
            *self.shared.starts.lock() = Waiting::default();
        }
    }
}

/// Answers whoever asked, and owns the run. What need not wait for the start before it is done
/// here, while the next one begins.
async fn own(
    shared: Arc<Shared>,
    started: Started,
    driver: AgentDriver,
    reply: oneshot::Sender<Result<u32, SpawnError>>,
) {
    let pid = started.leader.pid();
    match started.followed() {
        Ok(child) => {
            drop(reply.send(Ok(pid)));
            run::own(shared, child, driver).await;
        }
        Err(error) => drop(reply.send(Err(error))),
    }
}

fn start_now(shared: &Shared, launch: Launch) -> Result<Started, SpawnError> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let marker = marker_of(&launch);
    let env = environment(shared, &launch);
    let cwd = working_directory(&name, &launch)?;
    let program = lookup::program(&name, &cwd, path_of(&env))?;
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
    Ok(Started {
        leader,
        registration,
        stdin: stdin.map(Into::into),
        stdout: stdout.map(Into::into),
        stderr: stderr.map(Into::into),
        launch,
        cwd,
        tagged,
        began,
    })
}

/// What would be started, as far as files tell.
pub(super) fn look_up(shared: &Shared, launch: &Launch) -> LookUp {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let env = environment(shared, launch);
    let program = working_directory(&name, launch)
        .and_then(|cwd| lookup::program(&name, &cwd, path_of(&env)));
    let stamp = program.as_deref().map(lookup::stamp).unwrap_or_default();
    LookUp::new(program, stamp, env)
}

fn marker_of(launch: &Launch) -> marker::Marker {
    marker::Marker { instance: launch.instance, agent: launch.agent, run: launch.run }
}

fn environment(shared: &Shared, launch: &Launch) -> BTreeMap<OsString, OsString> {
    let lists: [&[String]; 2] = [&shared.pass_env, &launch.pass_env];
    shared.host.for_child(&lists, &launch.env, &marker_of(launch))
}

fn path_of(env: &BTreeMap<OsString, OsString>) -> Option<&OsStr> {
    env.get(OsStr::new("PATH")).map(OsString::as_os_str)
}

impl Started {
    /// Lets the runtime, in which this is called, watch the pipes.
    fn followed(self) -> Result<Child, SpawnError> {
        let Self { leader, registration, stdin, stdout, stderr, launch, cwd, tagged, began } = self;
        let receiver = |end: Option<OwnedFd>| {
            let end = end.ok_or(io::Error::from(io::ErrorKind::BrokenPipe))?;
            pipe::Receiver::from_owned_fd(end)
        };
        let pipes = || {
            let stdin = stdin.map(pipe::Sender::from_owned_fd).transpose()?;
            Ok((stdin, receiver(stdout)?, receiver(stderr)?))
        };
        let (stdin, stdout, stderr) = pipes().map_err(|source: io::Error| {
            let name = launch.argv.first().cloned().unwrap_or_default();
            let mut error = SpawnError::new(name, SpawnStage::Exec, with_errno(source));
            error.cwd = Some(cwd);
            error
        })?;
        Ok(Child { leader, registration, stdin, stdout, stderr, launch, tagged, began })
    }
}

/// Starts a child whose processes bear the tag of its run from their first moment on, when that
/// can be; registers it, and says whether they do.
fn start_marked(
    shared: &Shared,
    command: &mut Command,
    marker: marker::Marker,
) -> io::Result<(std::process::Child, Registration, bool)> {
    let _alone = shared.registry.start_alone();
    let _beginning = shared.registry.begin_start();
    let bearing = tag::bear(shared.registry.tag_for(&marker));
    let last = table::last_pid();
    let child = command.spawn()?;
    bearing.put_off();
    // What was adopted from this very run looks the same.
    if bearing.marked && !may_adopt() {
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

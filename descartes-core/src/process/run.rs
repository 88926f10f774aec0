//! The task that owns a run: nobody else touches its processes.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use rustix::process::Signal as KernelSignal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::Shared;
use super::os::leader::Leader;
use super::os::signal::native;
use super::pump::pump;
use super::registry::{Registration, Registry};
use super::spawn::Child;
use super::stdin::Stdin;
use super::tree::{Left, Swept, Tree};
use super::youth;
use crate::agent::{StdinMode, span_of};
use crate::event::StreamName;
use crate::limits::AGENT_COMMANDS;
use crate::runner::{
    AgentDriver, AgentEvents, Control, ControlError, ControlOutcome, ControlRequest, Controls,
    RunExit, Signal,
};

/// How long a leader may take to die of SIGKILL before whoever asked is told that it does not.
const DYING: Duration = Duration::from_secs(5);

/// A run, as its task holds it.
struct Run {
    leader: Leader,
    registration: Registration,
    tree: Tree,
    stdin: Stdin,
    pumps: JoinSet<()>,
    ended: watch::Sender<bool>,
    /// When the grace is over, once somebody asked the tree to end.
    grace_ends: Option<Instant>,
    forced: bool,
    swept: Swept,
    /// Those who wait for the tree to be gone.
    killers: Vec<ControlRequest>,
    /// When the leader should have died of being killed.
    dead_by: Option<Instant>,
    tagged: bool,
    began: StdInstant,
}

/// Owns `child` from its start to the end of its tree.
pub(super) fn own(
    shared: Arc<Shared>,
    child: Child,
    driver: AgentDriver,
) -> impl Future<Output = ()> + Send {
    let span = span_of(child.launch.agent);
    until_gone(shared, child, driver).instrument(span)
}

async fn until_gone(shared: Arc<Shared>, child: Child, driver: AgentDriver) {
    let (mut controls, events) = driver.split();
    let mut run = Run::new(&shared, child, &events);
    run.until_exit(&mut controls).await;
    if !run.left_nothing(&shared.registry) {
        run.sweep(&mut controls).await;
    }
    run.ended.send_replace(true);
    while run.pumps.join_next().await.is_some() {}
    let swept = u32::try_from(run.swept.len()).unwrap_or(u32::MAX);
    let Run { mut leader, registration, killers, forced, .. } = run;
    let status = registration.end(|| leader.reap());
    let mut exit = describe(status.as_ref().ok().copied());
    exit.forced = forced;
    exit.swept = swept;
    for killer in killers {
        killer.done(ControlOutcome::Killed { forced, swept });
    }
    events.exited(exit).await;
}

impl Run {
    fn new(shared: &Shared, child: Child, events: &AgentEvents) -> Self {
        let Child { leader, registration, stdin, stdout, stderr, launch, tagged, began } = child;
        let (ended, watch) = watch::channel(false);
        let mut pumps = JoinSet::new();
        let out = events.output_handle();
        let of_stdout = pump(stdout, StreamName::Stdout, out.clone(), watch.clone());
        pumps.spawn(of_stdout.in_current_span());
        pumps.spawn(pump(stderr, StreamName::Stderr, out, watch).in_current_span());
        let stdin = Stdin::new(stdin);
        let close = launch.stdin == StdinMode::Closed;
        if !launch.first_input.is_empty()
            && let Err(error) = stdin.push(launch.first_input.into(), close)
        {
            tracing::warn!(agent_id = %launch.agent, %error, "the first input was not taken");
        }
        let tree = Tree::new(shared.census.clone(), &registration);
        Self {
            leader,
            registration,
            tree,
            stdin,
            pumps,
            ended,
            grace_ends: None,
            forced: false,
            swept: Swept::new(),
            killers: Vec::new(),
            dead_by: None,
            tagged,
            began,
        }
    }

    /// Obeys until the leader has ended.
    async fn until_exit(&mut self, controls: &mut Controls) {
        let mut asked = true;
        loop {
            let next = self.grace_ends.or(self.dead_by);
            let overdue = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.leader.exited() => return,
                request = controls.next(), if asked => match request {
                    Some(request) => self.obey(request).await,
                    // Nobody is left who could want it to live.
                    None => {
                        asked = false;
                        self.grace_ends = Some(Instant::now());
                    }
                },
                () = overdue => self.overdue().await,
            }
        }
    }

    async fn obey(&mut self, request: ControlRequest) {
        match request.control.clone() {
            Control::Kill { .. } if self.killers.len() == AGENT_COMMANDS => {
                let reason = "too many wait for its end already";
                request.fail(ControlError::Failed(reason.into()));
            }
            Control::Kill { grace } => {
                self.killers.push(request);
                if self.dead_by.is_some() {
                    return;
                }
                if grace.is_zero() {
                    return self.force().await;
                }
                let ends = Instant::now() + grace;
                let first = self.grace_ends.is_none();
                // Of several graces the shortest counts.
                self.grace_ends = Some(self.grace_ends.map_or(ends, |known| known.min(ends)));
                if first {
                    self.tree.ask_to_end().await;
                }
            }
            Control::Pause => request.done(ControlOutcome::Paused(self.tree.stop().await)),
            Control::Resume => {
                self.tree.go_on().await;
                request.done(ControlOutcome::Done);
            }
            Control::Signal(signal) => self.signal(request, signal),
            Control::WriteStdin { bytes, close } => match self.stdin.push(bytes, close) {
                Ok(()) => request.done(ControlOutcome::Done),
                Err(error) => request.fail(error.into()),
            },
        }
    }

    fn signal(&self, request: ControlRequest, signal: Signal) {
        match self.leader.signal_group(native(signal)) {
            Ok(()) => request.done(ControlOutcome::Done),
            Err(error) => request.fail(ControlError::Failed(error.to_string().into())),
        }
    }

    /// The grace is over, or the leader does not die.
    async fn overdue(&mut self) {
        if self.grace_ends.is_some() {
            return self.force().await;
        }
        self.dead_by = None;
        let pid = self.leader.pid();
        let left: Arc<str> = format!("process {pid} was killed and does not end").into();
        tracing::error!(pid, "a leader was killed and does not end");
        for killer in self.killers.drain(..) {
            killer.fail(ControlError::Failed(Arc::clone(&left)));
        }
    }

    async fn force(&mut self) {
        self.forced = true;
        self.grace_ends = None;
        self.dead_by = Some(Instant::now() + DYING);
        // The leader stands still at once: what it would still start is not. It dies with the
        // others and not before them: what bears no mark is known by its ancestors alone.
        drop(self.leader.signal(KernelSignal::STOP));
        self.tree.kill(&mut self.swept).await;
        drop(self.leader.signal(KernelSignal::KILL));
    }

    /// Whether it is certain, without a look at all processes, that nothing is left.
    fn left_nothing(&self, registry: &Registry) -> bool {
        self.tagged && youth::left_nothing(&self.registration, self.began, registry)
    }

    /// Ends what is left of the tree. While that does not succeed, whoever asked is told so and
    /// may ask again.
    async fn sweep(&mut self, controls: &mut Controls) {
        loop {
            let Err(Left(left)) = self.tree.sweep(&mut self.swept).await else {
                return;
            };
            tracing::error!(leader = self.registration.leader, %left, "a tree cannot be ended");
            for killer in self.killers.drain(..) {
                killer.fail(ControlError::Failed(Arc::clone(&left)));
            }
            if let Some(request) = controls.next().await {
                match request.control {
                    Control::Kill { .. } => self.killers.push(request),
                    _ => request.fail(ControlError::Ended),
                }
            }
        }
    }
}

fn describe(status: Option<ExitStatus>) -> RunExit {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => RunExit::code(code),
        Some((_, Some(signal))) => RunExit::signal(signal),
        // Somebody else collected it.
        _ => RunExit::lost(),
    }
}

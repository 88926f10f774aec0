//! The task that owns an agent: its runs, its record, and everybody who waits for it.
//!
//! Nobody else changes an agent's status. Commands come in order; long ones (a pause that must be
//! acknowledged) do not hold up a kill.

mod control;
mod ended;
mod pause;
mod record;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::restart::RestartHistory;
use super::{Activity, AgentError, AgentRecord, ExitReason, PauseMode, span_of};
use crate::backend::Backend;
use crate::chat::Link;
use crate::descartes::Core;
use crate::output::OutputSink;
use crate::runner::{ControlError, ControlOutcome, ControlRequest, RunExit};
use crate::trace::{TraceContext, Traced};

/// What was asked of an agent, and where the answer goes.
pub(crate) enum Command {
    Kill {
        grace: Duration,
        by: Arc<str>,
        answer: Answer<Ended>,
    },
    Restart {
        grace: Duration,
        by: Arc<str>,
        /// What its program belongs to from then on; to what it did when absent.
        trace: Option<TraceContext>,
        answer: Answer<Arc<AgentRecord>>,
    },
    Pause {
        force: bool,
        by: Arc<str>,
        answer: Answer<Arc<AgentRecord>>,
    },
    Resume {
        by: Arc<str>,
        answer: Answer<Arc<AgentRecord>>,
    },
    /// Goes to the runner as it is.
    Forward(ControlRequest),
}

/// Where an answer goes. Dropped, it says that the agent has ended.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, AgentError>>;

/// What a kill is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) record: Arc<AgentRecord>,
    /// Whether the end was written down.
    pub(crate) recorded: bool,
}

/// An agent's task.
pub(crate) struct Supervisor {
    core: Arc<Core>,
    record: AgentRecord,
    backend: Backend,
    /// Values of the agent's environment, kept out of the record.
    env: BTreeMap<String, String>,
    output: Arc<OutputSink>,
    commands: mpsc::Receiver<Box<Command>>,
    run: Option<Run>,
    history: RestartHistory,
    /// Monotonic zero of `history`.
    born: Instant,
    stop: Option<Stop>,
    timer: Option<(Instant, Timer)>,
    controls: JoinSet<Finished>,
    /// The last change could not be written; it is when the store works again.
    unrecorded: Option<crate::store::Batch>,
    /// Joins its runs and the conversation with it, where there is one.
    link: Option<Arc<Link>>,
    /// What its programs belong to.
    trace: Option<TraceContext>,
    /// The run that is under way, as a piece of work.
    traced: Traced,
}

/// A run that is under way.
struct Run {
    controls: mpsc::Sender<Box<ControlRequest>>,
    exit: oneshot::Receiver<RunExit>,
    activity: watch::Receiver<Option<Activity>>,
}

/// The agent was told to end.
struct Stop {
    by: Arc<str>,
    reason: ExitReason,
    killers: Vec<Answer<Ended>>,
    /// Begin another run when this one has ended.
    restart: Vec<Answer<Arc<AgentRecord>>>,
}

#[derive(Clone, Copy)]
enum Timer {
    /// The run has had its time.
    WallLimit,
    /// The next run is due.
    NextRun,
}

/// A control that took its time has come to something.
enum Finished {
    Kill(Result<ControlOutcome, ControlError>),
    Pause { result: Result<PauseMode, AgentError>, by: Arc<str>, answer: Answer<Arc<AgentRecord>> },
    Resume { result: Result<(), AgentError>, by: Arc<str>, answer: Answer<Arc<AgentRecord>> },
}

enum Event {
    Exit(Option<RunExit>),
    Command(Command),
    Finished(Finished),
    Timer(Timer),
    OutputLimit,
    Activity(Option<Activity>),
    Abandoned,
}

impl Run {
    /// Its end, or what it is busy with. Cancel-safe.
    async fn news(&mut self) -> Event {
        tokio::select! {
            biased;
            exit = &mut self.exit => Event::Exit(exit.ok()),
            Ok(()) = self.activity.changed() => {
                Event::Activity(*self.activity.borrow_and_update())
            }
        }
    }
}

impl Supervisor {
    /// Works until the agent has ended for good.
    pub(crate) fn work(self) -> impl Future<Output = ()> + Send {
        let span = span_of(self.record.id);
        self.until_end().instrument(span)
    }

    async fn until_end(mut self) {
        while self.record.is_live() {
            let event = self.next().await;
            // Boxed, because what is done seldom would make every waiting agent larger.
            Box::pin(self.handle(event)).await;
        }
        Box::pin(self.record_at_last()).await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Exit(exit) => self.run_ended(exit).await,
            Event::Command(command) => self.obey(command).await,
            Event::Finished(finished) => self.finished(finished).await,
            Event::Timer(Timer::WallLimit) => self.end_for(ExitReason::WallLimit).await,
            Event::Timer(Timer::NextRun) => self.next_run().await,
            Event::OutputLimit => self.end_for(ExitReason::OutputLimit).await,
            Event::Activity(activity) => self.busy_with(activity).await,
            Event::Abandoned => self.end_for(ExitReason::Killed).await,
        }
    }

    /// Waits for whatever comes first. Only cancel-safe futures are waited for.
    async fn next(&mut self) -> Event {
        let timer = self.timer;
        let news = async {
            match &mut self.run {
                Some(run) => run.news().await,
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match timer {
                Some((at, timer)) => {
                    tokio::time::sleep_until(at).await;
                    Event::Timer(timer)
                }
                None => std::future::pending().await,
            }
        };
        let command = async {
            match self.commands.recv().await {
                Some(command) => Event::Command(*command),
                None if self.stop.is_none() => Event::Abandoned,
                None => std::future::pending().await,
            }
        };
        let finished = async {
            match self.controls.join_next().await {
                Some(Ok(finished)) => Event::Finished(finished),
                Some(Err(error)) => {
                    tracing::error!(%error, "a control did not end well");
                    Event::Finished(Finished::Kill(Ok(ControlOutcome::Done)))
                }
                None => std::future::pending().await,
            }
        };
        let limit = self.output.over_limit();
        tokio::select! {
            event = news => event,
            event = command => event,
            event = finished => event,
            event = timer => event,
            () = limit => Event::OutputLimit,
        }
    }
}

pub(crate) use record::{put_record, status_event};

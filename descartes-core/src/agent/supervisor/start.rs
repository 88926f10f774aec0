//! The beginning of an agent and of each of its runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Answer, Command, Run, Stop, Supervisor, Timer, put_record, status_event};
use crate::agent::registry::{Live, Reservation};
use crate::agent::restart::RestartHistory;
use crate::agent::{AgentRecord, AgentStatus, Exit, ExitReason, StdinMode};
use crate::backend::Backend;
use crate::chat::Heard;
use crate::descartes::Core;
use crate::event::{EventBody, Exited, StatusChange};
use crate::limits::AGENT_COMMANDS;
use crate::output::OutputSink;
use crate::runner::{Adoption, AgentDriver, Control, ControlRequest, Launch, SpawnError, Started};
use crate::store::Batch;
use crate::trace::{Actor, End, TraceContext, Traced, Work};

impl Supervisor {
    /// The task-to-be of an agent, and where its commands will come from.
    pub(crate) fn new(
        core: Arc<Core>,
        record: AgentRecord,
        backend: Backend,
        env: BTreeMap<String, String>,
        output: Arc<OutputSink>,
    ) -> (Self, mpsc::Sender<Box<Command>>) {
        let (sender, commands) = mpsc::channel(AGENT_COMMANDS);
        let link = core.chats.link_of(record.id);
        let supervisor = Self {
            core,
            record,
            backend,
            env,
            output,
            commands,
            run: None,
            history: RestartHistory::default(),
            born: Instant::now(),
            stop: None,
            timer: None,
            controls: JoinSet::new(),
            unrecorded: None,
            link,
            trace: None,
            traced: Traced::default(),
        };
        (supervisor, sender)
    }

    /// Its programs belong to this trace from now on, if it is one.
    pub(crate) fn belongs_to(&mut self, trace: Option<TraceContext>) {
        self.trace = trace.or_else(|| self.trace.take());
    }

    /// Starts the program of the record's run.
    pub(crate) async fn start(&mut self) -> Result<Started, SpawnError> {
        // Held until the conversation has been told of the run: without one it rests.
        let _conversation = self.join();
        // One that converses is asked turn by turn.
        self.traced = if self.link.is_some() {
            Traced::default()
        } else {
            let work = Work::Invoke(Actor::of_agent(&self.record, None));
            self.core.trace(&work, self.trace.clone())
        };
        let launch = self.launch();
        self.output.begin_run(self.record.run, self.record.spec.limits.output_bytes);
        let (run, driver) = self.open();
        let started = self.core.runners.of(&self.backend).spawn(launch, driver).await;
        if let (Some(link), Err(_)) = (&self.link, &started) {
            link.tell(Heard::NotStarted);
        }
        if started.is_err() {
            std::mem::take(&mut self.traced).end(&End::failed("failed", "spawn_failed"));
        }
        let started = started?;
        self.run = Some(run);
        self.timer =
            self.record.spec.limits.wall.map(|wall| (Instant::now() + wall, Timer::WallLimit));
        self.record.pid = started.pid;
        self.record.reference.clone_from(&started.reference);
        Ok(started)
    }

    /// Joins the run that is about to begin and the conversation with the agent: between runs that
    /// may have gone to rest, and then another one takes its place.
    fn join(&mut self) -> Option<mpsc::Sender<crate::chat::Command>> {
        let chat = self.core.chats.of_agent(self.record.id)?;
        if self.core.chats.get(chat).is_none_or(|chat| !chat.is_open()) {
            return None;
        }
        let conversation = crate::descartes::conversation_of(&self.core, chat);
        let link = self.core.chats.link_of(self.record.id)?;
        if self.link.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &link)) {
            self.output.converse(Arc::clone(&link));
            self.link = Some(link);
        }
        conversation
    }

    /// The program can be written to: those who talk with it may, for the agent is known to all.
    pub(crate) fn opens(&self) {
        if let Some(link) = &self.link {
            link.tell(Heard::Opened);
        }
    }

    /// Takes over the run of an agent that outlived its host.
    pub(crate) async fn adopt(&mut self) -> Adoption {
        self.output.resume_run(self.record.run, self.record.spec.limits.output_bytes);
        let (run, driver) = self.open();
        let adoption = self.core.runners.of(&self.backend).adopt(&self.record, driver).await;
        if let Adoption::Adopted(started) = &adoption {
            self.run = Some(run);
            // Whoever runs it says anew what it is busy with.
            self.record.activity = None;
            // How long it has run is not known here: its time begins anew.
            self.timer =
                self.record.spec.limits.wall.map(|wall| (Instant::now() + wall, Timer::WallLimit));
            self.record.pid = started.pid;
            self.record.reference.clone_from(&started.reference);
        }
        adoption
    }

    /// Both sides of a run.
    fn open(&self) -> (Run, AgentDriver) {
        let (controls, requests) = mpsc::channel(AGENT_COMMANDS);
        let (ended, exit) = oneshot::channel();
        let (busy, activity) = watch::channel(None);
        if let Some(link) = &self.link {
            link.show_activity_at(busy.clone());
        }
        let driver = AgentDriver::new(requests, Arc::clone(&self.output), (ended, busy));
        (Run { controls, exit, activity }, driver)
    }

    /// The record of an agent whose program runs now.
    pub(crate) fn begun(&mut self) -> Arc<AgentRecord> {
        self.record.containment = self.core.runners.of(&self.backend).containment();
        self.step(AgentStatus::Running);
        Arc::new(self.record.clone())
    }

    /// The record of an agent that was taken over: what was about to begin has begun.
    pub(crate) fn taken_over(&mut self) -> Arc<AgentRecord> {
        if self.record.status == AgentStatus::Starting {
            return self.begun();
        }
        Arc::new(self.record.clone())
    }

    /// Ends a run that could not be written down.
    pub(crate) async fn abandon(&mut self) {
        let Some(run) = self.run.take() else { return };
        if let Some(link) = &self.link {
            link.tell(Heard::NotStarted);
        }
        let control = Control::Kill { grace: Duration::ZERO };
        let (request, reply) = ControlRequest::new(control);
        if run.controls.send(Box::new(request)).await.is_ok() {
            drop(reply.wait().await);
        }
        drop(run.exit.await);
    }

    fn launch(&self) -> Launch {
        let run = (self.record.id, self.record.run);
        let mut launch = self.backend.launch(self.core.instance(), run, &self.record.spec);
        if let Some(link) = &self.link {
            let words = link.begin_run(self.record.run);
            launch.argv.extend(words.args);
            launch.env.extend(words.env);
            launch.first_input.extend(words.first_input);
            if words.closes_stdin {
                launch.stdin = StdinMode::Closed;
            }
        }
        launch.env.extend(self.env.clone());
        if let Some(trace) = self.traced.context().or_else(|| self.trace.clone()) {
            trace.put_into(&mut launch.env);
        }
        if self.backend.runner().is_none() {
            launch.cwd = launch.cwd.or_else(|| self.core.settings().default_dir.clone());
        }
        launch
    }

    /// Begins another run of an agent that has ended, and works until that has ended too.
    pub(crate) async fn revive(
        mut self,
        (live, place): (Live, Reservation),
        by: Arc<str>,
        answer: Answer<Arc<AgentRecord>>,
    ) {
        let from = self.record.status;
        let before = self.record.clone();
        self.step(AgentStatus::Restarting);
        self.record.ended_at = None;
        let change = StatusChange::new(from, AgentStatus::Restarting, self.record.run);
        let event = status_event(&self.record, &by, &EventBody::AgentStatusChanged(change));
        let batch = Batch::control().put(put_record(&self.record)).event(event);
        let (registry, record) = (Arc::clone(&self.core.registry), self.record.clone());
        let apply = Box::new(move |_: &_| {
            registry.revive(record.id, live);
            registry.update(record);
            drop(place);
        });
        if let Err(error) = self.core.journal.commit_then(batch, Some(apply)).await {
            self.record = before;
            drop(answer.send(Err(error.into())));
            return;
        }
        let restart = vec![answer];
        let reason = ExitReason::Killed;
        self.stop = Some(Stop { by, reason, killers: Vec::new(), restart });
        self.next_run().await;
        self.work().await;
    }

    /// Begins the next run of an agent whose last one has ended.
    pub(super) async fn next_run(&mut self) {
        self.timer = None;
        let from = self.record.status;
        self.record.run += 1;
        let restarters = self.stop.take().map(|stop| stop.restart).unwrap_or_default();
        match self.start().await {
            Ok(_) => {
                self.opens();
                self.record.ended_at = None;
                self.record.exit = None;
                self.step(AgentStatus::Running);
                self.record_change(StatusChange::new(from, AgentStatus::Running, self.record.run))
                    .await;
                let now = Arc::new(self.record.clone());
                for answer in restarters {
                    drop(answer.send(Ok(Arc::clone(&now))));
                }
            }
            Err(error) => {
                tracing::warn!(agent_id = %self.record.id, %error, "the next run did not start");
                self.could_not_start().await;
                let mut error = Some(error);
                for answer in restarters {
                    // Every caller is told; the cause itself goes to the first.
                    let answer_with =
                        error.take().map_or(crate::agent::AgentError::Broken, Into::into);
                    drop(answer.send(Err(answer_with)));
                }
            }
        }
    }

    async fn could_not_start(&mut self) {
        let from = self.record.status;
        let exit = Exit::new(ExitReason::ExecFailed, self.core.clock.now());
        let change = StatusChange::new(from, AgentStatus::Failed, self.record.run);
        let exited = Exited::new(self.record.run, exit.clone());
        self.end_with(exit, AgentStatus::Failed);
        self.record_end(change, exited).await;
    }

    /// Moves the record to `status`.
    pub(super) fn step(&mut self, status: AgentStatus) {
        debug_assert!(self.record.status.allows(status), "{} to {status}", self.record.status);
        self.record.status = status;
        self.record.updated_at = self.core.clock.now();
        if status != AgentStatus::Paused {
            self.record.pause = None;
        }
    }

    /// Writes an end into the record.
    pub(super) fn end_with(&mut self, exit: Exit, status: AgentStatus) {
        let reason = exit.reason.as_str();
        let failed = matches!(exit.status(), AgentStatus::Failed | AgentStatus::Lost);
        let error = failed.then_some(reason);
        let end = End { error, ..End::of(reason) };
        std::mem::take(&mut self.traced).end(&end);
        self.record.pid = None;
        self.record.activity = None;
        if status.is_terminal() {
            self.record.ended_at = Some(exit.at);
        }
        self.record.exit = Some(exit);
        self.step(status);
    }
}

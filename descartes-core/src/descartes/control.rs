//! What can be done to an agent that runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Caller, Core, Descartes, not_found};
use crate::agent::registry::{Live, Newcomer};
use crate::agent::supervisor::{Answer, Command, Supervisor};
use crate::agent::{AgentError, AgentId, AgentRecord, AgentStatus, Reach};
use crate::chat::ChatRecord;
use crate::runner::{Control, ControlError, ControlRequest, Signal};
use crate::store::format::{OutputMark, decode_mark};
use crate::store::{Key, Space};
use crate::trace::TraceContext;

/// How to end an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kill {
    /// How long it may take to end by itself; the host's default when absent.
    pub grace: Option<Duration>,
    /// No grace at all.
    pub force: bool,
}

/// An agent that was ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Killed {
    /// Its record, with how it ended.
    pub record: Arc<AgentRecord>,
    /// Whether its end is written down: not on a store that cannot write, where it is later.
    pub recorded: bool,
    /// Whether it had ended before anybody asked.
    pub already_ended: bool,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// A terminal status.
    #[default]
    Exit,
    /// The end of the run that is under way.
    Run,
    /// The end of the turn that is under way, or about to begin; at once when there is none.
    Turn,
    /// That no turn is under way and none waits.
    Idle,
}

impl Descartes {
    /// Ends an agent's whole tree; returns when it is gone. Ending an ended one succeeds.
    ///
    /// # Errors
    /// When not all of it could be ended.
    ///
    /// # Cancel safety
    /// Once asked for it happens, also when this is dropped.
    pub async fn kill(
        &self,
        id: AgentId,
        kill: Kill,
        by: impl Into<Arc<str>>,
    ) -> Result<Killed, AgentError> {
        let grace = self.grace(kill);
        let by = by.into();
        let asked = self.ask(id, |answer| Command::Kill { grace, by, answer }).await;
        match asked {
            Ok(ended) => {
                Ok(Killed { record: ended.record, recorded: ended.recorded, already_ended: false })
            }
            Err(AgentError::WrongStatus { status, .. }) if status.is_terminal() => {
                let record = self.record(id)?;
                Ok(Killed { record, recorded: true, already_ended: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Begins another run with the same specification, ending the one that is under way.
    ///
    /// Works for an ended agent too.
    ///
    /// # Errors
    /// When the next run could not be started, or values of the environment are no longer kept.
    pub async fn restart(
        &self,
        id: AgentId,
        grace: Option<Duration>,
        by: impl Into<Arc<str>>,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        self.restart_with(id, grace, Caller::new(by)).await
    }

    /// As [`restart`](Self::restart); the program belongs to the caller's trace from then on, if there
    /// is one.
    ///
    /// # Errors
    /// Those of [`restart`](Self::restart).
    pub async fn restart_with(
        &self,
        id: AgentId,
        grace: Option<Duration>,
        caller: Caller,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        self.core.check_open()?;
        let Caller { by, trace, reach, .. } = caller;
        let grace = self.grace(Kill { grace, force: false });
        let (asker, within) = (Arc::clone(&by), trace.clone());
        let ask = |answer| Command::Restart { grace, by: asker, trace: within, answer };
        let asked = self.ask(id, ask).await;
        match asked {
            Err(AgentError::WrongStatus { status, .. }) if status.is_terminal() => {
                self.revive(id, (by, trace), &reach).await
            }
            other => other,
        }
    }

    /// Stops an agent so that it can go on: by its own words where it has some, unless `force`.
    ///
    /// # Errors
    /// When it could not be stopped, or its status does not allow it.
    pub async fn pause(
        &self,
        id: AgentId,
        force: bool,
        by: impl Into<Arc<str>>,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        let by = by.into();
        self.ask(id, |answer| Command::Pause { force, by, answer }).await
    }

    /// Lets a paused agent go on.
    ///
    /// # Errors
    /// When it could not, or its status does not allow it.
    pub async fn resume(
        &self,
        id: AgentId,
        by: impl Into<Arc<str>>,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        let by = by.into();
        self.ask(id, |answer| Command::Resume { by, answer }).await
    }

    /// Sends a signal to the group of an agent's leader.
    ///
    /// # Errors
    /// When it has ended, or the signal could not be sent.
    pub async fn signal(&self, id: AgentId, signal: Signal) -> Result<(), AgentError> {
        self.forward(id, Control::Signal(signal)).await
    }

    /// Queues bytes for an agent's standard input; returns how many.
    ///
    /// # Errors
    /// When its queue is full, its standard input is closed, or it has ended.
    pub async fn write_stdin(
        &self,
        id: AgentId,
        bytes: Bytes,
        close: bool,
    ) -> Result<usize, AgentError> {
        let length = bytes.len();
        self.forward(id, Control::WriteStdin { bytes, close }).await?;
        Ok(length)
    }

    /// Waits for the end of an agent, of its run, or of what it was asked. Put your own deadline
    /// around it.
    ///
    /// # Errors
    /// When there is no such agent, or one cannot converse with it and a turn was waited for.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn wait(&self, id: AgentId, what: WaitFor) -> Result<Arc<AgentRecord>, AgentError> {
        if matches!(what, WaitFor::Turn | WaitFor::Idle) {
            return self.wait_for_turns(id, what).await;
        }
        let Some(live) = self.core.registry.live(id) else { return self.record(id) };
        let mut changes = live.changes.subscribe();
        let run = changes.borrow().run;
        drop(live);
        let over = |record: &Arc<AgentRecord>| match what {
            WaitFor::Run => {
                !record.is_live() || record.run > run || record.status == AgentStatus::Restarting
            }
            _ => record.status.is_terminal(),
        };
        let ended = changes.wait_for(over).await.map(|record| Arc::clone(&record));
        match ended {
            Ok(record) => Ok(record),
            Err(_) => self.record(id),
        }
    }

    /// Waits for what the chat of an agent is asked.
    async fn wait_for_turns(
        &self,
        id: AgentId,
        what: WaitFor,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        self.record(id)?;
        let chat = self.chat_of(id).ok_or(AgentError::NoTurns { id })?;
        if let Ok(mut changes) = self.chat_watch(chat) {
            let next = changes.borrow().next_turn();
            let over = |chat: &Arc<ChatRecord>| match what {
                WaitFor::Turn => chat.next_turn() != next || next.is_none(),
                _ => chat.next_turn().is_none(),
            };
            // A chat that is forgotten meanwhile is asked nothing any more.
            drop(changes.wait_for(over).await);
        }
        self.record(id)
    }

    fn grace(&self, kill: Kill) -> Duration {
        if kill.force {
            return Duration::ZERO;
        }
        kill.grace.unwrap_or(self.core.settings().limits.stop_grace)
    }

    pub(super) fn record(&self, id: AgentId) -> Result<Arc<AgentRecord>, AgentError> {
        self.core.registry.get(id).ok_or_else(|| not_found(id))
    }

    /// The error of a call that needs a live agent.
    fn ended(&self, id: AgentId) -> AgentError {
        match self.record(id) {
            Err(error) => error,
            Ok(record) => AgentError::WrongStatus {
                id,
                status: record.status,
                exit: record.exit.clone().map(Box::new),
            },
        }
    }

    async fn ask<T>(
        &self,
        id: AgentId,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, AgentError> {
        let live = self.core.registry.live(id).ok_or_else(|| self.ended(id))?;
        let (answer, answered) = oneshot::channel();
        let sent = live.commands.send(Box::new(command(answer))).await;
        drop(live);
        match sent {
            // The agent ended before it came to this command.
            Err(_) => Err(self.ended(id)),
            Ok(()) => answered.await.unwrap_or_else(|_| Err(self.ended(id))),
        }
    }

    async fn forward(&self, id: AgentId, control: Control) -> Result<(), AgentError> {
        let live = self.core.registry.live(id).ok_or_else(|| self.ended(id))?;
        let (request, reply) = ControlRequest::new(control);
        let sent = live.commands.send(Box::new(Command::Forward(request))).await;
        if sent.is_err() {
            return Err(self.ended(id));
        }
        match reply.wait().await {
            Ok(_) => Ok(()),
            Err(ControlError::Ended) => Err(self.ended(id)),
            Err(ControlError::Stdin(error)) => Err(error.into()),
            Err(error) => Err(AgentError::Control(error)),
        }
    }

    /// Begins the next run of an agent that has ended.
    async fn revive(
        &self,
        id: AgentId,
        (by, trace): (Arc<str>, Option<TraceContext>),
        reach: &Reach,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        let record = self.record(id)?;
        let core = &self.core;
        let backend = core.backend_for(Some(&record.backend))?;
        let newcomer = Newcomer {
            name: Arc::clone(&record.name),
            owner: Arc::clone(&record.owner),
            parent: record.spec.parent,
        };
        let unique = record.spec.unique_name.then_some(reach);
        let running = core.settings().limits.agents_running;
        let place = core.registry.reserve(newcomer, unique, running)?;
        let env = self.env_of(&record).await?;
        let mark = core.mark_of(id).await?;
        core.tally.restarted(&record.backend);
        let output = core.sink(&record, &backend, mark);
        output.open();
        let (mut supervisor, commands) =
            Supervisor::new(Arc::clone(core), (*record).clone(), backend, env, output);
        supervisor.belongs_to(trace);
        let changes = tokio::sync::watch::Sender::new(record);
        let live = Live { commands, changes };
        let (answer, answered) = oneshot::channel();
        // A task of its own: the run begins also when whoever asked has gone.
        tokio::spawn(supervisor.revive((live, place), by, answer));
        answered.await.unwrap_or(Err(AgentError::Broken))
    }

    async fn env_of(&self, record: &AgentRecord) -> Result<crate::secrets::Env, AgentError> {
        if record.spec.env.is_empty() {
            return Ok(crate::secrets::Env::new());
        }
        let names = || record.spec.env.keys().cloned().collect();
        match self.core.secrets.read(record.id).await {
            Ok(Some(env)) => Ok(env),
            Ok(None) => Err(AgentError::EnvMissing { names: names() }),
            Err(error) => {
                tracing::warn!(agent_id = %record.id, %error, "secret values could not be read");
                Err(AgentError::EnvMissing { names: names() })
            }
        }
    }
}

impl Core {
    /// How far the output of an agent is journalled.
    pub(super) async fn mark_of(&self, id: AgentId) -> Result<OutputMark, AgentError> {
        let key = Key::new(Space::OUTPUT, id.to_string());
        let document = self.journal.store().get(&key).await?;
        let mark = document.map(|document| decode_mark(&document.body)).transpose();
        mark.map(Option::unwrap_or_default).map_err(|error| {
            let what = error.to_string().into();
            crate::store::StoreError::Corrupt { what }.into()
        })
    }
}

//! Beginning an agent.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::Instrument;

use super::recording::not_recorded;
use super::{Caller, Core, Descartes, PromptRequest, Settings};
use crate::agent::registry::{Live, Newcomer, Reservation};
use crate::agent::supervisor::{Supervisor, put_record, status_event};
use crate::agent::{AgentError, AgentId, AgentRecord, AgentSpec, Reach};
use crate::backend::{AGENT_APPROVALS, Backend};
use crate::chat::{ChatId, ChatMode, ChatRecord, ChatSpec, put_chat};
use crate::cursor::{Cursor, Position};
use crate::dialect::Prompt;
use crate::event::EventBody;
use crate::idempotency::Ticket;
use crate::output::{Observer, OutputSink};
use crate::secrets::Env;
use crate::store::format::OutputMark;
use crate::store::{Batch, Key, Space, StoreError};
use crate::trace::{Actor, End, TraceContext, Work};

/// An agent that has begun.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spawned {
    /// Its record.
    pub record: Arc<AgentRecord>,
    /// Where its events begin: follow it with this and miss nothing.
    pub cursor: Cursor,
    /// The chat with it, where one can converse with it.
    pub chat: Option<ChatId>,
}

/// What was checked and made up before anything is written.
pub(super) struct Plan {
    pub(super) record: AgentRecord,
    pub(super) backend: Backend,
    pub(super) env: Env,
    pub(super) place: Reservation,
    /// The chat that begins with it.
    pub(super) chat: Option<ChatRecord>,
    /// Who asked for it.
    pub(super) by: Arc<str>,
    /// What its program belongs to.
    pub(super) trace: Option<TraceContext>,
}

impl Descartes {
    /// Starts an agent; returns once its program runs and that is written down.
    ///
    /// # Errors
    /// When nothing was started; nothing is left behind then.
    ///
    /// # Cancel safety
    /// Once it has begun it runs to its end, also when this is dropped.
    pub async fn spawn(
        &self,
        spec: AgentSpec,
        by: impl Into<Arc<str>>,
    ) -> Result<Spawned, AgentError> {
        let (spawned, _) = self.spawn_with(spec, Caller::new(by)).await;
        spawned
    }

    /// As [`spawn`](Self::spawn), and gives the caller's ticket back for the outcome.
    pub async fn spawn_with(
        &self,
        spec: AgentSpec,
        caller: Caller,
    ) -> (Result<Spawned, AgentError>, Option<Ticket>) {
        let Caller { by, owner, mut ticket, trace, reach } = caller;
        let mut plan = match self.plan(spec, (by, owner), &reach) {
            Ok(plan) => plan,
            Err(error) => return (Err(error), ticket),
        };
        plan.trace = trace;
        let descartes = self.clone();
        let work = async move {
            let result = descartes.begin_and_ask(plan, ticket.as_mut()).await;
            (result, ticket)
        };
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "starting an agent ended unexpectedly");
            (Err(AgentError::Broken), None)
        })
    }

    /// Begins an agent, and asks it what it was begun for where one can converse with it.
    async fn begin_and_ask(
        &self,
        mut plan: Plan,
        ticket: Option<&mut Ticket>,
    ) -> Result<Spawned, AgentError> {
        let (task, caller) = (plan.record.spec.task.clone(), plan.caller());
        let (core, spec) = (&self.core, plan.record.spec.clone());
        core.begin_recording(&plan.backend, &spec).await?;
        let chat = plan.chat.as_ref().map(|chat| chat.id);
        let work = Work::Create(Actor::of_agent(&plan.record, chat));
        let created = core.trace(&work, plan.trace.clone());
        if chat.is_some() {
            // It is begun before it is asked anything.
            plan.trace = created.context();
        }
        let spawned = match begin(Arc::clone(core), plan, ticket).await {
            Ok(spawned) => spawned,
            Err(error) => {
                created.end(&End::failed("failed", "spawn_failed"));
                core.discard_recording(&spec).await;
                return Err(error);
            }
        };
        created.end(&End::of("running"));
        if let (Some(chat), Some(task)) = (spawned.chat, task) {
            let request = PromptRequest::new(Prompt::text(task));
            let asked = self.chat_prompt(chat, request, &mut { caller }, None).await;
            if let Err(error) = asked {
                tracing::warn!(%chat, %error, "an agent was not asked what it was begun for");
            }
        }
        Ok(spawned)
    }

    fn plan(
        &self,
        mut spec: AgentSpec,
        (by, owner): (Arc<str>, Arc<str>),
        reach: &Reach,
    ) -> Result<Plan, AgentError> {
        let core = &self.core;
        let settings = core.settings();
        core.check_open()?;
        spec.check()?;
        let backend = core.backend_for(spec.backend.as_deref())?;
        backend.check(&spec)?;
        // One that does not converse is asked to keep to a mode only by whoever names one.
        let usual = backend.always_converses().then_some(settings.approval_mode);
        if let Some(mode) = spec.chat.approvals.or(usual) {
            backend.check_approvals(mode, AGENT_APPROVALS)?;
        }
        if let Some(parent) = spec.parent {
            core.check_depth(parent)?;
        }
        if spec.chat.record.is_some() && !backend.always_converses() {
            return Err(not_recorded().into());
        }
        let id = AgentId::generate();
        let name: Arc<str> = match &spec.name {
            Some(name) => name.as_str().into(),
            None => made_up_name(backend.name(), id).into(),
        };
        let newcomer =
            Newcomer { name: Arc::clone(&name), owner: Arc::clone(&owner), parent: spec.parent };
        let unique = spec.unique_name.then_some(reach);
        let place = core.registry.reserve(newcomer, unique, settings.limits.agents_running)?;
        // The record shows the names; the values go their own way.
        let names = spec.env.keys().map(|name| (name.clone(), String::new())).collect();
        let env = std::mem::replace(&mut spec.env, names);
        let now = core.clock.now();
        let chat = backend.always_converses().then(|| {
            let cwd = core.directory_of(&backend, spec.cwd.clone());
            let agent = AgentSpec { task: None, cwd, ..AgentSpec::clone(&spec) };
            let chat = ChatSpec { agent, ..ChatSpec::default() };
            let mut chat =
                ChatRecord::new(chat, Arc::clone(backend.name()), Arc::clone(&owner), now);
            (chat.agent, chat.has_agent, chat.mode) = (id, true, ChatMode::Agent);
            chat
        });
        let names = (name, Arc::clone(backend.name()));
        let record = AgentRecord::new(id, names, spec, owner, now);
        Ok(Plan { record, backend, env, place, chat, by, trace: None })
    }
}

impl Plan {
    /// On whose behalf the agent is asked what it was begun for.
    fn caller(&self) -> Caller {
        Caller::new(Arc::clone(&self.by)).within(self.trace.clone())
    }
}

impl Core {
    /// Refuses what would begin something new while that could not be kept or ended.
    pub(crate) fn check_open(&self) -> Result<(), AgentError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(AgentError::Draining);
        }
        match self.journal.trouble() {
            None => Ok(()),
            Some(trouble) if trouble.full => {
                let source = Arc::new(std::io::ErrorKind::StorageFull.into());
                Err(StoreError::Full { source }.into())
            }
            Some(trouble) => Err(StoreError::Unavailable { what: trouble.reason }.into()),
        }
    }

    /// Whether `parent` is there and may have one more below it.
    pub(super) fn check_depth(&self, parent: AgentId) -> Result<(), AgentError> {
        let (current, max) = (self.registry.depth(parent)?, self.settings().limits.hierarchy_depth);
        if current >= max {
            let (current, max) = (current as u64, max as u64);
            return Err(AgentError::Limit { limit: "agents.max_depth", current, max });
        }
        Ok(())
    }

    pub(super) fn backend_for(&self, name: Option<&str>) -> Result<Backend, AgentError> {
        let settings = self.settings();
        let Some(name) = name.or(settings.default_backend.as_deref()) else {
            // With more than one there is nothing to guess.
            return match &self.choices(&settings)[..] {
                [only] => Ok((*only).clone()),
                _ => Err(no_backend(&settings, "", "none was named")),
            };
        };
        let meant = Backend::named(name);
        let backend = settings.backends.iter().find(|backend| &**backend.name() == meant);
        match backend {
            Some(backend) if backend.is_provided() => Ok(backend.clone()),
            Some(_) => Err(no_backend(&settings, name, "its program was not provided")),
            None => Err(no_backend(&settings, name, "there is no such backend")),
        }
    }

    /// The backends that may be meant by those who name none.
    fn choices<'a>(&self, settings: &'a Settings) -> Vec<&'a Backend> {
        let is_choice = |backend: &&Backend| backend.is_choice(&**self.runners.of(backend));
        settings.backends.iter().filter(is_choice).collect()
    }

    /// Where the output of `record` goes, from `mark` on.
    pub(super) fn sink(
        &self,
        record: &AgentRecord,
        backend: &Backend,
        mark: OutputMark,
    ) -> Arc<OutputSink> {
        let observer = match self.chats.link_of(record.id) {
            Some(link) => Some(Observer::conversation(link)),
            None => backend.dialect().map(Observer::new),
        };
        let journal = (self.journal.clone(), self.clock.clone());
        OutputSink::new(record.id, mark, journal, observer)
    }
}

fn no_backend(settings: &Settings, name: &str, reason: &str) -> AgentError {
    let available = settings.backends.iter().filter(|backend| backend.is_provided());
    AgentError::Backend {
        name: name.to_owned(),
        reason: reason.into(),
        available: available.map(|backend| Arc::clone(backend.name())).collect(),
    }
}

/// Writes down that it will be started, starts it, writes down that it was.
pub(super) async fn begin(
    core: Arc<Core>,
    plan: Plan,
    ticket: Option<&mut Ticket>,
) -> Result<Spawned, AgentError> {
    let Plan { record, backend, env, place, chat, by, trace } = plan;
    let id = record.id;
    let chat_id = chat.as_ref().map(|chat| chat.id);
    core.secrets.write(id, &env).await.map_err(|source| StoreError::Unavailable {
        what: format!("secret values could not be written: {source}").into(),
    })?;
    let mut intent = Batch::control().put(put_record(&record));
    intent.puts.extend(ticket.map(|ticket| ticket.begun(Some(id))));
    intent.puts.extend(chat.as_ref().map(put_chat));
    if let Err(error) = core.journal.commit(intent).await {
        core.secrets.forget(id).await;
        return Err(error.into());
    }
    // Held until the process is known to the conversation, which would rest otherwise.
    let _conversation = chat.and_then(|chat| {
        let chat_id = chat.id;
        core.chats.add(chat);
        super::conversations::conversation_of(&core, chat_id)
    });
    let sink = core.sink(&record, &backend, OutputMark::default());
    let output = Arc::clone(&sink);
    let (mut supervisor, commands) = Supervisor::new(Arc::clone(&core), record, backend, env, sink);
    supervisor.belongs_to(trace);
    if let Err(error) = supervisor.start().await {
        undo(&core, id, chat_id).await;
        return Err(error.into());
    }
    let record = supervisor.begun();
    let live = Live { commands, changes: tokio::sync::watch::Sender::new(Arc::clone(&record)) };
    let body = EventBody::AgentSpawned(Box::new((*record).clone()));
    let batch = Batch::control().put(put_record(&record)).event(status_event(&record, &by, &body));
    let (registry, shown) = (Arc::clone(&core.registry), Arc::clone(&record));
    let apply = Box::new(move |_: &_| {
        registry.add(shown, Some(live));
        drop(place);
    });
    let committed = match core.journal.commit_then(batch, Some(apply)).await {
        Ok(committed) => committed,
        Err(error) => {
            supervisor.abandon().await;
            undo(&core, id, chat_id).await;
            return Err(error.into());
        }
    };
    core.tally.spawned(&record.backend);
    supervisor.opens();
    output.open();
    tokio::spawn(supervisor.work());
    let before = Position(committed.head.0 - 1);
    Ok(Spawned { record, cursor: core.journal.cursor(before), chat: chat_id })
}

/// Nothing was started: nothing is left behind.
async fn undo(core: &Core, id: AgentId, chat: Option<ChatId>) {
    let mut batch = Batch::control().delete(Key::new(Space::AGENT, id.to_string()));
    if let Some(chat) = chat {
        core.chats.remove(chat);
        batch.deletes.push(Key::new(Space::CHAT, chat.to_string()));
    }
    if let Err(error) = core.journal.commit(batch).await {
        tracing::warn!(agent_id = %id, %error, "the record of an agent that did not start remains");
    }
    core.secrets.forget(id).await;
}

/// A name that says what it is of and is easy to tell from others.
fn made_up_name(backend: &str, id: AgentId) -> String {
    let id = id.to_string();
    format!("{backend}-{}", &id[id.len() - 8..])
}

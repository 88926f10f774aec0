//! The conversations of a host, as a chat manager has them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Caller, ChatOpened, Core, Descartes, PromptRequest};
use crate::agent::registry::{Newcomer, Reservation};
use crate::agent::{AgentError, AgentRecord, AgentSpec, Reach};
use crate::approval::{Approval, ApprovalFilter};
use crate::backend::{Backend, CHAT_APPROVALS};
use crate::chat::{
    Accepted, Answer, Asked, ChatChange, ChatError, ChatId, ChatRecord, ChatSpec, ChatStatus,
    Command, Conversation, Link, PromptCall, Stopped, put_chat,
};
use crate::dialect::SessionSpec;
use crate::event::{Topic, TopicFilter};
use crate::limits::TURN_CONTENT_BYTES;
use crate::store::{Batch, Key, Space, StoreError};
use crate::trace::TraceContext;

/// The conversations of a host: what a [`ChatManager`](crate::chat::ChatManager) does its work
/// with. Everything done here is written down before anybody sees it, and an answer comes after
/// both. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Conversations {
    host: Descartes,
}

impl Conversations {
    pub(super) fn new(host: Descartes) -> Self {
        Self { host }
    }

    /// The host whose they are. Asking it for something in a chat goes through the manager again.
    #[must_use]
    pub fn host(&self) -> &Descartes {
        &self.host
    }

    /// Makes a chat; no process begins before its first prompt.
    ///
    /// # Errors
    /// When the specification is wrong, or its backend has no turns.
    pub async fn create(
        &self,
        spec: ChatSpec,
        caller: &mut Caller,
    ) -> Result<ChatOpened, ChatError> {
        let core = &self.host.core;
        core.check_open()?;
        let mut spec = spec;
        if let Some(parent) = spec.agent.parent {
            core.check_depth(parent)?;
        }
        let backend = core.chat_backend_for(spec.agent.backend.as_deref())?;
        let asked = spec.agent.cwd.take().filter(|cwd| cwd.as_os_str() != ".");
        spec.agent.cwd = core.directory_of(&backend, asked);
        spec.agent.check()?;
        backend.check(&spec.agent)?;
        let mode = spec.agent.chat.approvals.unwrap_or(core.settings().approval_mode);
        backend.check_approvals(mode, CHAT_APPROVALS)?;
        let names = spec.agent.env.keys().map(|name| (name.clone(), String::new())).collect();
        let env = std::mem::replace(&mut spec.agent.env, names);
        let owner = Arc::clone(&caller.owner);
        let record = ChatRecord::new(spec, Arc::clone(backend.name()), owner, core.clock.now());
        core.begin_recording(&backend, &record.spec.agent).await?;
        core.secrets.write(record.agent, &env).await.map_err(|source| {
            let what = format!("secret values could not be written: {source}").into();
            StoreError::Unavailable { what }
        })?;
        let mut batch = Batch::control().put(put_chat(&record));
        batch.puts.extend(caller.ticket.as_mut().map(|ticket| ticket.begun(Some(record.agent))));
        let (registry, shown) = (Arc::clone(core), record.clone());
        let apply = Box::new(move |_: &_| registry.chats.add(shown));
        match core.journal.commit_then(batch, Some(apply)).await {
            Ok(committed) => {
                let cursor = core.journal.cursor(committed.head);
                Ok(ChatOpened { record: Arc::new(record), cursor })
            }
            Err(error) => {
                core.secrets.forget(record.agent).await;
                core.discard_recording(&record.spec.agent).await;
                Err(error.into())
            }
        }
    }

    /// Asks for a turn of the chat's agent; returns when it has begun, or waits in line.
    ///
    /// # Errors
    /// When the chat is closed or busy, or its agent could not be started: no turn begins then.
    ///
    /// # Cancel safety
    /// Once asked for it happens, also when this is dropped.
    pub async fn prompt(&self, call: PromptCall<'_>) -> Result<Accepted, ChatError> {
        self.ask(call, None).await
    }

    /// Answers a prompt without the agent, which never hears of it: a turn that says `text` and is
    /// completed, written down in one piece.
    ///
    /// # Errors
    /// When the chat is closed, `text` is longer than [`TURN_CONTENT_BYTES`], or a turn is under
    /// way, whatever the chat does when it is busy: such an answer does not wait for its turn.
    ///
    /// # Cancel safety
    /// Once asked for it happens, also when this is dropped.
    ///
    /// [`TURN_CONTENT_BYTES`]: crate::limits::TURN_CONTENT_BYTES
    pub async fn answer(
        &self,
        call: PromptCall<'_>,
        text: impl Into<Arc<str>>,
    ) -> Result<Accepted, ChatError> {
        let text: Arc<str> = text.into();
        if text.len() > TURN_CONTENT_BYTES {
            let (limit, current) = ("turn_content_bytes", text.len() as u64);
            return Err(ChatError::Limit { limit, current, max: TURN_CONTENT_BYTES as u64 });
        }
        self.ask(call, Some(text)).await
    }

    async fn ask(
        &self,
        call: PromptCall<'_>,
        text: Option<Arc<str>>,
    ) -> Result<Accepted, ChatError> {
        let PromptCall { chat, request, caller, done } = call;
        if request.prompt.parts.is_empty() {
            let spec = crate::agent::SpecError::new("prompt", "something to ask");
            return Err(spec.into());
        }
        let agent = self.host.chat(chat)?.agent;
        let begun = caller.ticket.as_mut().map(|ticket| ticket.begun(Some(agent)));
        let (by, PromptRequest { prompt, when_busy }) = (Arc::clone(&caller.by), request);
        let trace = caller.trace.clone();
        let asked = Asked { prompt, when_busy, by, begun, done, trace };
        self.tell(chat, |answer| match text {
            None => Command::Prompt { asked, answer },
            Some(text) => Command::Answered { asked, text, answer },
        })
        .await
    }

    /// Cancels a turn (the one that is under way when none is named); returns, when it has ended,
    /// whether it was cancelled. What was said is kept.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn cancel(&self, chat: ChatId, turn: Option<u32>) -> Result<bool, ChatError> {
        self.tell(chat, |answer| Command::Cancel { turn, answer }).await
    }

    /// Ends a chat: returns when nothing of its agent runs. Ending a closed one succeeds.
    ///
    /// # Errors
    /// When not all of its agent could be ended.
    pub async fn stop(&self, chat: ChatId, by: Arc<str>) -> Result<Stopped, ChatError> {
        self.tell(chat, |answer| Command::Stop { by, answer }).await
    }

    /// Changes what people see of a chat.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn update(
        &self,
        chat: ChatId,
        change: ChatChange,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        let ChatChange { title, labels } = change;
        let change = Box::new(move |record: &mut ChatRecord| {
            record.spec.title = title.or(record.spec.title.take());
            if let Some(labels) = labels {
                record.spec.agent.labels = labels;
            }
        });
        self.tell(chat, |answer| Command::Change { change, answer }).await
    }

    /// Makes a chat a supervised agent of the same conversation: returns when the agent runs, and
    /// it stays when nothing is asked of it.
    ///
    /// # Errors
    /// When there is no such chat, it is closed, or its agent could not be started.
    pub async fn upgrade(&self, chat: ChatId, by: Arc<str>) -> Result<Arc<ChatRecord>, ChatError> {
        self.tell(chat, |answer| Command::Upgrade { by, answer }).await
    }

    /// Forgets a closed chat, its chunks, and the approvals that were asked for in it.
    ///
    /// # Errors
    /// When there is no such chat, or it is not closed.
    pub async fn remove(&self, chat: ChatId) -> Result<(), ChatError> {
        let record = self.host.chat(chat)?;
        if record.status != ChatStatus::Closed {
            let turn = record.turn.unwrap_or(record.turns);
            return Err(ChatError::Busy { turn, status: record.status });
        }
        let asked = ApprovalFilter { chat: Some(chat), ..ApprovalFilter::default() };
        let mut batch = Batch::control().delete(Key::new(Space::CHAT, chat.to_string()));
        for approval in self.host.approvals(&asked).await?.0 {
            batch.deletes.push(Key::new(Space::APPROVAL, approval.id.to_string()));
            batch.forget.push(Topic::approval(approval.id));
        }
        batch.forget.push(Topic::chat(chat));
        let core = Arc::clone(&self.host.core);
        let apply = Box::new(move |_: &_| core.chats.remove(chat));
        self.host.core.journal.commit_then(batch, Some(apply)).await?;
        self.host.core.secrets.forget(record.agent).await;
        Ok(())
    }

    /// Gives a command to the task of a chat, which begins if it rests.
    pub(super) async fn tell<T>(
        &self,
        chat: ChatId,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, ChatError> {
        let (answer, answered) = oneshot::channel();
        let mut command = command(answer);
        loop {
            let Some(commands) = conversation_of(&self.host.core, chat) else {
                return Err(ChatError::NotFound { asked: chat.to_string() });
            };
            match commands.send(command).await {
                Ok(()) => break,
                // It went to rest in this moment.
                Err(back) => command = back.0,
            }
        }
        answered.await.unwrap_or_else(|_| Err(AgentError::Draining.into()))
    }
}

impl Descartes {
    /// Begins a process of a chat's agent.
    pub(crate) async fn begin_chat_agent(
        &self,
        record: &ChatRecord,
        (by, trace): (&Arc<str>, Option<TraceContext>),
    ) -> Result<(), ChatError> {
        if self.core.registry.get(record.agent).is_some() {
            let caller = Caller::new(Arc::clone(by)).within(trace);
            self.restart_with(record.agent, None, caller).await?;
            return Ok(());
        }
        let (spec, place) = self.chat_agent(record)?;
        let env = self.core.secrets.read(record.agent).await.ok().flatten();
        let missing = env.is_none() && !spec.env.is_empty();
        if missing {
            let names = spec.env.keys().cloned().collect();
            return Err(AgentError::EnvMissing { names }.into());
        }
        let backend = self.core.backend_for(Some(&record.backend))?;
        let names = (Arc::from(agent_name(record)), Arc::clone(&record.backend));
        let owner = Arc::clone(&record.owner);
        let agent = AgentRecord::new(record.agent, names, spec, owner, self.core.clock.now());
        let plan = super::spawn::Plan {
            record: agent,
            backend,
            env: env.unwrap_or_default(),
            place,
            chat: None,
            by: Arc::clone(by),
            trace,
        };
        super::spawn::begin(Arc::clone(&self.core), plan, None).await?;
        Ok(())
    }

    /// What the agent of a chat is asked to be, and a place for it.
    fn chat_agent(&self, record: &ChatRecord) -> Result<(AgentSpec, Reservation), AgentError> {
        let spec = record.spec.agent.clone();
        let name: Arc<str> = agent_name(record).into();
        let running = self.core.settings().limits.agents_running;
        let (owner, parent) = (Arc::clone(&record.owner), spec.parent);
        // Whoever has sent the prompt may reach no more than that.
        let reach = Reach::all().owned_by(Arc::clone(&owner));
        let unique = spec.unique_name.then_some(&reach);
        let newcomer = Newcomer { name, owner, parent };
        let place = self.core.registry.reserve(newcomer, unique, running)?;
        Ok((spec, place))
    }
}

fn agent_name(record: &ChatRecord) -> String {
    record.spec.agent.name.clone().unwrap_or_else(|| {
        let id = record.agent.to_string();
        format!("{}-{}", record.backend, &id[id.len() - 8..])
    })
}

/// Where commands for a chat go; its task begins if it rests. None when there is no such chat.
pub(crate) fn conversation_of(core: &Arc<Core>, chat: ChatId) -> Option<mpsc::Sender<Command>> {
    core.chats.commands(chat, |record, commands| begin_conversation(core, &record, commands))
}

fn begin_conversation(
    core: &Arc<Core>,
    record: &ChatRecord,
    commands: mpsc::Receiver<Command>,
) -> Arc<Link> {
    let backend = core.backend_for(Some(&record.backend)).ok();
    let (command, all) = (record.spec.agent.command.clone(), core.settings().backends.clone());
    let maker = Backend::session_maker(backend, command, all);
    let link = Link::new(core.session_of(record), maker);
    let work = Conversation::new(Arc::clone(core), record, Arc::clone(&link), commands);
    tokio::spawn(work.work());
    link
}

impl Core {
    /// The backend of chats that name it, which has turns.
    fn chat_backend_for(&self, name: Option<&str>) -> Result<Backend, ChatError> {
        let usual = self.settings().chat_backend.clone();
        let backend = self.backend_for(name.or(usual.as_deref()))?;
        if backend.has_turns() {
            return Ok(backend);
        }
        Err(ChatError::NoTurns { backend: Arc::clone(backend.name()) })
    }

    /// Whether nobody says that the agent of a chat cannot take it up again.
    pub(crate) fn resumes(&self, record: &ChatRecord) -> bool {
        self.backend_for(Some(&record.backend)).is_ok_and(|backend| backend.may_resume())
    }

    /// Whether nobody says that the agent of a chat cannot cancel a turn.
    pub(crate) fn cancels(&self, record: &ChatRecord) -> bool {
        self.backend_for(Some(&record.backend)).is_ok_and(|backend| backend.may_cancel())
    }

    /// Where agents of `backend` converse, decided once for each chat: programs find a conversation
    /// again by its directory.
    pub(super) fn directory_of(
        &self,
        backend: &Backend,
        asked: Option<PathBuf>,
    ) -> Option<PathBuf> {
        let here = backend.runner().is_none();
        asked.or_else(|| self.settings().default_dir.clone().filter(|_| here))
    }

    /// What the next process of a chat is asked to be.
    fn session_of(&self, record: &ChatRecord) -> SessionSpec {
        let spec = &record.spec.agent;
        let cwd = spec.cwd.clone().or_else(|| self.settings().default_dir.clone());
        let cwd = cwd.unwrap_or_else(|| PathBuf::from("/"));
        let mut session = SessionSpec::new(record.id.as_uuid(), cwd);
        session.native = record.native.clone().filter(|_| self.resumes(record));
        session.model.clone_from(&spec.chat.model);
        session.system_prompt.clone_from(&spec.chat.system_prompt);
        session.thinking = spec.chat.thinking;
        session.max_turns = spec.chat.max_turns;
        session.approvals = spec.chat.approvals.unwrap_or(self.settings().approval_mode);
        session
    }

    /// The offset that the next event of `topic` will have.
    pub(crate) async fn next_offset(&self, topic: &Topic) -> Result<u64, StoreError> {
        let topics = self.journal.store().topics(&TopicFilter::Exact(topic.clone())).await?;
        Ok(topics.first().map_or(0, |state| state.next_offset))
    }

    /// Whether somebody may be expected to decide an approval.
    pub(crate) fn is_attended(&self, approval: &Approval) -> bool {
        !self.settings().deny_when_unattended || self.attendance.covers(approval)
    }
}

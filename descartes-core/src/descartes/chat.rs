//! Chats of a host: what applications and the API ask of them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Caller, Core, Descartes};
use crate::agent::registry::Reservation;
use crate::agent::{AgentError, AgentId, AgentRecord, AgentSpec, PageRequest, Reach};
use crate::approval::{Approval, ApprovalFilter, ApprovalId};
use crate::backend::{Backend, CHAT_APPROVALS};
use crate::chat::{
    Accepted, Answer, ChatError, ChatFilter, ChatHistory, ChatId, ChatPage, ChatRecord, ChatSpec,
    ChatStatus, Command, Conversation, Link, Message, Stopped, TurnResult, WhenBusy, put_chat,
};
use crate::cursor::{Cursor, Position};
use crate::dialect::{Decision, Prompt, SessionSpec};
use crate::event::{EventBody, Topic, TopicFilter};
use crate::limits::{READ_PAGE_BYTES, READ_PAGE_EVENTS};
use crate::store::format::decode_approval;
use crate::store::{Batch, Key, KeyRange, Space, StoreError, TopicQuery};

/// Approvals read at once.
const PAGE: usize = 1000;

/// A chat that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChatOpened {
    /// Its record.
    pub record: Arc<ChatRecord>,
    /// Where its chunks begin: follow it with this and miss nothing.
    pub cursor: Cursor,
}

/// What to do with a prompt that is given to a chat.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PromptRequest {
    /// What is asked.
    pub prompt: Prompt,
    /// What it does while a turn is running; as the chat was made when absent.
    pub when_busy: Option<WhenBusy>,
}

impl ChatOpened {
    /// A chat that was made before, followed from the beginning of the journal.
    #[must_use]
    pub fn again(record: Arc<ChatRecord>, descartes: &Descartes) -> Self {
        Self { record, cursor: descartes.core.journal.cursor(Position::START) }
    }
}

impl PromptRequest {
    /// This prompt, as the chat was made.
    #[must_use]
    pub fn new(prompt: Prompt) -> Self {
        Self { prompt, when_busy: None }
    }
}

/// A decision about an approval.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecideRequest {
    /// What is decided.
    pub decision: Decision,
    /// Decide only if it is about this ([`Approval::digest`]).
    pub expected_digest: Option<Arc<str>>,
}

impl DecideRequest {
    /// This decision, whatever it is about.
    #[must_use]
    pub fn new(decision: Decision) -> Self {
        Self { decision, expected_digest: None }
    }
}

impl Descartes {
    /// Makes a chat; no process begins before its first prompt.
    ///
    /// # Errors
    /// When the specification is wrong, or its backend has no turns.
    pub async fn chat_create(
        &self,
        spec: ChatSpec,
        caller: &mut Caller,
    ) -> Result<ChatOpened, ChatError> {
        let core = &self.core;
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
        let mode = spec.agent.chat.approvals.unwrap_or(core.approval_mode);
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

    /// Asks for a turn; returns when it has begun, or waits in line. `done` is given its result.
    ///
    /// # Errors
    /// When the chat is closed or busy, or its agent could not be started: no turn begins then.
    ///
    /// # Cancel safety
    /// Once asked for it happens, also when this is dropped.
    pub async fn chat_prompt(
        &self,
        chat: ChatId,
        request: PromptRequest,
        caller: &mut Caller,
        done: Option<oneshot::Sender<TurnResult>>,
    ) -> Result<Accepted, ChatError> {
        if request.prompt.parts.is_empty() {
            let spec = crate::agent::SpecError::new("prompt", "something to ask");
            return Err(spec.into());
        }
        let agent = self.chat(chat)?.agent;
        let begun = caller.ticket.as_mut().map(|ticket| ticket.begun(Some(agent)));
        let (by, PromptRequest { prompt, when_busy }) = (Arc::clone(&caller.by), request);
        let command = |answer| Command::Prompt { prompt, when_busy, by, begun, done, answer };
        self.tell_chat(chat, command).await
    }

    /// Cancels a turn (the one that is under way when none is named); returns, when it has ended,
    /// whether it was cancelled. What was said is kept.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn chat_cancel(&self, chat: ChatId, turn: Option<u32>) -> Result<bool, ChatError> {
        self.tell_chat(chat, |answer| Command::Cancel { turn, answer }).await
    }

    /// Ends a chat: returns when nothing of its agent runs. Ending a closed one succeeds.
    ///
    /// # Errors
    /// When not all of its agent could be ended.
    pub async fn chat_stop(
        &self,
        chat: ChatId,
        by: impl Into<Arc<str>>,
    ) -> Result<Stopped, ChatError> {
        let by = by.into();
        self.tell_chat(chat, |answer| Command::Stop { by, answer }).await
    }

    /// Changes a chat's title and labels; what is none stays.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn chat_update(
        &self,
        chat: ChatId,
        title: Option<String>,
        labels: Option<std::collections::BTreeMap<String, String>>,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        let change = Box::new(move |record: &mut ChatRecord| {
            record.spec.title = title.or(record.spec.title.take());
            if let Some(labels) = labels {
                record.spec.agent.labels = labels;
            }
        });
        self.tell_chat(chat, |answer| Command::Change { change, answer }).await
    }

    /// Makes a chat a supervised agent of the same conversation: returns when the agent runs, and
    /// it stays when nothing is asked of it.
    ///
    /// # Errors
    /// When there is no such chat, it is closed, or its agent could not be started.
    pub async fn chat_upgrade(
        &self,
        chat: ChatId,
        by: impl Into<Arc<str>>,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        let by = by.into();
        self.tell_chat(chat, |answer| Command::Upgrade { by, answer }).await
    }

    /// Forgets a closed chat and its chunks.
    ///
    /// # Errors
    /// When there is no such chat, or it is not closed.
    pub async fn chat_remove(&self, chat: ChatId) -> Result<(), ChatError> {
        let record = self.chat(chat)?;
        if record.status != ChatStatus::Closed {
            let turn = record.turn.unwrap_or(record.turns);
            return Err(ChatError::Busy { turn, status: record.status });
        }
        let mut batch = Batch::control().delete(Key::new(Space::CHAT, chat.to_string()));
        batch.forget.push(Topic::chat(chat));
        let core = Arc::clone(&self.core);
        let apply = Box::new(move |_: &_| core.chats.remove(chat));
        self.core.journal.commit_then(batch, Some(apply)).await?;
        self.core.secrets.forget(record.agent).await;
        Ok(())
    }

    /// A chat as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub fn chat(&self, chat: ChatId) -> Result<Arc<ChatRecord>, ChatError> {
        let asked = || ChatError::NotFound { asked: chat.to_string() };
        self.core.chats.get(chat).ok_or_else(asked)
    }

    /// The chat whose agent this is, where it has one.
    #[must_use]
    pub fn chat_of(&self, agent: AgentId) -> Option<ChatId> {
        self.core.chats.of_agent(agent)
    }

    /// The one chat within `reach` whose identifier ends so.
    #[must_use]
    pub fn chat_ending(&self, tail: &str, reach: &Reach) -> Option<ChatId> {
        let all = self.core.chats.all();
        let reached = all.iter().filter(|record| self.core.reaches_chat(reach, record));
        only(reached.map(|record| record.id).filter(|id| ends_with(&id.to_string(), tail)))
    }

    /// The one approval within `reach` that waits and whose identifier ends so.
    #[must_use]
    pub fn approval_ending(&self, tail: &str, reach: &Reach) -> Option<ApprovalId> {
        let all = self.core.chats.all_pending();
        let reached = all.iter().filter(|approval| self.core.reaches_approval(reach, approval));
        only(reached.map(|approval| approval.id).filter(|id| ends_with(&id.to_string(), tail)))
    }

    /// Follows the record of a chat.
    ///
    /// # Errors
    /// When there is no such chat.
    pub fn chat_watch(
        &self,
        chat: ChatId,
    ) -> Result<tokio::sync::watch::Receiver<Arc<ChatRecord>>, ChatError> {
        let asked = || ChatError::NotFound { asked: chat.to_string() };
        self.core.chats.watch(chat).ok_or_else(asked)
    }

    /// Chats by pages, newest first unless asked otherwise.
    ///
    /// # Errors
    /// When the page token is not one that was given out.
    pub fn chats(&self, filter: &ChatFilter, page: &PageRequest) -> Result<ChatPage, ChatError> {
        let core = &self.core;
        let reached = |record: &ChatRecord| core.reaches_chat(&filter.within, record);
        let (listed, cursor) = core.journal.at_head(|| core.chats.list(filter, page, reached));
        let crate::chat::Listed { chats, total, next_token } = listed?;
        Ok(ChatPage { chats, total, next_token, cursor })
    }

    /// The messages of a chat, oldest first, and the position of the journal that they reflect.
    ///
    /// # Errors
    /// When there is no such chat, or the store fails.
    pub async fn chat_history(&self, chat: ChatId) -> Result<(Vec<Message>, Cursor), ChatError> {
        self.chat(chat)?;
        let cursor = self.core.journal.head();
        let mut query = TopicQuery {
            topic: Topic::chat(chat),
            from: 0,
            max_events: READ_PAGE_EVENTS,
            max_bytes: READ_PAGE_BYTES,
            bodies_only: false,
        };
        let mut history = ChatHistory::default();
        loop {
            let events = self.core.journal.store().read_topic(&query).await?;
            let Some(last) = events.last() else { return Ok((history.into_messages(), cursor)) };
            query.from = last.offset + 1;
            for event in &events {
                if let Ok(EventBody::ChatChunk(chunk)) = event.decode() {
                    history.take(event.offset, &chunk);
                }
            }
        }
    }

    /// Approvals, oldest first, and the position of the journal that they reflect.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
    ) -> Result<(Vec<Arc<Approval>>, Cursor), ChatError> {
        let (pending, cursor) = self.core.journal.at_head(|| self.core.chats.all_pending());
        let wants = |approval: &Approval| {
            filter.matches(approval) && self.core.reaches_approval(&filter.within, approval)
        };
        if filter.status == Some(crate::approval::ApprovalStatus::Pending) {
            let wanted = pending.into_iter().filter(|approval| wants(approval));
            return Ok((wanted.collect(), cursor));
        }
        let mut all = Vec::new();
        let mut range = KeyRange::new(Space::APPROVAL, "", PAGE);
        loop {
            let page = self.core.journal.store().list(&range).await?;
            range.after = page.documents.last().map(|last| Arc::clone(&last.key.id));
            for document in &page.documents {
                let approval = decode_approval(&document.body).map_err(damaged)?;
                if wants(&approval) {
                    all.push(Arc::new(approval));
                }
            }
            if !page.more {
                return Ok((all, cursor));
            }
        }
    }

    /// One approval.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn approval(&self, id: ApprovalId) -> Result<Arc<Approval>, ChatError> {
        if let Some(pending) = self.core.chats.pending(id) {
            return Ok(pending);
        }
        let key = Key::new(Space::APPROVAL, id.to_string());
        match self.core.journal.store().get(&key).await? {
            Some(document) => Ok(Arc::new(decode_approval(&document.body).map_err(damaged)?)),
            None => Err(ChatError::NoApproval { asked: id.to_string() }),
        }
    }

    /// Decides an approval; the first decision wins.
    ///
    /// # Errors
    /// When it was decided already, or is about something else than was expected.
    pub async fn approval_decide(
        &self,
        id: ApprovalId,
        request: DecideRequest,
        by: impl Into<Arc<str>>,
    ) -> Result<Arc<Approval>, ChatError> {
        let DecideRequest { decision, expected_digest } = request;
        let Some(pending) = self.core.chats.pending(id) else {
            return Err(decided(&*self.approval(id).await?));
        };
        let by = by.into();
        let asked =
            |answer| Command::Decide { approval: id, decision, expected_digest, by, answer };
        match self.tell_chat(pending.chat, asked).await {
            // Somebody was faster: what they decided is known.
            Err(ChatError::AlreadyDecided { .. }) => Err(decided(&*self.approval(id).await?)),
            other => other,
        }
    }

    /// Gives a command to the task of a chat, which begins if it rests.
    async fn tell_chat<T>(
        &self,
        chat: ChatId,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, ChatError> {
        let (answer, answered) = oneshot::channel();
        let mut command = command(answer);
        loop {
            let Some(commands) = conversation_of(&self.core, chat) else {
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

    /// Begins a process of a chat's agent.
    pub(crate) async fn begin_chat_agent(
        &self,
        record: &ChatRecord,
        by: &Arc<str>,
    ) -> Result<(), ChatError> {
        if self.core.registry.get(record.agent).is_some() {
            self.restart(record.agent, None, Arc::clone(by)).await?;
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
        };
        super::spawn::begin(Arc::clone(&self.core), plan, None).await?;
        Ok(())
    }

    /// What the agent of a chat is asked to be, and a place for it.
    fn chat_agent(&self, record: &ChatRecord) -> Result<(AgentSpec, Reservation), AgentError> {
        let spec = record.spec.agent.clone();
        let name: Arc<str> = agent_name(record).into();
        let running = self.core.limits.agents_running;
        let place = self.core.registry.reserve(name, spec.unique_name, running)?;
        Ok((spec, place))
    }
}

/// Characters of the end of an identifier that people may give for it.
const SHORT_ID: usize = 8;

fn ends_with(id: &str, tail: &str) -> bool {
    tail.len() >= SHORT_ID && id.ends_with(tail)
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn agent_name(record: &ChatRecord) -> String {
    record.spec.agent.name.clone().unwrap_or_else(|| {
        let id = record.agent.to_string();
        format!("{}-{}", record.backend, &id[id.len() - 8..])
    })
}

/// Where commands for a chat go; its task begins if it rests. None when there is no such chat.
pub(super) fn conversation_of(core: &Arc<Core>, chat: ChatId) -> Option<mpsc::Sender<Command>> {
    core.chats.commands(chat, |record, commands| begin_conversation(core, &record, commands))
}

fn begin_conversation(
    core: &Arc<Core>,
    record: &ChatRecord,
    commands: mpsc::Receiver<Command>,
) -> Arc<Link> {
    let backend = core.backend_for(Some(&record.backend)).ok();
    let (command, all) = (record.spec.agent.command.clone(), core.backends.clone());
    let maker = Backend::session_maker(backend, command, all);
    let link = Link::new(core.session_of(record), maker);
    let work = Conversation::new(Arc::clone(core), record, Arc::clone(&link), commands);
    tokio::spawn(work.work());
    link
}

impl Core {
    /// The backend of chats that name it, which has turns.
    fn chat_backend_for(&self, name: Option<&str>) -> Result<Backend, ChatError> {
        let backend = self.backend_for(name.or(self.chat_backend.as_deref()))?;
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
        asked.or_else(|| self.default_dir.clone().filter(|_| here))
    }

    /// What the next process of a chat is asked to be.
    fn session_of(&self, record: &ChatRecord) -> SessionSpec {
        let spec = &record.spec.agent;
        let cwd = spec.cwd.clone().or_else(|| self.default_dir.clone());
        let cwd = cwd.unwrap_or_else(|| PathBuf::from("/"));
        let mut session = SessionSpec::new(record.id.as_uuid(), cwd);
        session.native = record.native.clone().filter(|_| self.resumes(record));
        session.model.clone_from(&spec.chat.model);
        session.system_prompt.clone_from(&spec.chat.system_prompt);
        session.thinking = spec.chat.thinking;
        session.max_turns = spec.chat.max_turns;
        session.approvals = spec.chat.approvals.unwrap_or(self.approval_mode);
        session
    }

    /// The offset that the next event of `topic` will have.
    pub(crate) async fn next_offset(&self, topic: &Topic) -> Result<u64, StoreError> {
        let topics = self.journal.store().topics(&TopicFilter::Exact(topic.clone())).await?;
        Ok(topics.first().map_or(0, |state| state.next_offset))
    }

    /// Whether somebody may be expected to decide an approval.
    pub(crate) fn is_attended(&self, approval: &Approval) -> bool {
        !self.deny_when_unattended || self.attendance.covers(approval)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn damaged(error: crate::store::format::FormatError) -> ChatError {
    StoreError::Corrupt { what: error.to_string().into() }.into()
}

fn decided(approval: &Approval) -> ChatError {
    let Approval { id, status, decided_by, .. } = approval;
    ChatError::AlreadyDecided { id: *id, status: *status, by: decided_by.clone() }
}

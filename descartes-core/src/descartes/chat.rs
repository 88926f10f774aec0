//! Chats of a host: what applications and the API ask of them.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Caller, Conversations, Descartes};
use crate::agent::{AgentId, PageRequest, Reach};
use crate::approval::{Approval, ApprovalFilter, ApprovalId};
use crate::chat::{
    Accepted, ChatChange, ChatError, ChatFilter, ChatHistory, ChatId, ChatManager, ChatPage,
    ChatRecord, ChatSpec, Command, Message, PromptCall, Stopped, TurnResult, WhenBusy,
};
use crate::cursor::{Cursor, Position};
use crate::dialect::{Decision, Prompt};
use crate::event::{EventBody, Topic};
use crate::limits::{READ_PAGE_BYTES, READ_PAGE_EVENTS};
use crate::store::format::decode_approval;
use crate::store::{Key, KeyRange, Space, StoreError, TopicQuery};

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
    /// When the specification is wrong, its backend has no turns, or the
    /// [`ChatManager`](crate::chat::ChatManager) refuses it.
    pub async fn chat_create(
        &self,
        spec: ChatSpec,
        caller: &mut Caller,
    ) -> Result<ChatOpened, ChatError> {
        self.manager().create(&self.conversations(), spec, caller).await
    }

    /// Asks for a turn; returns when it has begun, or waits in line. `done` is given its result.
    ///
    /// # Errors
    /// When the chat is closed or busy, its agent could not be started, or the manager refuses it:
    /// no turn begins then.
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
        let call = PromptCall::new(chat, request, caller, done);
        self.manager().prompt(&self.conversations(), call).await
    }

    /// Cancels a turn (the one that is under way when none is named); returns, when it has ended,
    /// whether it was cancelled. What was said is kept.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn chat_cancel(&self, chat: ChatId, turn: Option<u32>) -> Result<bool, ChatError> {
        self.manager().cancel(&self.conversations(), chat, turn).await
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
        self.manager().stop(&self.conversations(), chat, by.into()).await
    }

    /// Changes a chat's title and labels; what is none stays.
    ///
    /// # Errors
    /// When there is no such chat.
    pub async fn chat_update(
        &self,
        chat: ChatId,
        change: ChatChange,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        self.manager().update(&self.conversations(), chat, change).await
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
        self.manager().upgrade(&self.conversations(), chat, by.into()).await
    }

    /// Forgets a closed chat, its chunks, and the approvals that were asked for in it.
    ///
    /// # Errors
    /// When there is no such chat, or it is not closed.
    pub async fn chat_remove(&self, chat: ChatId) -> Result<(), ChatError> {
        self.manager().remove(&self.conversations(), chat).await
    }

    fn manager(&self) -> &dyn ChatManager {
        &*self.core.chat_manager
    }

    fn conversations(&self) -> Conversations {
        Conversations::new(self.clone())
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
        match self.conversations().tell(pending.chat, asked).await {
            // Somebody was faster: what they decided is known.
            Err(ChatError::AlreadyDecided { .. }) => Err(decided(&*self.approval(id).await?)),
            other => other,
        }
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

#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn damaged(error: crate::store::format::FormatError) -> ChatError {
    StoreError::Corrupt { what: error.to_string().into() }.into()
}

fn decided(approval: &Approval) -> ChatError {
    let Approval { id, status, decided_by, .. } = approval;
    ChatError::AlreadyDecided { id: *id, status: *status, by: decided_by.clone() }
}

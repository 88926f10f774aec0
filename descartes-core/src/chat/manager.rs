//! Chat managers: what decides what becomes of what is asked of chats.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    Accepted, ChatError, ChatId, ChatRecord, ChatSpec, Conversations, Stopped, TurnResult,
};
use crate::descartes::{Caller, ChatOpened, PromptRequest};

/// Decides what becomes of what is asked of chats. Held as `Arc<dyn ChatManager>`
/// ([`Builder::chat_manager`](crate::Builder::chat_manager)).
///
/// Whatever changes a chat comes through here, whoever asks: an application, `chat.*` over any
/// transport, `agent.send` and `agent.cancel`, the first prompt of an agent. Each verb is called
/// once for each time that it is asked for, concurrently with all others, also for one chat; it may
/// wait, but not block the thread. What a chat is and what was said in it is read from the journal,
/// and decisions about approvals go to whoever asked: neither comes through here.
///
/// A manager does its work with the [`Conversations`] that it is given, which write down before they
/// show and answer, so that no manager can skip that; the chat, turn or end that it returns can only
/// be had from them. A verb that is left out does what is usual. An error is told to whoever asked,
/// and means that nothing was done: one that refuses answers [`ChatError::Refused`]. A future that
/// is dropped (its caller does not wait any more) undoes nothing of what the conversations were told
/// before; what it had not told them does not happen.
///
/// ```
/// # #[cfg(not(feature = "test-util"))] fn main() {}
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use descartes_core::chat::{
///     Accepted, ChatError, ChatManager, ChatSpec, Conversations, PromptCall,
/// };
/// use descartes_core::dialect::Prompt;
/// use descartes_core::testing::FakeChat;
/// use descartes_core::{Caller, Descartes, PromptRequest};
///
/// /// Knows one answer by heart, says nothing at night, and leaves the rest to the agent.
/// struct Porter {
///     night: bool,
/// }
///
/// #[async_trait]
/// impl ChatManager for Porter {
///     async fn prompt(
///         &self,
///         chats: &Conversations,
///         call: PromptCall<'_>,
///     ) -> Result<Accepted, ChatError> {
///         if self.night {
///             return Err(call.refused("no prompts at night"));
///         }
///         if call.request.prompt.as_text() == "who are you?" {
///             return chats.answer(call, "the porter").await;
///         }
///         chats.prompt(call).await
///     }
/// }
///
/// let descartes = Descartes::builder()
///     .runner(Arc::new(FakeChat::runner()))
///     .backend(FakeChat::backend())
///     .chat_manager(Arc::new(Porter { night: false }))
///     .build()
///     .await?;
/// let mut me = Caller::new("me");
/// let chat = descartes.chat_create(ChatSpec::backend("fake"), &mut me).await?.record.id;
/// for (prompt, answer) in [("who are you?", "the porter"), ("say hello", "hello")] {
///     let (done, result) = tokio::sync::oneshot::channel();
///     let request = PromptRequest::new(Prompt::text(prompt));
///     descartes.chat_prompt(chat, request, &mut me, Some(done)).await?;
///     assert_eq!(&*result.await?.content, answer);
/// }
/// # Ok(()) }
/// ```
#[async_trait]
pub trait ChatManager: Send + Sync + 'static {
    /// Makes a chat; no process begins.
    ///
    /// # Errors
    /// Why there is none.
    async fn create(
        &self,
        chats: &Conversations,
        spec: ChatSpec,
        caller: &mut Caller,
    ) -> Result<ChatOpened, ChatError> {
        chats.create(spec, caller).await
    }

    /// Asks for a turn; returns when it has begun, or waits in line.
    ///
    /// # Errors
    /// Why no turn begins.
    async fn prompt(
        &self,
        chats: &Conversations,
        call: PromptCall<'_>,
    ) -> Result<Accepted, ChatError> {
        chats.prompt(call).await
    }

    /// Cancels a turn, the open one when none is named; returns, when it has ended, whether it was
    /// cancelled.
    ///
    /// # Errors
    /// When there is no such chat.
    async fn cancel(
        &self,
        chats: &Conversations,
        chat: ChatId,
        turn: Option<u32>,
    ) -> Result<bool, ChatError> {
        chats.cancel(chat, turn).await
    }

    /// Ends a chat; returns when nothing of its agent runs.
    ///
    /// # Errors
    /// When it could not be ended.
    async fn stop(
        &self,
        chats: &Conversations,
        chat: ChatId,
        by: Arc<str>,
    ) -> Result<Stopped, ChatError> {
        chats.stop(chat, by).await
    }

    /// Changes what people see of a chat; what is none stays.
    ///
    /// # Errors
    /// Why nothing was changed.
    async fn update(
        &self,
        chats: &Conversations,
        chat: ChatId,
        change: ChatChange,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        chats.update(chat, change).await
    }

    /// Makes a chat a supervised agent of the same conversation; returns when that runs.
    ///
    /// # Errors
    /// Why it is none.
    async fn upgrade(
        &self,
        chats: &Conversations,
        chat: ChatId,
        by: Arc<str>,
    ) -> Result<Arc<ChatRecord>, ChatError> {
        chats.upgrade(chat, by).await
    }

    /// Forgets a closed chat and what was said in it.
    ///
    /// # Errors
    /// Why it is kept.
    async fn remove(&self, chats: &Conversations, chat: ChatId) -> Result<(), ChatError> {
        chats.remove(chat).await
    }
}

/// The manager of hosts that are given none: every prompt goes to the chat's agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultChatManager;

impl ChatManager for DefaultChatManager {}

/// A prompt on its way to a chat, used up by whoever takes it.
#[derive(Debug)]
#[non_exhaustive]
pub struct PromptCall<'a> {
    /// Which chat is asked.
    pub chat: ChatId,
    /// What it is asked.
    pub request: PromptRequest,
    /// By whom, and under which key.
    pub caller: &'a mut Caller,
    /// Who is told what the turn comes to. It is dropped, and so told that nothing will come, when
    /// the prompt is not taken.
    pub(crate) done: Option<oneshot::Sender<TurnResult>>,
}

impl<'a> PromptCall<'a> {
    pub(crate) fn new(
        chat: ChatId,
        request: PromptRequest,
        caller: &'a mut Caller,
        done: Option<oneshot::Sender<TurnResult>>,
    ) -> Self {
        Self { chat, request, caller, done }
    }

    /// The error that says that `rule` forbids it.
    #[must_use]
    pub fn refused(&self, rule: impl Into<Arc<str>>) -> ChatError {
        ChatError::Refused { by: Arc::clone(&self.caller.by), rule: rule.into() }
    }
}

/// What people see of a chat, as it is to be; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatChange {
    /// Its title.
    pub title: Option<String>,
    /// Its labels, all of them.
    pub labels: Option<BTreeMap<String, String>>,
}

//! Chats: conversations with agents, turn by turn.
//!
//! A chat outlives the processes that serve it: it has at most one agent, whose runs are its
//! processes, and the next prompt goes on where the last process ended.

mod conversation;
mod error;
mod history;
mod id;
mod link;
mod list;
mod manager;
mod record;
mod recover;
mod registry;
mod spec;
#[cfg(test)]
mod tests;

pub use crate::descartes::Conversations;
use crate::dialect::Dialect;

pub use conversation::{Accepted, ChatTimes, Stopped, TurnResult};
pub(crate) use conversation::{Answer, Asked, Command, Conversation, put_approval, put_chat};
pub use error::ChatError;
pub use history::{ChatHistory, Message, Role, ToolCall};
pub use id::{ChatId, NotAChatId};
pub(crate) use link::{Heard, Link};
pub(crate) use list::Listed;
pub use list::{ChatFilter, ChatPage};
pub use manager::{ChatChange, ChatManager, DefaultChatManager, PromptCall};
pub use record::{ChatMode, ChatRecord, ChatStatus, QueuedPrompt, SessionAllow};
pub(crate) use recover::{Interrupted, interrupt};
pub(crate) use registry::Chats;
pub use spec::{ChatOptions, ChatSpec, WhenBusy};

/// Makes the dialect of a chat's next process, which is this run of its agent.
pub(crate) type SessionMaker = Box<dyn Fn(u32) -> Box<dyn Dialect> + Send>;

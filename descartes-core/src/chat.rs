//! Chats: conversations with agents, turn by turn.
//!
//! A chat outlives the processes that serve it: it has at most one agent, whose runs are its
//! processes, and the next prompt goes on where the last process ended.

mod id;
mod record;
mod spec;

pub use id::{ChatId, NotAChatId};
pub use record::{ChatMode, ChatRecord, ChatStatus, QueuedPrompt, SessionAllow};
pub use spec::{ChatOptions, ChatSpec, WhenBusy};

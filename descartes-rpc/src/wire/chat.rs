//! Chats: conversations with agents, turn by turn.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::chunk::{ChunkError, TurnOutcome, Usage};
use super::config::Command;
use super::duration::Secs;
use super::state::Json;
use super::{params, shape, words};
use crate::decode::guard::{self, OneOrMany};
use crate::wire::agent::ListOrder;

words! {
    /// What a chat does now.
    pub enum ChatStatus {
        /// It waits for a prompt.
        Idle = "idle",
        /// A turn is under way.
        Running = "running",
        /// A turn waits for a decision.
        WaitingApproval = "waiting_approval",
        /// A turn is about to begin.
        Queued = "queued",
        /// A turn is under way, and nothing has been heard of it for long.
        Stalled = "stalled",
        /// It is over.
        Closed = "closed",
    }
}

/// How hard the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThinkingLevel {
    /// As much as it does by itself.
    Normal,
    /// More.
    Hard,
    /// Still more.
    Harder,
    /// As much as it can.
    Ultra,
}

/// What happens when an agent asks whether it may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalMode {
    /// Somebody is asked.
    Ask,
    /// Changes of files are allowed; somebody is asked about the rest.
    AllowEdits,
    /// Everything is allowed.
    AllowAll,
    /// Everything is denied.
    Deny,
}

/// What a prompt does while a turn is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenBusy {
    /// It waits for its turn.
    Queue,
    /// It is refused.
    Reject,
    /// It cancels the turn and is next.
    Interrupt,
}

macro_rules! chat_params {
    ($(#[$meta:meta])* $Name:ident { $($first:tt)* }) => {
        params! {
            $(#[$meta])*
            mutating pub struct $Name {
                $($first)*
                /// What it is with; `[chats] default_backend` unless given.
                backend?: String,
                /// Where the agent works, absolute; the daemon's own choice unless given, or `.`.
                working_dir?: String,
                /// Which model; the program's own choice unless given.
                model?: String,
                /// What the model is told first; the program's own unless given.
                system_prompt?: String,
                /// Whether the model thinks; it does unless told otherwise.
                enable_thinking?: bool,
                /// How hard.
                thinking_level?: ThinkingLevel,
                /// Rounds with the model in one turn.
                max_turns?: u32,
                /// Variables for the agent. Values are secrets: results show the names only.
                #[serde(deserialize_with = "guard::map")]
                env?: BTreeMap<String, String>,
                /// What happens when the agent asks; `[approvals] mode` unless given.
                approvals?: ApprovalMode,
                /// What a prompt does while a turn is running; it waits unless given.
                when_busy?: WhenBusy,
                /// How long a turn may take.
                turn_timeout_secs?: Secs,
                /// A title for people.
                title?: String,
                /// Free marks to select chats by.
                #[serde(deserialize_with = "guard::map")]
                labels?: BTreeMap<String, String>,
                /// The program and its arguments, for backends that take them.
                command?: Command,
                /// Arguments after those of the backend.
                args?: Vec<String>,
                /// A file, absolute and not there yet, that gets what is said to the agent's program
                /// and what it says: a recording, which the backend `replay` plays.
                record?: String,
            }
        }
    };
}

chat_params! {
    /// Parameters of `chat.create`.
    #[derive(Default)]
    CreateParams {}
}

chat_params! {
    /// Parameters of `chat.start`.
    StartParams {
        /// What is asked first.
        initial_prompt: Prompt,
    }
}

shape! {
    /// A chat that was made.
    pub struct Created {
        /// Its identifier.
        session_id: String,
        /// Where its chunks are read.
        topic: String,
        /// Where every event is published, its chunks among them, when the daemon does so.
        pub_endpoint?: String,
        /// Where its chunks begin: follow the topic after this and miss nothing.
        cursor: String,
        /// The turn that was begun with it.
        turn?: u32,
        /// The agent that serves it.
        agent_id?: String,
    }
}

/// What is asked: one text, or parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prompt {
    /// One text.
    Text(String),
    /// Parts, in order.
    Parts(Vec<PromptPart>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(PromptVisitor)
    }
}

struct PromptVisitor;

impl<'de> Visitor<'de> for PromptVisitor {
    type Value = Prompt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an array of parts")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompt, E> {
        Ok(Prompt::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompt, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = items.next_element()? {
            parts.push(part);
        }
        Ok(Prompt::Parts(parts))
    }
}

impl JsonSchema for Prompt {
    fn schema_name() -> Cow<'static, str> {
        "Prompt".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let part = generator.subschema_for::<PromptPart>();
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": part }],
        })
    }
}

params! {
    /// A part of a prompt.
    pub struct PromptPart {
        /// What it is.
        r#type: PartType,
        /// The text of a text.
        text?: String,
        /// The bytes of an image, in base64.
        data?: String,
        /// The media type of an image, such as `image/png`.
        media_type?: String,
        /// Where a file is, on the agent's machine, absolute.
        path?: String,
    }
}

/// What a part of a prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartType {
    /// Text.
    Text,
    /// A picture.
    Image,
    /// A file on the agent's machine.
    File,
}

params! {
    /// Parameters of `chat.prompt`.
    mutating pub struct PromptParams {
        /// The chat.
        session_id: String,
        /// What is asked.
        prompt: Prompt,
        /// What this does while a turn is running; as the chat was made unless given.
        when_busy?: WhenBusy,
        /// Whether to answer when the turn has ended; at once unless given.
        wait?: bool,
        /// How long to wait; 30 s unless given, an hour at most.
        timeout_secs?: Secs,
    }
}

shape! {
    /// A prompt that was taken.
    pub struct Prompted {
        /// Whether it was taken; always true.
        success: bool,
        /// Which turn it is, or will be.
        turn: u32,
        /// Whether it waits for another turn.
        queued: bool,
        /// The agent that serves the chat.
        agent_id?: String,
        /// What was answered, once the turn has ended and was waited for.
        content?: String,
        /// How the turn ended.
        outcome?: TurnOutcome,
        /// What it used, as far as the program tells.
        usage?: Usage,
        /// Why it did not succeed.
        error?: ChunkError,
    }
}

params! {
    /// Parameters of `chat.cancel`.
    mutating pub struct CancelTurnParams {
        /// The chat.
        session_id: String,
        /// Which turn; the one that is under way unless given.
        turn?: u32,
    }
}

shape! {
    /// What a cancel came to.
    pub struct TurnCancelled {
        /// Whether the turn ended because of it.
        cancelled: bool,
    }
}

params! {
    /// Parameters that name a chat.
    pub struct ChatParams {
        /// The chat.
        session_id: String,
    }
}

params! {
    /// Parameters of methods that change a chat and take nothing else.
    mutating pub struct ChangeParams {
        /// The chat.
        session_id: String,
    }
}

shape! {
    /// A chat that was stopped.
    pub struct ChatStopped {
        /// Whether nothing of its agent runs; always true.
        success: bool,
        /// How the turn that was under way ended.
        outcome?: TurnOutcome,
    }
}

params! {
    /// Parameters of `chat.list`.
    #[derive(Default)]
    pub struct ChatListParams {
        /// In this status, or one of these.
        status?: OneOrMany<String>,
        /// Of this backend.
        backend?: String,
        /// With all of these labels.
        #[serde(deserialize_with = "guard::map")]
        labels?: BTreeMap<String, String>,
        /// Closed ones too.
        include_closed?: bool,
        /// At most so many; 100 unless given, 1000 at most.
        limit?: u32,
        /// What the page before gave as `next_page_token`.
        page_token?: String,
        /// Newest first unless given.
        order?: ListOrder,
    }
}

shape! {
    /// A chat, as lists show it.
    pub struct Chat {
        /// Its identifier.
        session_id: String,
        /// What it is with.
        backend: String,
        /// Where its agent works.
        working_dir?: String,
        /// Its title.
        title?: String,
        /// When it was made.
        created_at: String,
        /// When something last happened in it.
        last_activity_at: String,
        /// What it does now.
        status: ChatStatus,
        /// Whether a process of its agent runs.
        is_active: bool,
        /// How many turns there were, those that wait included.
        turn_count: u32,
        /// The turn that is under way.
        turn?: u32,
        /// `chat` or `agent`.
        mode: String,
        /// The agent that serves it, once it was started.
        agent_id?: String,
        /// The program's own name of the conversation.
        native_session_id?: String,
        /// Questions that are open.
        pending_approvals: u32,
        /// Who made it.
        owner: String,
        /// Free marks.
        labels: BTreeMap<String, String>,
        /// What it used so far.
        usage: Usage,
    }
}

shape! {
    /// A page of chats.
    pub struct ChatList {
        /// The chats of this page.
        sessions: Vec<Chat>,
        /// How many are here.
        count: u64,
        /// How many match.
        total: u64,
        /// What to ask the next page with; absent on the last.
        next_page_token?: String,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

shape! {
    /// One chat.
    pub struct ChatDetails {
        /// The chat.
        #[serde(flatten)]
        chat: Chat,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

params! {
    /// Parameters of `chat.history`.
    pub struct HistoryParams {
        /// The chat.
        session_id: String,
        /// The first message to show, from 0.
        offset?: u64,
        /// At most so many; 100 unless given, 1000 at most.
        limit?: u32,
    }
}

shape! {
    /// One message of a chat.
    pub struct ChatMessage {
        /// Its place, from 0.
        index: u64,
        /// In which turn.
        turn: u32,
        /// `user` or `assistant`.
        role: String,
        /// What was said; what was withdrawn is left out.
        content: String,
        /// The tools that were called.
        tool_calls?: Vec<ToolCall>,
    }
}

shape! {
    /// A tool call of a message.
    pub struct ToolCall {
        /// The call's name.
        tool_id: String,
        /// Which tool.
        tool_name: String,
        /// Its arguments, once they are whole.
        input?: Json,
        /// What it gave, once it has.
        result?: String,
        /// Whether it failed.
        is_error: bool,
    }
}

shape! {
    /// Messages of a chat, oldest first.
    pub struct ChatHistory {
        /// The messages of this page.
        messages: Vec<ChatMessage>,
        /// How many there are.
        total: u64,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

params! {
    /// Parameters of `chat.update`.
    mutating pub struct UpdateParams {
        /// The chat.
        session_id: String,
        /// Its new title; it stays unless given.
        title?: String,
        /// Its new labels; they stay unless given.
        #[serde(deserialize_with = "guard::map")]
        labels?: BTreeMap<String, String>,
    }
}

shape! {
    /// A chat that was forgotten.
    pub struct ChatRemoved {
        /// Its identifier.
        session_id: String,
        /// Whether it is forgotten; always true.
        removed: bool,
    }
}

shape! {
    /// A chat that is used as an agent now.
    pub struct Upgraded {
        /// Whether it is; always true.
        success: bool,
        /// `agent`.
        mode: String,
        /// The agent that serves it.
        agent_id: String,
    }
}

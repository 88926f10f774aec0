//! What an agent is started with, as asked for and as shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::chat::ApprovalMode;
use super::duration::Secs;
use super::{params, shape};
use crate::decode::guard;

params! {
    /// How to start an agent.
    #[derive(Default)]
    pub struct SpawnConfig {
        /// The first prompt: written to the agent as soon as it runs.
        task?: String,
        /// The program and its arguments; a single text is a program without arguments, it is
        /// never split.
        command?: Command,
        /// Arguments after those of `command`.
        args?: Vec<String>,
        /// Variables for the agent. Values are secrets: results show the names only.
        #[serde(deserialize_with = "guard::map")]
        env?: BTreeMap<String, String>,
        /// The working directory, absolute (synonym: `working_dir`).
        #[serde(alias = "working_dir")]
        cwd?: String,
        /// Whether the agent can be written to; `open` unless given.
        stdin?: StdinMode,
        /// What happens when the program ends; absent, it is not started again.
        #[serde(deserialize_with = "guard::object")]
        restart?: RestartConfig,
        /// Bounds whose excess ends the agent.
        #[serde(deserialize_with = "guard::object")]
        limits?: LimitsConfig,
        /// Which model, for backends that have turns.
        model?: String,
        /// What the model is told first, for backends that have turns.
        system_prompt?: String,
        /// What happens when the agent asks, for backends that have turns.
        approvals?: ApprovalMode,
        /// A file, absolute and not there yet, that gets the conversation: see `chat.create`.
        record?: String,
        /// Free marks to select agents by.
        #[serde(deserialize_with = "guard::map")]
        labels?: BTreeMap<String, String>,
        /// The agent that this one belongs to.
        parent_agent_id?: String,
    }
}

params! {
    /// When an agent is started again.
    #[derive(Eq)]
    pub struct RestartConfig {
        /// After which end.
        policy: RestartPolicy,
        /// How many restarts within the window are too many.
        max_restarts?: u32,
        /// The window, in seconds.
        window_secs?: u64,
    }
}

params! {
    /// Bounds whose excess ends the agent; the exit's reason then names the bound.
    #[derive(Default)]
    pub struct LimitsConfig {
        /// Seconds that a run may take.
        wall_secs?: Secs,
        /// Bytes that the agent may write in all.
        output_bytes?: u64,
    }
}

/// After which end an agent is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestartPolicy {
    /// After none.
    Never,
    /// After any but exit code 0.
    OnFailure,
    /// After any that nobody asked for.
    Always,
}

/// Whether an agent can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StdinMode {
    /// It can, until somebody closes it.
    Open,
    /// It sees end-of-file at once.
    Closed,
}

/// A program and its arguments. One text is a program alone: no shell, nothing is split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Command(pub Vec<String>);

impl<T: Into<String>> FromIterator<T> for Command {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of texts, or one text")
    }
    fn visit_str<E>(self, program: &str) -> Result<Command, E> {
        Ok(Command(vec![program.to_owned()]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Command, A::Error> {
        let mut command = Vec::new();
        while let Some(word) = words.next_element()? {
            command.push(word);
        }
        Ok(Command(command))
    }
}

impl JsonSchema for Command {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = serde_json::json!({ "type": "string" });
        schemars::json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
    }
}

shape! {
    /// What an agent was started with. Of `env` only the names are shown.
    #[derive(Default)]
    pub struct AgentConfig {
        /// The first prompt.
        task?: String,
        /// The program and its first arguments, when they were given.
        command?: Vec<String>,
        /// Arguments after those.
        args?: Vec<String>,
        /// The names of the variables that were given.
        env?: Vec<String>,
        /// The working directory.
        cwd?: String,
        /// Whether it can be written to.
        stdin?: StdinMode,
        /// When it is started again.
        restart?: RestartConfig,
        /// Its bounds.
        limits?: LimitsConfig,
        /// Which model was asked for.
        model?: String,
        /// What the model is told first.
        system_prompt?: String,
        /// What happens when it asks.
        approvals?: ApprovalMode,
    }
}

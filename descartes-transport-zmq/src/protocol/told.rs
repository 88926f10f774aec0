//! What events of the journal say to those who follow statuses and output, at either end.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_rpc::wire::agent::{Agent, AgentStatus, Exit};
use descartes_rpc::wire::event::{AgentExited, OutputBlock, StatusChanged};
use descartes_rpc::wire::output::Stream;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::value::Value;
use super::wire::{LogStream, StatusUpdate, UpdateType, ZmqOutputStream};

/// Why a stream of one agent ends by itself.
pub(crate) const AGENT_ENDED: &str = "agent_ended";

/// An event: its head, and what it says, unread.
#[derive(Deserialize)]
pub(crate) struct EventLine<'a> {
    #[serde(borrow)]
    pub(crate) cursor: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) topic: Cow<'a, str>,
    pub(crate) offset: u64,
    #[serde(borrow)]
    pub(crate) timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) data: &'a RawValue,
}

impl<'a> EventLine<'a> {
    /// Reads an event; `None` when it is none, which ours never are.
    pub(crate) fn read(event: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(event).ok()
    }

    /// The agent that it is about: the second part of its topic.
    pub(crate) fn agent(&self) -> &str {
        self.topic.split('/').nth(1).unwrap_or_default()
    }

    /// What it says, read as `T`.
    pub(crate) fn say<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.data.get()).ok()
    }
}

/// What becomes of agents.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// Whose status was told last, and which: an exit follows its status.
    last: Option<(String, AgentStatus)>,
}

impl Statuses {
    /// Where that of one agent is known.
    pub(crate) const fn new(last: Option<(String, AgentStatus)>) -> Self {
        Self { last }
    }

    /// The status of this agent, if it was told last.
    pub(crate) fn of(&self, agent: &str) -> Option<AgentStatus> {
        self.last.as_ref().filter(|(id, _)| id == agent).map(|(_, status)| *status)
    }

    /// What the event means, and whether it is the last of its agent; `None` when it is nothing to
    /// those who follow statuses.
    pub(crate) fn read(&mut self, event: &EventLine<'_>) -> Option<(StatusUpdate, bool)> {
        let mut told = StatusUpdate {
            agent_id: event.agent().to_owned(),
            status: self.of(event.agent()),
            timestamp: event.timestamp.clone().into_owned(),
            cursor: Some(event.cursor.clone().into_owned()),
            data: event.say::<Value>(),
            ..StatusUpdate::default()
        };
        let mut is_over = false;
        match &*event.r#type {
            "agent.spawned" => told.status = event.say::<Agent>().map(|agent| agent.status),
            "agent.status_changed" => {
                let change = event.say::<StatusChanged>()?;
                (told.status, told.message) = (Some(change.to), change.reason);
                self.last = Some((told.agent_id.clone(), change.to));
            }
            "agent.exited" => {
                let exited = event.say::<AgentExited>()?;
                told.message = Some(sentence(&exited.exit));
                is_over = !exited.will_restart;
                if is_over {
                    told.update_type = how(told.status);
                }
            }
            "agent.removed" => {
                told.update_type = UpdateType::Terminated;
                told.message = Some("the agent was forgotten".to_owned());
                is_over = true;
            }
            "agent.output" => {
                let block = event.say::<OutputBlock>()?;
                told.update_type = UpdateType::OutputAvailable;
                told.data = Some(extent(&block, event.offset));
            }
            _ => return None,
        }
        Some((told, is_over))
    }
}

/// What the agent wrote, if the event says so and the stream is wanted.
pub(crate) fn written(event: &EventLine<'_>, wanted: ZmqOutputStream) -> Option<LogStream> {
    let block = event.say::<OutputBlock>().filter(|_| event.r#type == "agent.output")?;
    let is_wanted = match wanted {
        ZmqOutputStream::Both => true,
        ZmqOutputStream::Stdout => block.stream == Stream::Stdout,
        ZmqOutputStream::Stderr => block.stream == Stream::Stderr,
    };
    let data = match (block.text, block.data) {
        (Some(text), _) => text.into_bytes(),
        (None, data) => STANDARD.decode(data.unwrap_or_default()).ok()?,
    };
    let (stream_type, byte_offset) = (Some(block.stream), Some(block.byte_offset));
    is_wanted.then(|| LogStream { data, stream_type, byte_offset, ..empty(event) })
}

/// A message about output without any, at the place of the event.
pub(crate) fn empty(event: &EventLine<'_>) -> LogStream {
    LogStream {
        agent_id: event.agent().to_owned(),
        timestamp: event.timestamp.clone().into_owned(),
        sequence: event.offset,
        cursor: Some(event.cursor.clone().into_owned()),
        ..LogStream::default()
    }
}

/// How an agent ended that has this status.
pub(crate) fn how(status: Option<AgentStatus>) -> UpdateType {
    match status {
        Some(AgentStatus::Completed) => UpdateType::Completed,
        Some(AgentStatus::Killed) => UpdateType::Terminated,
        _ => UpdateType::Error,
    }
}

/// How an agent ended, in words.
pub(crate) fn sentence(exit: &Exit) -> String {
    let with = match (exit.code, &exit.signal) {
        (Some(code), _) => format!(" with code {code}"),
        (None, Some(signal)) => format!(" by {signal}"),
        (None, None) => String::new(),
    };
    format!("ended{with} ({})", exit.reason)
}

/// Where the output is that was announced.
fn extent(block: &OutputBlock, offset: u64) -> Value {
    json!({
        "stream": block.stream.as_str(),
        "byte_offset": block.byte_offset,
        "first_line": block.first_line,
        "lines": block.lines,
        "offset": offset,
    })
    .into()
}

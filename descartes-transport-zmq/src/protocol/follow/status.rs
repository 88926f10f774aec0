//! `status_update`: what becomes of one agent, or of all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use descartes_rpc::message::{EndReason, Notification};
use descartes_rpc::wire::agent::{Agent, AgentDetails, AgentStatus, Exit};
use descartes_rpc::wire::event::{AgentExited, OutputBlock, StatusChanged};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep};

use super::event::EventLine;
use super::{AGENT_ENDED, ALL, Follower, Said, update};
use crate::limits::STATUS_HEARTBEAT;
use crate::protocol::fail::Asked;
use crate::protocol::value::Value;
use crate::protocol::wire::{StatusUpdate, UpdateType, ZmqMessage};

/// What becomes of one agent, or of all.
pub(super) struct Statuses {
    request_id: Option<String>,
    /// The one; none where all are followed.
    agent_id: Option<String>,
    /// Whose status was told last, and which: an exit follows its status.
    last: Option<(String, AgentStatus)>,
    silence: Pin<Box<Sleep>>,
}

impl Statuses {
    /// Follows the agent of this identifier and status, or all.
    pub(super) fn new(request_id: Option<String>, one: Option<(String, AgentStatus)>) -> Self {
        let agent_id = one.as_ref().map(|(id, _)| id.clone());
        let silence = Box::pin(sleep(STATUS_HEARTBEAT));
        Self { request_id, agent_id, last: one, silence }
    }

    fn rest(&mut self) {
        self.silence.as_mut().reset(Instant::now() + STATUS_HEARTBEAT);
    }

    fn update(&self, update_type: UpdateType) -> StatusUpdate {
        let agent = self.agent_id.clone().unwrap_or_else(|| ALL.to_owned());
        let status = self.last.as_ref().map(|(_, status)| *status);
        let status = status.filter(|_| self.agent_id.is_some());
        StatusUpdate { status, ..update(self.request_id.clone(), agent, update_type) }
    }

    fn status_of(&self, agent: &str) -> Option<AgentStatus> {
        self.last.as_ref().filter(|(id, _)| id == agent).map(|(_, status)| *status)
    }

    fn event(&mut self, event: &EventLine<'_>) -> Said {
        let agent_id = event.agent().to_owned();
        let mut told = StatusUpdate {
            request_id: self.request_id.clone(),
            status: self.status_of(&agent_id),
            timestamp: event.timestamp.clone().into_owned(),
            cursor: Some(event.cursor.clone().into_owned()),
            data: event.say::<Value>(),
            agent_id,
            ..StatusUpdate::default()
        };
        let over = match &*event.r#type {
            "agent.spawned" => {
                told.status = event.say::<Agent>().map(|agent| agent.status);
                false
            }
            "agent.status_changed" => {
                let Some(change) = event.say::<StatusChanged>() else { return Said::Nothing };
                (told.status, told.message) = (Some(change.to), change.reason);
                self.last = Some((told.agent_id.clone(), change.to));
                false
            }
            "agent.exited" => {
                let Some(exited) = event.say::<AgentExited>() else { return Said::Nothing };
                told.message = Some(sentence(&exited.exit));
                if !exited.will_restart {
                    told.update_type = how(told.status);
                }
                !exited.will_restart
            }
            "agent.removed" => {
                told.update_type = UpdateType::Terminated;
                told.message = Some("the agent was forgotten".to_owned());
                true
            }
            "agent.output" => {
                let Some(block) = event.say::<OutputBlock>() else { return Said::Nothing };
                told.update_type = UpdateType::OutputAvailable;
                told.data = Some(extent(&block, event.offset));
                false
            }
            _ => return Said::Nothing,
        };
        if over && self.agent_id.is_some() {
            told.ended = Some(AGENT_ENDED.to_owned());
            return Said::Last(told.into());
        }
        Said::Message(told.into())
    }
}

impl Follower for Statuses {
    fn say(&mut self, notification: &Notification) -> Said {
        self.rest();
        match notification {
            Notification::Event { event, .. } => {
                EventLine::read(event).map_or(Said::Nothing, |event| self.event(&event))
            }
            Notification::Gap { topic, from_offset, to_offset, cursor, .. } => {
                let lost = json!({
                    "topic": topic.as_str(), "from_offset": from_offset, "to_offset": to_offset,
                });
                let gap = StatusUpdate {
                    message: Some("a part of what happened is no longer kept".to_owned()),
                    data: Some(lost.into()),
                    cursor: Some(cursor.as_str().to_owned()),
                    ..self.update(UpdateType::Error)
                };
                Said::Message(gap.into())
            }
            Notification::Ended { reason, cursor, .. } => {
                let update_type = match reason {
                    EndReason::Unsubscribed => UpdateType::Heartbeat,
                    _ => UpdateType::Error,
                };
                let last = StatusUpdate {
                    message: Some(format!("no updates follow: {reason}")),
                    cursor: Some(cursor.as_str().to_owned()),
                    ended: Some(reason.as_str().to_owned()),
                    ..self.update(update_type)
                };
                Said::Last(last.into())
            }
            _ => Said::Nothing,
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<ZmqMessage> {
        ready!(self.silence.as_mut().poll(cx));
        self.rest();
        Poll::Ready(self.update(UpdateType::Heartbeat).into())
    }
}

/// The last update of an agent that had ended before anybody followed it.
pub(super) fn ended(asked: &Asked, shown: &AgentDetails) -> StatusUpdate {
    let agent = &shown.agent;
    StatusUpdate {
        status: Some(agent.status),
        message: agent.exit.as_ref().map(sentence),
        cursor: Some(shown.cursor.clone()),
        data: agent.exit.as_ref().and_then(|exit| Value::of(exit).ok()),
        ended: Some(AGENT_ENDED.to_owned()),
        ..update(asked.request_id.clone(), agent.id.clone(), how(Some(agent.status)))
    }
}

/// How an agent ended that has this status.
fn how(status: Option<AgentStatus>) -> UpdateType {
    match status {
        Some(AgentStatus::Completed) => UpdateType::Completed,
        Some(AgentStatus::Killed) => UpdateType::Terminated,
        _ => UpdateType::Error,
    }
}

fn sentence(exit: &Exit) -> String {
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

//! `status_update`: what becomes of one agent, or of all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use descartes_rpc::message::{EndReason, Notification};
use descartes_rpc::wire::agent::{AgentDetails, AgentStatus};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep};

use super::{ALL, Follower, Said, update};
use crate::limits::STATUS_HEARTBEAT;
use crate::protocol::fail::Asked;
use crate::protocol::told::{self, AGENT_ENDED, EventLine, how, sentence};
use crate::protocol::value::Value;
use crate::protocol::wire::{StatusUpdate, UpdateType, ZmqMessage};

/// What becomes of one agent, or of all.
pub(super) struct Statuses {
    request_id: Option<String>,
    /// The one; none where all are followed.
    agent_id: Option<String>,
    statuses: told::Statuses,
    silence: Pin<Box<Sleep>>,
}

impl Statuses {
    /// Follows the agent of this identifier and status, or all.
    pub(super) fn new(request_id: Option<String>, one: Option<(String, AgentStatus)>) -> Self {
        let agent_id = one.as_ref().map(|(id, _)| id.clone());
        let silence = Box::pin(sleep(STATUS_HEARTBEAT));
        Self { request_id, agent_id, statuses: told::Statuses::new(one), silence }
    }

    fn rest(&mut self) {
        self.silence.as_mut().reset(Instant::now() + STATUS_HEARTBEAT);
    }

    fn update(&self, update_type: UpdateType) -> StatusUpdate {
        let agent = self.agent_id.clone().unwrap_or_else(|| ALL.to_owned());
        let status = self.agent_id.as_ref().and_then(|agent| self.statuses.of(agent));
        StatusUpdate { status, ..update(self.request_id.clone(), agent, update_type) }
    }

    fn event(&mut self, event: &EventLine<'_>) -> Said {
        let Some((mut told, is_over)) = self.statuses.read(event) else { return Said::Nothing };
        told.request_id.clone_from(&self.request_id);
        if is_over && self.agent_id.is_some() {
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

//! `log_stream`: what an agent writes, as exact bytes.

use std::task::{Context, Poll};

use descartes_rpc::message::Notification;
use descartes_rpc::wire::agent::Agent;
use descartes_rpc::wire::event::AgentExited;

use super::{Follower, Said};
use crate::protocol::told::{self, AGENT_ENDED, EventLine};
use crate::protocol::wire::{LogStream, ZmqMessage, ZmqOutputStream};

/// What an agent writes.
pub(super) struct Output {
    request_id: Option<String>,
    agent_id: String,
    stream: ZmqOutputStream,
    /// The run that was under way when following began; none when the agent had ended. Earlier
    /// ends are history.
    run: Option<u32>,
    /// The place of the next output event.
    next: u64,
}

impl Output {
    pub(super) fn new(request_id: Option<String>, agent: &Agent, stream: ZmqOutputStream) -> Self {
        let run = (!agent.status.is_terminal()).then_some(agent.run);
        Self { request_id, agent_id: agent.id.clone(), stream, run, next: 0 }
    }

    fn empty(&self, timestamp: &str, cursor: &str) -> LogStream {
        LogStream {
            request_id: self.request_id.clone(),
            agent_id: self.agent_id.clone(),
            timestamp: timestamp.to_owned(),
            sequence: self.next,
            cursor: Some(cursor.to_owned()),
            ..LogStream::default()
        }
    }

    fn last(&self, timestamp: &str, cursor: &str, why: &str) -> Said {
        let ended = Some(why.to_owned());
        Said::Last(LogStream { ended, ..self.empty(timestamp, cursor) }.into())
    }

    fn event(&mut self, event: &EventLine<'_>) -> Said {
        match &*event.r#type {
            "agent.output" => {
                self.next = event.offset + 1;
                let Some(piece) = told::written(event, self.stream) else { return Said::Nothing };
                let request_id = self.request_id.clone();
                Said::Message(LogStream { request_id, ..piece }.into())
            }
            "agent.exited" => {
                let Some(exited) = event.say::<AgentExited>() else { return Said::Nothing };
                match self.run {
                    Some(run) if exited.run >= run && !exited.will_restart => {
                        self.last(&event.timestamp, &event.cursor, AGENT_ENDED)
                    }
                    _ => Said::Nothing,
                }
            }
            "agent.removed" => self.last(&event.timestamp, &event.cursor, AGENT_ENDED),
            _ => Said::Nothing,
        }
    }
}

impl Follower for Output {
    fn say(&mut self, notification: &Notification) -> Said {
        match notification {
            Notification::Event { event, .. } => {
                EventLine::read(event).map_or(Said::Nothing, |event| self.event(&event))
            }
            // All that an ended agent wrote has been said.
            Notification::Synced { cursor, .. } if self.run.is_none() => {
                self.last(&descartes_rpc::wire::now(), cursor, AGENT_ENDED)
            }
            Notification::Ended { reason, cursor, .. } => {
                self.last(&descartes_rpc::wire::now(), cursor, reason.as_str())
            }
            // A hole in `sequence` tells what a gap would.
            _ => Said::Nothing,
        }
    }

    fn poll_silence(&mut self, _: &mut Context<'_>) -> Poll<ZmqMessage> {
        Poll::Pending
    }
}

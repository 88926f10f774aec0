//! `log_stream`: what an agent writes, as exact bytes.

use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_rpc::message::Notification;
use descartes_rpc::wire::agent::Agent;
use descartes_rpc::wire::event::{AgentExited, OutputBlock};
use descartes_rpc::wire::output::Stream as OutputStream;

use super::event::EventLine;
use super::{AGENT_ENDED, Follower, Said};
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

    fn wants(&self, stream: OutputStream) -> bool {
        match self.stream {
            ZmqOutputStream::Both => true,
            ZmqOutputStream::Stdout => stream == OutputStream::Stdout,
            ZmqOutputStream::Stderr => stream == OutputStream::Stderr,
        }
    }

    fn event(&mut self, event: &EventLine<'_>) -> Said {
        match &*event.r#type {
            "agent.output" => {
                let Some(block) = event.say::<OutputBlock>() else { return Said::Nothing };
                self.next = event.offset + 1;
                if !self.wants(block.stream) {
                    return Said::Nothing;
                }
                let data = match (block.text, block.data) {
                    (Some(text), _) => text.into_bytes(),
                    (None, data) => STANDARD.decode(data.unwrap_or_default()).unwrap_or_default(),
                };
                let message = LogStream {
                    stream_type: Some(block.stream),
                    data,
                    sequence: event.offset,
                    byte_offset: Some(block.byte_offset),
                    ..self.empty(&event.timestamp, &event.cursor)
                };
                Said::Message(message.into())
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

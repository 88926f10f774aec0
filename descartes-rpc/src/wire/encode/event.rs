//! Events as JSON, written once for all their readers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use descartes_core::cursor::Cursor;
use descartes_core::event as core;
use descartes_core::store;
use serde::Serialize;
use serde_json::value::RawValue;

use super::agent::{entry, exit, stamp, status};
use super::chat;
use crate::wire::event::{
    AgentExited, NoData, OutputBlock, PreviousEnd, StatusChanged, SystemDegraded, SystemReloaded,
    SystemStarted,
};
use crate::wire::output::{Gap, Stream};

/// An event on its way out.
#[derive(Serialize)]
struct Outgoing<'a, D: Serialize> {
    cursor: &'a str,
    seq: u64,
    topic: &'a str,
    offset: u64,
    timestamp: &'a str,
    by: &'a str,
    r#type: &'a str,
    data: D,
}

/// The JSON of `event`, whose place is `cursor`; made by the first reader and shared by all.
pub(crate) fn event_json(event: &core::Event, cursor: &dyn Fn() -> Cursor) -> Bytes {
    event.encoded(|event| encode(event, cursor())).clone()
}

fn encode(event: &core::Event, cursor: Cursor) -> Bytes {
    use core::EventBody as B;
    match event.decode() {
        Ok(B::AgentSpawned(record)) => write(event, cursor, entry(&record, 0)),
        Ok(B::AgentStatusChanged(change)) => write(event, cursor, changed(&change)),
        Ok(B::AgentExited(exited)) => write(event, cursor, ended(&exited)),
        Ok(B::AgentOutput(chunk)) => write(event, cursor, block(&chunk, &event.payload)),
        Ok(B::SystemStarted { version, previous }) => {
            let previous = match previous {
                core::PreviousEnd::Clean => PreviousEnd::Clean,
                core::PreviousEnd::Crashed => PreviousEnd::Crashed,
            };
            write(event, cursor, SystemStarted { version, previous })
        }
        Ok(B::ChatChunk(chunk)) => write(event, cursor, chat::ChunkOut::of(event, &chunk)),
        Ok(B::ApprovalRequested(approval) | B::ApprovalResolved(approval)) => {
            write(event, cursor, chat::approval(&approval))
        }
        Ok(B::SystemDegraded { reasons }) => write(event, cursor, SystemDegraded { reasons }),
        Ok(B::SystemReloaded(core::Reloaded { applied, needs_restart, .. })) => {
            write(event, cursor, SystemReloaded { applied, needs_restart })
        }
        Ok(B::Other(_, json)) => match serde_json::from_slice::<&RawValue>(&json) {
            Ok(data) => write(event, cursor, data),
            Err(_) => write(event, cursor, NoData {}),
        },
        Ok(_) => write(event, cursor, NoData {}),
        Err(error) => {
            tracing::warn!(%error, position = %event.position, "an event cannot be read");
            write(event, cursor, NoData {})
        }
    }
}

fn write<D: Serialize>(event: &core::Event, cursor: Cursor, data: D) -> Bytes {
    const AROUND: usize = 320;
    let (cursor, timestamp) = (cursor.to_string(), stamp(event.at));
    let outgoing = Outgoing {
        cursor: &cursor,
        seq: event.position.0,
        topic: event.topic.as_str(),
        offset: event.offset,
        timestamp: &timestamp,
        by: &event.by,
        r#type: event.kind.as_str(),
        data,
    };
    let room = AROUND + event.body.len() + event.payload.len() + event.payload.len() / 8;
    let mut out = Vec::with_capacity(room);
    if let Err(error) = serde_json::to_writer(&mut out, &outgoing) {
        // Writing plain structs to memory has no way to fail.
        tracing::error!(%error, "an event could not be written");
    }
    out.into()
}

fn changed(change: &core::StatusChange) -> StatusChanged {
    StatusChanged {
        from: status(change.from),
        to: status(change.to),
        activity: change.activity.map(|activity| activity.as_str().to_owned()),
        reason: change.reason.as_deref().map(str::to_owned),
        run: change.run,
    }
}

fn ended(exited: &core::Exited) -> AgentExited {
    AgentExited {
        run: exited.run,
        exit: exit(&exited.exit),
        will_restart: exited.will_restart,
        next_start_at: exited.next_start_at.map(stamp),
    }
}

fn block(chunk: &core::OutputChunk, payload: &Bytes) -> OutputBlock {
    let (text, data) = match std::str::from_utf8(payload) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(payload))),
    };
    OutputBlock {
        stream: stream(chunk.stream),
        run: chunk.run,
        byte_offset: chunk.byte_offset(),
        first_line: chunk.first_line(),
        lines: chunk.lines,
        text,
        data,
        partial: chunk.partial,
    }
}

/// A stream's word.
pub(crate) fn stream(stream: core::StreamName) -> Stream {
    match stream {
        core::StreamName::Stdout => Stream::Stdout,
        core::StreamName::Stderr => Stream::Stderr,
    }
}

/// What a topic lost.
pub(crate) fn gap(gap: &store::Gap, cursor: Cursor) -> Gap {
    Gap {
        topic: gap.topic.as_str().to_owned(),
        from_offset: gap.from_offset,
        to_offset: gap.to_offset,
        cursor: cursor.to_string(),
    }
}

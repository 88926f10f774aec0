//! The shapes of event bodies on disk.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::chunk::{decode_chunk, encode_chunk};
use super::record::{ExitDisk, ExtentDisk, RecordDisk, to_bytes};
use super::{FormatError, SHAPE, decode_approval, encode_approval};
use crate::agent::{Activity, AgentStatus};
use crate::event::{
    EventBody, EventKind, Exited, OutputChunk, PreviousEnd, Reloaded, StatusChange, StreamName,
};
use crate::time::Timestamp;

/// Encodes a body for the disk. The payload of output is not part of it.
#[must_use]
pub fn encode_body(body: &EventBody) -> Bytes {
    match body {
        EventBody::AgentSpawned(record) => to_bytes(&RecordDisk::from(&**record)),
        EventBody::AgentStatusChanged(change) => to_bytes(&ChangeDisk::from(change)),
        EventBody::AgentExited(exited) => to_bytes(&ExitedDisk::from(exited)),
        EventBody::AgentOutput(chunk) => to_bytes(&ChunkDisk::from(chunk)),
        EventBody::SystemStarted { version, previous } => to_bytes(&StartedDisk {
            version: version.clone(),
            crashed: *previous == PreviousEnd::Crashed,
        }),
        EventBody::SystemDegraded { reasons } => {
            to_bytes(&DegradedDisk { reasons: reasons.clone() })
        }
        EventBody::AgentRemoved | EventBody::SystemRecovered | EventBody::SystemDraining => {
            Bytes::from_static(b"{}")
        }
        EventBody::SystemReloaded(reloaded) => to_bytes(&ReloadedDisk {
            applied: reloaded.applied.clone(),
            needs_restart: reloaded.needs_restart.clone(),
        }),
        EventBody::ChatChunk(chunk) => encode_chunk(chunk),
        EventBody::ApprovalRequested(approval) | EventBody::ApprovalResolved(approval) => {
            encode_approval(approval)
        }
        EventBody::Other(_, bytes) => bytes.clone(),
    }
}

/// Reads a body of `kind` that was written in `shape`.
///
/// # Errors
/// When the shape is a later one, or the bytes are not of it.
pub fn decode_body(kind: &EventKind, shape: u16, body: &Bytes) -> Result<EventBody, FormatError> {
    if shape > SHAPE {
        return Err(FormatError::new("event", format_args!("shape {shape} is a later one")));
    }
    Ok(match kind {
        EventKind::AgentSpawned => {
            EventBody::AgentSpawned(Box::new(read::<RecordDisk>(body)?.into_record()?))
        }
        EventKind::AgentStatusChanged => {
            EventBody::AgentStatusChanged(read::<ChangeDisk>(body)?.try_into()?)
        }
        EventKind::AgentExited => EventBody::AgentExited(read::<ExitedDisk>(body)?.try_into()?),
        EventKind::AgentOutput => EventBody::AgentOutput(read::<ChunkDisk>(body)?.into()),
        EventKind::AgentRemoved => EventBody::AgentRemoved,
        EventKind::SystemStarted => {
            let StartedDisk { version, crashed } = read(body)?;
            let previous = if crashed { PreviousEnd::Crashed } else { PreviousEnd::Clean };
            EventBody::SystemStarted { version, previous }
        }
        EventKind::SystemDegraded => {
            EventBody::SystemDegraded { reasons: read::<DegradedDisk>(body)?.reasons }
        }
        EventKind::SystemRecovered => EventBody::SystemRecovered,
        EventKind::SystemDraining => EventBody::SystemDraining,
        EventKind::SystemReloaded => {
            let ReloadedDisk { applied, needs_restart } = read(body)?;
            EventBody::SystemReloaded(Reloaded::new(applied, needs_restart))
        }
        EventKind::ChatChunk => EventBody::ChatChunk(Box::new(decode_chunk(body)?)),
        EventKind::ApprovalRequested => {
            EventBody::ApprovalRequested(Box::new(decode_approval(body)?))
        }
        EventKind::ApprovalResolved => {
            EventBody::ApprovalResolved(Box::new(decode_approval(body)?))
        }
        EventKind::Other(_) => EventBody::Other(kind.clone(), body.clone()),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(body).map_err(|error| FormatError::new("event", error))
}

#[derive(Serialize, Deserialize)]
struct StartedDisk {
    version: String,
    crashed: bool,
}

#[derive(Serialize, Deserialize)]
struct DegradedDisk {
    reasons: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ReloadedDisk {
    applied: Vec<String>,
    needs_restart: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ChangeDisk {
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    run: u32,
}

impl From<&StatusChange> for ChangeDisk {
    fn from(change: &StatusChange) -> Self {
        Self {
            from: change.from.as_str().to_owned(),
            to: change.to.as_str().to_owned(),
            activity: change.activity.map(|activity| activity.as_str().to_owned()),
            reason: change.reason.clone(),
            run: change.run,
        }
    }
}

impl TryFrom<ChangeDisk> for StatusChange {
    type Error = FormatError;

    fn try_from(disk: ChangeDisk) -> Result<Self, FormatError> {
        let status = |text: &str| {
            AgentStatus::from_text(text).ok_or_else(|| FormatError::new("event", "unknown status"))
        };
        Ok(Self {
            from: status(&disk.from)?,
            to: status(&disk.to)?,
            activity: disk.activity.as_deref().and_then(Activity::from_text),
            reason: disk.reason,
            run: disk.run,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ExitedDisk {
    run: u32,
    exit: ExitDisk,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    will_restart: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_start_at: Option<i64>,
}

impl From<&Exited> for ExitedDisk {
    fn from(exited: &Exited) -> Self {
        Self {
            run: exited.run,
            exit: ExitDisk::from(&exited.exit),
            will_restart: exited.will_restart,
            next_start_at: exited.next_start_at.map(Timestamp::as_millis),
        }
    }
}

impl TryFrom<ExitedDisk> for Exited {
    type Error = FormatError;

    fn try_from(disk: ExitedDisk) -> Result<Self, FormatError> {
        Ok(Self {
            run: disk.run,
            exit: disk.exit.into_exit()?,
            will_restart: disk.will_restart,
            next_start_at: disk.next_start_at.map(Timestamp::from_millis),
        })
    }
}

/// Short names: there is one of these for each read of a pipe.
#[derive(Serialize, Deserialize)]
struct ChunkDisk {
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    stderr: bool,
    #[serde(rename = "r")]
    run: u32,
    #[serde(rename = "b")]
    before: ExtentDisk,
    #[serde(rename = "l")]
    lines: u64,
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl From<&OutputChunk> for ChunkDisk {
    fn from(chunk: &OutputChunk) -> Self {
        Self {
            stderr: chunk.stream == StreamName::Stderr,
            run: chunk.run,
            before: ExtentDisk::from(&chunk.before),
            lines: chunk.lines,
            partial: chunk.partial,
        }
    }
}

impl From<ChunkDisk> for OutputChunk {
    fn from(disk: ChunkDisk) -> Self {
        Self {
            stream: if disk.stderr { StreamName::Stderr } else { StreamName::Stdout },
            run: disk.run,
            before: disk.before.into(),
            lines: disk.lines,
            partial: disk.partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{AgentId, AgentRecord, AgentSpec, Exit, ExitReason};
    use crate::approval::{Approval, ApprovalStatus};
    use crate::cursor::{Cursor, Position};
    use crate::dialect::{AskKind, AskRequest, ToolEffect};
    use crate::event::{
        ChunkBody, ChunkError, ChunkErrorKind, Extent, StreamChunk, TurnOutcome, Usage,
    };
    use crate::json::Json;

    fn bodies() -> Vec<EventBody> {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let id: AgentId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an identity");
        let mut spec = AgentSpec::command(["cat", "-n"]).named("reader");
        spec.env.insert("TOKEN".into(), String::new());
        let names = ("reader".into(), "process".into());
        let record = AgentRecord::new(id, names, spec, "local".into(), at);
        let mut exit = Exit::new(ExitReason::Exited, at);
        exit.code = Some(3);
        exit.stderr_tail = Bytes::from_static(b"oh\xff");
        let mut chunk = OutputChunk::new(StreamName::Stderr, 2, Extent::default());
        chunk.before.stdout.bytes = 7;
        chunk.lines = 1;
        chunk.partial = true;
        vec![
            EventBody::AgentSpawned(Box::new(record)),
            EventBody::AgentStatusChanged(StatusChange::new(
                AgentStatus::Running,
                AgentStatus::Paused,
                1,
            )),
            EventBody::AgentStatusChanged(StatusChange {
                activity: Some(Activity::Unreachable),
                ..StatusChange::new(AgentStatus::Running, AgentStatus::Running, 1)
            }),
            EventBody::AgentExited(Exited::new(1, exit)),
            EventBody::AgentOutput(chunk),
            EventBody::AgentRemoved,
            EventBody::ApprovalRequested(Box::new(approval())),
            EventBody::SystemStarted { version: "0.1.0".into(), previous: PreviousEnd::Crashed },
            EventBody::SystemDegraded { reasons: vec!["no space".into()] },
            EventBody::SystemRecovered,
            EventBody::SystemDraining,
            EventBody::SystemReloaded(Reloaded::new(
                vec!["logging.level".into()],
                vec!["server.http_port".into()],
            )),
        ]
    }

    fn approval() -> Approval {
        let id: AgentId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an identity");
        let request = AskRequest {
            kind: AskKind::Permission,
            tool: "Bash".into(),
            tool_id: Some("t1".into()),
            effect: ToolEffect::Execute,
            title: "ls".into(),
            arguments: Json::from_text(r#"{"command":"ls"}"#).expect("JSON"),
            options: Vec::new(),
            rule: Some("Bash(ls)".into()),
        };
        let chat = "01890a5d-ac96-774b-bcce-b302099a8058".parse().expect("an identity");
        let at = Timestamp::from_millis(1_700_000_000_123);
        let times = (at, at.after(std::time::Duration::from_secs(900)));
        let place = (chat, id, 3);
        let mut approval = Approval::new(place, request, Some("/w".into()), "me".into(), times);
        approval.id = "01890a5d-ac96-774b-bcce-b302099a8059".parse().expect("an identity");
        approval
    }

    fn chunks() -> Vec<ChunkBody> {
        let id: AgentId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an identity");
        let input = Some(Json::from_text(r#"{"a":1.0}"#).expect("JSON"));
        let usage = Usage { input_tokens: Some(7), cost_usd: Some(0.5), ..Usage::default() };
        let error = ChunkError::new(ChunkErrorKind::AgentAuth, "no key").with_hint("log in");
        let (tool_name, tool_id): (Arc<str>, Arc<str>) = ("Bash".into(), "t1".into());
        let start = ChunkBody::ToolUseStart { tool_name, tool_id: Arc::clone(&tool_id) };
        let result: Arc<str> = "ok".into();
        let cursor = Cursor { store: 7, epoch: 1, position: Position(41), byte: 0 };
        vec![
            ChunkBody::TurnStarted { prompt: "hi".into(), by: Some("me".into()), queued: true },
            ChunkBody::Text { content: "a".into(), block: 0 },
            ChunkBody::Thinking { content: "b".into(), block: 1 },
            start,
            ChunkBody::ToolUseInput { tool_id: Arc::clone(&tool_id), content: "{".into(), input },
            ChunkBody::ToolResult { tool_id, result, is_error: true },
            ChunkBody::ApprovalRequested(Box::new(approval())),
            ChunkBody::ApprovalResolved { approval: approval().id, status: ApprovalStatus::Denied },
            ChunkBody::Status { activity: Some(Activity::Thinking) },
            ChunkBody::Usage(usage),
            ChunkBody::Retracted { from_offset: 9 },
            ChunkBody::TurnComplete {
                outcome: TurnOutcome::Failed,
                usage: Some(usage),
                error: Some(error.clone()),
            },
            ChunkBody::Complete { agent: id, exit_code: Some(0), resumable: true },
            ChunkBody::Closed { by: None, reason: "stopped".into() },
            ChunkBody::Error(error),
            ChunkBody::Raw { line: "?".into() },
            ChunkBody::Oversize { bytes: 2_000_000, cursor: None },
            ChunkBody::Oversize { bytes: 2_000_000, cursor: Some(cursor) },
        ]
    }

    #[test]
    fn every_body_reads_back_and_the_shapes_on_disk_do_not_change_unnoticed() {
        let mut shapes = String::new();
        let chunk = |body| StreamChunk::new(2, body).under("t0");
        let chunks = chunks().into_iter().map(|body| EventBody::ChatChunk(Box::new(chunk(body))));
        for body in bodies().into_iter().chain(chunks) {
            let bytes = encode_body(&body);
            assert_eq!(decode_body(&body.kind(), SHAPE, &bytes), Ok(body.clone()));
            let text = std::str::from_utf8(&bytes).expect("JSON");
            shapes.push_str(&format!("{} {text}\n", body.kind()));
        }
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events.txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(golden, &shapes).expect("the golden file is written");
        }
        let expected = std::fs::read_to_string(golden).expect("the golden file is there");
        assert_eq!(shapes, expected, "BLESS=1 accepts the change; old stores must still be read");
    }

    #[test]
    fn a_later_shape_is_refused_and_not_guessed_at() {
        let error = decode_body(&EventKind::AgentRemoved, SHAPE + 1, &Bytes::from_static(b"{}"));
        assert!(error.is_err());
    }

    #[test]
    fn secrets_are_never_part_of_a_stored_record() {
        let mut spec = AgentSpec::command(["true"]);
        spec.env.insert("TOKEN".into(), "hunter2".into());
        let names = ("a".into(), "process".into());
        let now = Timestamp::default();
        let record = AgentRecord::new(AgentId::generate(), names, spec, "local".into(), now);
        let bytes = super::super::encode_record(&record);
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
    }
}

//! The shape of an agent's record, and of the mark of its output, on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FormatError;
use super::chat::OptionsDisk;
use crate::agent::{
    Activity, AgentLimits, AgentRecord, AgentSpec, AgentStatus, Backoff, Exit, ExitReason,
    PauseMode, RestartPolicy, RestartWhen, StdinMode,
};
use crate::chat::ChatOptions;
use crate::event::{Extent, StreamCount};
use crate::time::Timestamp;

/// How far the output of an agent is journalled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputMark {
    /// What both streams wrote in all runs.
    pub extent: Extent,
    /// Bytes of standard output and standard error at the beginning of the current run.
    pub run_began: [u64; 2],
    /// The current run.
    pub run: u32,
}

/// Encodes a record. Values of `env` are not written, only the names.
#[must_use]
pub fn encode_record(record: &AgentRecord) -> Bytes {
    to_bytes(&RecordDisk::from(record))
}

/// Reads a record.
///
/// # Errors
/// When the bytes are not a record.
pub fn decode_record(bytes: &[u8]) -> Result<AgentRecord, FormatError> {
    let disk: RecordDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("agent", error))?;
    disk.into_record()
}

/// Encodes a mark.
#[must_use]
pub fn encode_mark(mark: &OutputMark) -> Bytes {
    let OutputMark { extent, run_began, run } = mark;
    to_bytes(&MarkDisk { before: ExtentDisk::from(extent), run_began: *run_began, run: *run })
}

/// Reads a mark.
///
/// # Errors
/// When the bytes are not a mark.
pub fn decode_mark(bytes: &[u8]) -> Result<OutputMark, FormatError> {
    let disk: MarkDisk =
        serde_json::from_slice(bytes).map_err(|error| FormatError::new("output mark", error))?;
    Ok(OutputMark { extent: disk.before.into(), run_began: disk.run_began, run: disk.run })
}

/// JSON of a type that has no map with keys other than text, so that this cannot fail.
pub(super) fn to_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("a disk shape is always JSON").into()
}

#[derive(Serialize, Deserialize)]
struct MarkDisk {
    #[serde(flatten)]
    before: ExtentDisk,
    run_began: [u64; 2],
    run: u32,
}

/// `[bytes, lines, row_bytes]` of each stream, and the rows of both.
#[derive(Serialize, Deserialize)]
pub(super) struct ExtentDisk {
    out: (u64, u64, u32),
    err: (u64, u64, u32),
    rows: u64,
}

impl From<&Extent> for ExtentDisk {
    fn from(extent: &Extent) -> Self {
        let triple = |count: &StreamCount| (count.bytes, count.lines, count.row_bytes);
        Self { out: triple(&extent.stdout), err: triple(&extent.stderr), rows: extent.rows }
    }
}

impl From<ExtentDisk> for Extent {
    fn from(disk: ExtentDisk) -> Self {
        let count = |(bytes, lines, row_bytes)| StreamCount { bytes, lines, row_bytes };
        Self { stdout: count(disk.out), stderr: count(disk.err), rows: disk.rows }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RecordDisk {
    id: String,
    name: Arc<str>,
    backend: Arc<str>,
    spec: SpecDisk,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activity: Option<String>,
    run: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<Arc<str>>,
    containment: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<(String, i64)>,
    created_at: i64,
    updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    owner: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit: Option<ExitDisk>,
}

#[derive(Serialize, Deserialize, Default)]
pub(super) struct SpecDisk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stdin_closed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart: Option<RestartDisk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wall_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unique_name: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chat: Option<OptionsDisk>,
}

#[derive(Serialize, Deserialize)]
struct RestartDisk {
    when: String,
    max_restarts: u32,
    window_ms: u64,
    first_ms: u64,
    most_ms: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ExitDisk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Arc<str>>,
    at: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stderr_tail: Vec<u8>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forced: bool,
    #[serde(default)]
    swept: u32,
}

impl From<&AgentRecord> for RecordDisk {
    fn from(record: &AgentRecord) -> Self {
        Self {
            id: record.id.to_string(),
            name: Arc::clone(&record.name),
            backend: Arc::clone(&record.backend),
            spec: SpecDisk::from(&record.spec),
            status: record.status.as_str().to_owned(),
            activity: record.activity.map(|activity| activity.as_str().to_owned()),
            run: record.run,
            pid: record.pid,
            reference: record.reference.clone(),
            containment: Arc::clone(&record.containment),
            pause: record.pause.map(|(mode, at)| (mode.as_str().to_owned(), at.as_millis())),
            created_at: record.created_at.as_millis(),
            updated_at: record.updated_at.as_millis(),
            ended_at: record.ended_at.map(Timestamp::as_millis),
            owner: Arc::clone(&record.owner),
            exit: record.exit.as_ref().map(ExitDisk::from),
        }
    }
}

impl RecordDisk {
    pub(super) fn into_record(self) -> Result<AgentRecord, FormatError> {
        let bad = |what: &str| FormatError::new("agent", format_args!("unknown {what}"));
        let status = AgentStatus::from_text(&self.status).ok_or_else(|| bad("status"))?;
        let pause = self.pause.and_then(|(mode, at)| {
            Some((PauseMode::from_text(&mode)?, Timestamp::from_millis(at)))
        });
        Ok(AgentRecord {
            id: self.id.parse().map_err(|error| FormatError::new("agent", error))?,
            name: self.name,
            backend: self.backend,
            spec: self.spec.into_spec()?,
            status,
            activity: self.activity.as_deref().and_then(Activity::from_text),
            run: self.run,
            pid: self.pid,
            reference: self.reference,
            containment: self.containment,
            pause,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            ended_at: self.ended_at.map(Timestamp::from_millis),
            owner: self.owner,
            exit: self.exit.map(ExitDisk::into_exit).transpose()?,
        })
    }
}

impl From<&AgentSpec> for SpecDisk {
    fn from(spec: &AgentSpec) -> Self {
        Self {
            name: spec.name.clone(),
            backend: spec.backend.clone(),
            command: spec.command.clone(),
            args: spec.args.clone(),
            env: spec.env.keys().cloned().collect(),
            cwd: spec.cwd.clone(),
            task: spec.task.clone(),
            stdin_closed: spec.stdin == StdinMode::Closed,
            restart: (spec.restart != RestartPolicy::default())
                .then(|| RestartDisk::from(&spec.restart)),
            wall_ms: spec.limits.wall.map(millis),
            output_bytes: spec.limits.output_bytes,
            labels: spec.labels.clone(),
            parent: spec.parent.map(|parent| parent.to_string()),
            unique_name: spec.unique_name,
            chat: (spec.chat != ChatOptions::default()).then(|| OptionsDisk::from(&spec.chat)),
        }
    }
}

impl SpecDisk {
    pub(super) fn into_spec(self) -> Result<AgentSpec, FormatError> {
        let parent = self.parent.map(|parent| parent.parse()).transpose();
        Ok(AgentSpec {
            name: self.name,
            backend: self.backend,
            command: self.command,
            args: self.args,
            env: self.env.into_iter().map(|name| (name, String::new())).collect(),
            cwd: self.cwd,
            task: self.task,
            stdin: if self.stdin_closed { StdinMode::Closed } else { StdinMode::Open },
            restart: self.restart.map_or_else(RestartPolicy::default, RestartPolicy::from),
            limits: AgentLimits {
                wall: self.wall_ms.map(Duration::from_millis),
                output_bytes: self.output_bytes,
            },
            labels: self.labels,
            parent: parent.map_err(|error| FormatError::new("agent", error))?,
            unique_name: self.unique_name,
            chat: self.chat.map_or_else(ChatOptions::default, ChatOptions::from),
        })
    }
}

impl From<&RestartPolicy> for RestartDisk {
    fn from(policy: &RestartPolicy) -> Self {
        let when = match policy.when {
            RestartWhen::Never => "never",
            RestartWhen::OnFailure => "on_failure",
            RestartWhen::Always => "always",
        };
        Self {
            when: when.to_owned(),
            max_restarts: policy.max_restarts,
            window_ms: millis(policy.window),
            first_ms: millis(policy.backoff.first),
            most_ms: millis(policy.backoff.most),
        }
    }
}

impl From<RestartDisk> for RestartPolicy {
    fn from(disk: RestartDisk) -> Self {
        Self {
            when: match disk.when.as_str() {
                "on_failure" => RestartWhen::OnFailure,
                "always" => RestartWhen::Always,
                _ => RestartWhen::Never,
            },
            max_restarts: disk.max_restarts,
            window: Duration::from_millis(disk.window_ms),
            backoff: Backoff {
                first: Duration::from_millis(disk.first_ms),
                most: Duration::from_millis(disk.most_ms),
            },
        }
    }
}

impl From<&Exit> for ExitDisk {
    fn from(exit: &Exit) -> Self {
        Self {
            code: exit.code,
            signal: exit.signal,
            reason: exit.reason.as_str().to_owned(),
            by: exit.by.clone(),
            at: exit.at.as_millis(),
            stderr_tail: exit.stderr_tail.to_vec(),
            forced: exit.forced,
            swept: exit.swept,
        }
    }
}

impl ExitDisk {
    pub(super) fn into_exit(self) -> Result<Exit, FormatError> {
        let reason = ExitReason::from_text(&self.reason)
            .ok_or_else(|| FormatError::new("exit", "unknown reason"))?;
        Ok(Exit {
            code: self.code,
            signal: self.signal,
            reason,
            by: self.by,
            at: Timestamp::from_millis(self.at),
            stderr_tail: self.stderr_tail.into(),
            forced: self.forced,
            swept: self.swept,
        })
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

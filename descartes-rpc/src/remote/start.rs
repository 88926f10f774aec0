//! Starting a run at the remote: once, however often it has to be asked for.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_core::agent::StdinMode as CoreStdin;
use descartes_core::runner::{Launch, SpawnError, SpawnStage};

use super::reach::{Remote, fresh_key, insist, insist_on, is_silence, passes};
use super::{StartOutcome, control, label};
use crate::client::ClientError;
use crate::error::{ErrorKind, RpcError};
use crate::limits::REMOTE_FIRST_INPUT_BYTES;
use crate::methods::typed::{AgentSpawn, AgentWriteStdin};
use crate::wire::agent::SpawnParams;
use crate::wire::config::{LimitsConfig, SpawnConfig, StdinMode};
use crate::wire::control::WriteParams;

/// The run that an agent begins with.
const FIRST_RUN: u32 = 1;

/// An agent of the remote that has begun.
pub(super) struct Begun {
    /// What the remote calls it.
    pub(super) id: String,
    /// Where its events begin.
    pub(super) cursor: String,
}

/// Why nothing was started, or nobody knows whether something was.
pub(super) struct NotBegun {
    program: String,
    cause: Cause,
}

enum Cause {
    /// This cannot be said to a remote.
    Unsayable(&'static str),
    /// What the remote said, or that it said nothing.
    Call(ClientError),
    /// It began and did not take its first input.
    Input(ClientError),
}

/// Starts `launch`. Dropped, it may have been started.
pub(super) async fn start(remote: &Remote, launch: &Launch) -> Result<Begun, NotBegun> {
    let program = launch.argv.first().cloned().unwrap_or_default();
    let fails = |cause| NotBegun { program, cause };
    if launch.arg0.is_some() || !launch.pass_env.is_empty() {
        let what = "the backend's program is one of this machine";
        return Err(fails(Cause::Unsayable(what)));
    }
    let (task, rest) = first_input(launch);
    let params = SpawnParams {
        agent_type: Some("process".to_owned()),
        config: Some(config(remote, launch, task)),
        idempotency_key: Some(label::key(launch.instance, (launch.agent, launch.run))),
        ..SpawnParams::default()
    };
    let spawned = match asked(remote, launch.run, params).await {
        Ok(spawned) => spawned,
        Err(error) => return Err(fails(Cause::Call(error))),
    };
    remote.has_answered();
    let begun = Begun { id: spawned.agent_id, cursor: spawned.cursor };
    let until = remote.deadline();
    let pieces = rest.chunks(REMOTE_FIRST_INPUT_BYTES);
    let last = pieces.len();
    for (at, piece) in pieces.enumerate() {
        let close = at + 1 == last && launch.stdin == CoreStdin::Closed;
        let write = WriteParams {
            agent_id: begun.id.clone(),
            text: None,
            data: Some(STANDARD.encode(piece)),
            close: Some(close),
            idempotency_key: Some(fresh_key()),
        };
        let written = insist::<AgentWriteStdin>(remote.client(), write, until).await;
        match written {
            // It ended before it read: its output and its exit tell the rest.
            Err(error) if control::has_ended(&error) => break,
            Err(error) => return Err(fails(Cause::Input(error))),
            Ok(_) => {}
        }
    }
    Ok(begun)
}

/// Asks for the start: through the queue, where there is one. Not for a later run: whoever has the
/// agent by then must be able to end it, and a start that waits could not be interrupted.
async fn asked(remote: &Remote, run: u32, params: SpawnParams) -> StartOutcome {
    let Some((starts, deadline)) = remote.starts().filter(|_| run == FIRST_RUN) else {
        return insist::<AgentSpawn>(remote.client(), params, remote.deadline()).await;
    };
    match starts.start(params.clone(), deadline).await {
        // It is there and can do it in a moment, or does it already.
        Err(ClientError::Rpc(error)) if passes(&error) => {
            let begun = error.kind() == ErrorKind::Timeout;
            insist_on::<AgentSpawn>((remote.client(), begun), params, remote.deadline()).await
        }
        outcome => outcome,
    }
}

/// What the first prompt of the remote can carry, which adds a newline, and what it cannot.
fn first_input(launch: &Launch) -> (Option<String>, &[u8]) {
    let input = &launch.first_input[..];
    let line = input.strip_suffix(b"\n").map(std::str::from_utf8);
    match line {
        Some(Ok(text)) if text.len() <= REMOTE_FIRST_INPUT_BYTES => (Some(text.to_owned()), &[]),
        _ => (None, input),
    }
}

fn config(remote: &Remote, launch: &Launch, task: Option<String>) -> SpawnConfig {
    let writes_first = task.is_none() && !launch.first_input.is_empty();
    let mut labels = label::of_host(launch.instance, remote.name());
    labels.extend(label::of_run((launch.agent, launch.run)));
    let limits = LimitsConfig {
        wall_secs: launch.limits.wall.map(Into::into),
        output_bytes: launch.limits.output_bytes,
    };
    SpawnConfig {
        task,
        command: Some(launch.argv.iter().cloned().collect()),
        env: (!launch.env.is_empty()).then(|| launch.env.clone()),
        cwd: launch.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()),
        stdin: (launch.stdin == CoreStdin::Closed && !writes_first).then_some(StdinMode::Closed),
        limits: (limits != LimitsConfig::default()).then_some(limits),
        labels: Some(labels),
        ..SpawnConfig::default()
    }
}

impl NotBegun {
    /// Whether it is certain that nothing runs.
    pub(super) fn is_settled(&self) -> bool {
        match &self.cause {
            Cause::Unsayable(_) => true,
            Cause::Call(error) => nothing_runs(error),
            Cause::Input(_) => false,
        }
    }
}

/// Whether it is certain that a start that ended so has started nothing.
pub(super) fn nothing_runs(error: &ClientError) -> bool {
    let open = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::StateError);
    // What never left was never begun.
    matches!(error, ClientError::Unreachable { .. }) || !(is_silence(error) || open)
}

impl From<NotBegun> for SpawnError {
    fn from(error: NotBegun) -> Self {
        let NotBegun { program, cause } = error;
        match cause {
            Cause::Unsayable(what) => {
                let source = io::Error::new(io::ErrorKind::Unsupported, what);
                Self::new(program, SpawnStage::Remote, source)
            }
            Cause::Call(ClientError::Rpc(error)) if error.kind() == ErrorKind::SpawnFailed => {
                failed(program, &error)
            }
            Cause::Call(error) | Cause::Input(error) => {
                Self::new(program, SpawnStage::Remote, io::Error::other(error))
            }
        }
    }
}

/// What the remote's system said, as if it had been ours.
fn failed(program: String, error: &RpcError) -> SpawnError {
    let text = |member| error.detail(member).and_then(|value| value.as_str());
    let stage = match text("stage") {
        Some("lookup") => SpawnStage::Lookup,
        Some("directory") => SpawnStage::Directory,
        Some("exec") => SpawnStage::Exec,
        _ => SpawnStage::Remote,
    };
    let number = error.detail("errno").and_then(serde_json::Value::as_i64);
    let source = match number.and_then(|number| i32::try_from(number).ok()) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(ClientError::Rpc(error.clone())),
    };
    let program = text("program").map_or(program, str::to_owned);
    let mut failed = SpawnError::new(program, stage, source);
    let searched = error.detail("searched").and_then(|value| value.as_array());
    let paths = searched.into_iter().flatten().filter_map(|path| path.as_str());
    failed.searched = paths.map(PathBuf::from).collect();
    failed.cwd = text("cwd").map(PathBuf::from);
    failed
}

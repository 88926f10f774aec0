//! `agent.batch`

use bytes::BytesMut;
use descartes_core::{AgentBatch, BatchCommand, BatchEntry, BatchTarget};

use super::{input, signal_of};
use crate::audit::Act;
use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::method::Audited;
use crate::methods::agent::selection;
use crate::wire::control as wire;
use crate::wire::encode;

/// `agent.batch`
pub(crate) async fn batch(
    effect: Effect,
    params: wire::BatchParams,
) -> (Effect, Result<wire::BatchResult, RpcError>) {
    let result = run(&effect, params).await;
    (effect, result)
}

async fn run(effect: &Effect, params: wire::BatchParams) -> Result<wire::BatchResult, RpcError> {
    let target = match (params.agent_ids, params.select) {
        (Some(asked), None) => BatchTarget::These(asked),
        (None, Some(select)) => BatchTarget::Select(selection(&effect.call, select)?),
        _ => return Err(ParamFault::at("agent_ids", "either `agent_ids` or `select`").into()),
    };
    let batch = AgentBatch {
        target,
        within: effect.call.reach.clone(),
        command: command(params.command, params.payload.unwrap_or_default())?,
        fail_fast: params.fail_fast.unwrap_or(false),
        dry_run: params.dry_run.unwrap_or(false),
    };
    if !batch.dry_run && matches!(batch.command, BatchCommand::WriteStdin(_)) {
        effect.afford(|| None)?;
    }
    let kills = !batch.dry_run
        && matches!(
            batch.command,
            BatchCommand::Stop | BatchCommand::Kill | BatchCommand::Signal(_)
        );
    let entries = effect.descartes().batch(batch, effect.by()).await?;
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let entry = shown(entry)?;
        if kills {
            let outcome = if entry.success { "ok" } else { "failed" };
            let act = Act::new(Audited::Kill, &effect.call, Some(&entry.agent_id));
            effect.call.host.audit.done(act, outcome);
        }
        results.push(entry);
    }
    let failed = results.iter().filter(|entry| !entry.success).count();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Ok(wire::BatchResult {
        success: failed == 0,
        successful: number(results.len() - failed),
        failed: number(failed),
        results,
    })
}

fn command(
    command: wire::BatchCommand,
    payload: wire::BatchPayload,
) -> Result<BatchCommand, ParamFault> {
    let wire::BatchPayload { signal, text, data } = payload;
    let bytes = input("payload.", text, data)?;
    match (command, signal, bytes) {
        (wire::BatchCommand::Signal, Some(signal), None) => {
            Ok(BatchCommand::Signal(signal_of(signal)))
        }
        (wire::BatchCommand::WriteStdin, None, Some(bytes)) => Ok(BatchCommand::WriteStdin(bytes)),
        (wire::BatchCommand::Signal, ..) => Err(ParamFault::at("payload", "`signal` alone")),
        (wire::BatchCommand::WriteStdin, ..) => {
            Err(ParamFault::at("payload", "`text` or `data` alone"))
        }
        (wire::BatchCommand::Pause, None, None) => Ok(BatchCommand::Pause),
        (wire::BatchCommand::Resume, None, None) => Ok(BatchCommand::Resume),
        (wire::BatchCommand::Stop, None, None) => Ok(BatchCommand::Stop),
        (wire::BatchCommand::Kill, None, None) => Ok(BatchCommand::Kill),
        (wire::BatchCommand::Status, None, None) => Ok(BatchCommand::Status),
        _ => Err(ParamFault::at("payload", "nothing: this command takes none")),
    }
}

fn shown(entry: BatchEntry) -> Result<wire::BatchEntry, RpcError> {
    let (agent_id, result) = (entry.asked, entry.result);
    Ok(match result {
        Ok(record) => wire::BatchEntry {
            agent_id,
            success: true,
            status: Some(encode::status(record.status)),
            error: None,
        },
        Err(error) => {
            let error = object(&error.into())?;
            wire::BatchEntry { agent_id, success: false, status: None, error: Some(error) }
        }
    })
}

fn object(error: &RpcError) -> Result<wire::ErrorObject, RpcError> {
    let mut out = BytesMut::new();
    error.encode_into(&mut out);
    serde_json::from_slice(&out).map_err(|error| RpcError::internal(&error))
}

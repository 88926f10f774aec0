//! Commands that act on agents.

use std::process::ExitCode;

use descartes_rpc::client::Client;
use descartes_rpc::wire::agent::{PruneParams, RemoveParams, Selection};
use descartes_rpc::wire::control::{
    KillParams, PauseParams, ResumeParams, SignalName, SignalParams, StopParams, WriteParams,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use super::arguments::{Kill, Pause, Prune, Resume, Rm, Stop, Write};
use super::failure::Failure;
use super::which;
use crate::exit::Code;
use crate::output::Output;

type Done = Result<ExitCode, Failure>;

pub(super) async fn stop(client: &Client, asked: Stop, output: &Output) -> Done {
    let grace = asked.grace;
    let act = async |agent_id| {
        let grace_secs = grace.map(Into::into);
        let params = StopParams { agent_id, grace_secs, idempotency_key: None };
        Ok(client.agent_stop(params).await?)
    };
    which::for_each((client, output), &asked.agents, act, |_, killed| {
        output.result(&killed, || killed.message.clone())?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn kill(client: &Client, asked: Kill, output: &Output) -> Done {
    if let Some(word) = asked.signal {
        return signal(client, (asked.agents, word), output).await;
    }
    let force = asked.force.then_some(true);
    let act = async |agent_id| {
        let params = KillParams { agent_id, force, grace_secs: None, idempotency_key: None };
        Ok(client.agent_kill(params).await?)
    };
    which::for_each((client, output), &asked.agents, act, |_, killed| {
        output.result(&killed, || killed.message.clone())?;
        Ok(Code::Done)
    })
    .await
}

async fn signal(client: &Client, (agents, word): (Vec<String>, &str), output: &Output) -> Done {
    let text: StrDeserializer<'_, WordError> = word.into_deserializer();
    let signal = SignalName::deserialize(text)
        .map_err(|error| Failure::Usage(format!("--signal {word}: {error}")))?;
    let act = async |agent_id| {
        let params = SignalParams { agent_id, signal, idempotency_key: None };
        Ok(client.agent_signal(params).await?)
    };
    which::for_each((client, output), &agents, act, |name, signalled| {
        output.result(&signalled, || format!("{name}: sent {word}"))?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn restart(client: &Client, asked: Stop, output: &Output) -> Done {
    let grace = asked.grace;
    let act = async |agent_id| {
        let grace_secs = grace.map(Into::into);
        let params = StopParams { agent_id, grace_secs, idempotency_key: None };
        Ok(client.agent_restart(params).await?)
    };
    which::for_each((client, output), &asked.agents, act, |name, again| {
        output.result(&again, || {
            let pid = again.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
            format!("{name}: {}, run {}{pid}", again.status, again.run)
        })?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn pause(client: &Client, asked: Pause, output: &Output) -> Done {
    let force = asked.force.then_some(true);
    let act = async |agent_id| {
        let params = PauseParams { agent_id, force, idempotency_key: None };
        Ok(client.agent_pause(params).await?)
    };
    which::for_each((client, output), &asked.agents, act, |name, paused| {
        output.result(&paused, || format!("{name}: {} ({})", paused.status, paused.pause_mode))?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn resume(client: &Client, asked: Resume, output: &Output) -> Done {
    let act = async |agent_id| {
        let params = ResumeParams { agent_id, idempotency_key: None };
        Ok(client.agent_resume(params).await?)
    };
    which::for_each((client, output), &asked.agents, act, |name, resumed| {
        output.result(&resumed, || format!("{name}: {}", resumed.status))?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn remove(client: &Client, asked: Rm, output: &Output) -> Done {
    let force = asked.force;
    let act = async |agent_id: String| {
        if force {
            let agent_id = agent_id.clone();
            let force = Some(true);
            let params = KillParams { agent_id, force, grace_secs: None, idempotency_key: None };
            client.agent_kill(params).await?;
        }
        Ok(client.agent_remove(RemoveParams { agent_id, idempotency_key: None }).await?)
    };
    which::for_each((client, output), &asked.agents, act, |name, removed| {
        output.result(&removed, || format!("{name}: removed"))?;
        Ok(Code::Done)
    })
    .await
}

pub(super) async fn prune(client: &Client, asked: Prune, output: &Output) -> Done {
    let labels = asked.labels;
    let select = (!labels.is_empty())
        .then(|| Selection { labels: Some(labels.into_iter().collect()), ..Selection::default() });
    let params = PruneParams {
        older_than_secs: asked.older_than.into(),
        select,
        dry_run: asked.dry_run.then_some(true),
        idempotency_key: None,
    };
    let pruned = client.agent_prune(params).await?;
    output.result(&pruned, || {
        let done = if pruned.dry_run { "would be removed" } else { "removed" };
        let mut lines: Vec<_> = pruned.agent_ids.iter().map(|id| which::short(id)).collect();
        let last = format!("{} {done}", pruned.count);
        lines.push(&last);
        lines.join("\n")
    })?;
    Ok(Code::Done.into())
}

pub(super) async fn write(client: &Client, asked: Write, output: &Output) -> Done {
    let agent_id = which::agent(client, &asked.agent).await?;
    let end = if asked.raw { "" } else { "\n" };
    let params = WriteParams {
        agent_id,
        text: asked.text.map(|text| text + end),
        data: None,
        close: asked.eof.then_some(true),
        idempotency_key: None,
    };
    let written = client.agent_write_stdin(params).await?;
    if output.is_json() {
        output.json(&written)?;
    }
    Ok(Code::Done.into())
}

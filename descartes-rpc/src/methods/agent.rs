//! `agent.*` that make, show, follow and forget agents.

mod converse;
mod filter;
mod output;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use descartes_core::agent::{AgentId, AgentRecord, PageRequest, Want};
use descartes_core::chat::ChatId;
use descartes_core::cursor::Position;
use descartes_core::{Descartes, Prune, WaitFor};

use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::idempotency::Effect;
use crate::router::Call;
use crate::wire::agent as wire;
use crate::wire::encode;

pub(crate) use converse::{cancel, send};
pub(crate) use filter::selection;
pub(crate) use output::{logs, output};

/// How long `agent.wait` waits unless it is told.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that it waits.
const WAIT_MOST: Duration = Duration::from_secs(3600);
/// A page of agents ends here, with at least one.
const PAGE_BYTES: usize = 1024 * 1024;

/// `agent.spawn`
pub(crate) async fn spawn(
    mut effect: Effect,
    params: wire::SpawnParams,
) -> (Effect, Result<wire::Spawned, RpcError>) {
    if let Some(known) = earlier(&effect) {
        let descartes = effect.descartes();
        let begin = descartes.journal().cursor(Position::START).to_string();
        let chat = descartes.chat_of(known.id);
        return (effect, Ok(spawned(&known, chat, begin)));
    }
    let spec = match spec::spec(&effect.call, params) {
        Ok(spec) => spec,
        Err(error) => return (effect, Err(error)),
    };
    let caller = effect.caller();
    let (result, ticket) = effect.descartes().spawn_with(spec, caller).await;
    effect.give_back(ticket);
    let result = result
        .map(|agent| spawned(&agent.record, agent.chat, agent.cursor.to_string()))
        .map_err(RpcError::from);
    (effect, result)
}

/// The agent that this very call began in an earlier life of the daemon.
fn earlier(effect: &Effect) -> Option<Arc<AgentRecord>> {
    let id = effect.interrupted()??;
    let (view, _) = effect.descartes().agent(id).ok()?;
    Some(view.record)
}

fn spawned(record: &AgentRecord, chat: Option<ChatId>, cursor: String) -> wire::Spawned {
    wire::Spawned {
        agent_id: record.id.to_string(),
        name: record.name.as_ref().to_owned(),
        status: encode::status(record.status),
        pid: record.pid,
        session_id: chat.map(|chat| chat.to_string()),
        message: format!("agent {} is {}", record.name, record.status),
        cursor,
    }
}

/// `agent.list`
pub(crate) async fn list(
    call: Call,
    params: wire::ListParams,
) -> Result<wire::AgentList, RpcError> {
    let wire::ListParams { status, labels, agent_type, parent_agent_id, limit, .. } = params;
    let select = wire::Selection { status, labels, agent_type, parent_agent_id };
    let filter = selection(&call, select)?;
    let mut page = PageRequest::default();
    page.limit = super::page_limit(limit)?;
    page.token = params.page_token;
    page.oldest_first = params.order == Some(wire::ListOrder::Oldest);
    let found = call.descartes().list(&filter, &page)?;
    let mut agents = Vec::with_capacity(found.agents.len());
    let (mut bytes, mut next_page_token) = (0, found.next_token);
    for view in &found.agents {
        let agent = entry(call.descartes(), view);
        bytes += super::encode(&agent)?.len();
        if bytes > PAGE_BYTES && !agents.is_empty() {
            next_page_token = agents.last().map(|last: &wire::Agent| last.id.clone());
            break;
        }
        agents.push(agent);
    }
    Ok(wire::AgentList {
        count: count(agents.len()),
        total: count(found.total),
        next_page_token,
        cursor: found.cursor.to_string(),
        agents,
    })
}

fn entry(descartes: &Descartes, view: &descartes_core::agent::AgentView) -> wire::Agent {
    let children = u32::try_from(view.children).unwrap_or(u32::MAX);
    let mut agent = encode::entry(&view.record, children);
    agent.session_id = descartes.chat_of(view.record.id).map(|chat| chat.to_string());
    agent
}

/// Where the agent's process lives.
fn hosting(record: &AgentRecord) -> &'static str {
    if record.reference.is_some() { "remote" } else { "in_process" }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// `agent.get`
pub(crate) async fn get(
    call: Call,
    params: wire::AgentParams,
) -> Result<wire::AgentDetails, RpcError> {
    let descartes = call.descartes();
    let id = call.agent(&params.agent_id, Want::Any)?;
    let (view, cursor) = descartes.agent_within(id, &call.reach)?;
    let output = descartes.output_extent(id).await?;
    Ok(wire::AgentDetails {
        agent: entry(descartes, &view),
        containment: Some(view.record.containment.as_ref().to_owned()),
        hosting: hosting(&view.record).to_owned(),
        reference: view.record.reference.as_deref().map(str::to_owned),
        usage: wire::AgentUsage::default(),
        output: wire::AgentOutput {
            bytes: output.bytes,
            lines: output.lines,
            first_line: output.first_line,
        },
        cursor: cursor.to_string(),
    })
}

/// `agent.wait`
pub(crate) async fn wait(call: Call, params: wire::WaitParams) -> Result<wire::Waited, RpcError> {
    let descartes = call.descartes();
    let id = call.agent(&params.agent_id, Want::Any)?;
    let limit = params.timeout_secs.map_or(WAIT_DEFAULT, |secs| secs.duration());
    if limit > WAIT_MOST {
        return Err(ParamFault::at("timeout_secs", "at most 3600 seconds").into());
    }
    let what = match params.r#for {
        Some(wire::WaitFor::Run) => WaitFor::Run,
        Some(wire::WaitFor::Turn) => WaitFor::Turn,
        Some(wire::WaitFor::Idle) => WaitFor::Idle,
        Some(wire::WaitFor::Exit) | None => WaitFor::Exit,
    };
    match tokio::time::timeout(limit, descartes.wait(id, what)).await {
        Ok(record) => {
            let record = record?;
            Ok(wire::Waited {
                agent_id: record.id.to_string(),
                status: encode::status(record.status),
                exit: record.exit.as_ref().map(encode::exit),
            })
        }
        Err(_elapsed) => Err(still(descartes, id)),
    }
}

fn still(descartes: &Descartes, id: AgentId) -> RpcError {
    match descartes.agent(id) {
        Ok((view, _)) => {
            let status = view.record.status.as_str();
            RpcError::new(ErrorKind::Timeout, format!("the agent is still {status}"))
                .with("status", status)
        }
        Err(error) => error.into(),
    }
}

/// `agent.remove`
pub(crate) async fn remove(
    effect: Effect,
    params: wire::RemoveParams,
) -> (Effect, Result<wire::Removed, RpcError>) {
    let result = removed(&effect, &params.agent_id).await;
    (effect, result)
}

async fn removed(effect: &Effect, asked: &str) -> Result<wire::Removed, RpcError> {
    let gone = |id: &str| wire::Removed { agent_id: id.to_owned(), removed: true };
    let id = match effect.call.agent(asked, Want::Any) {
        // It was this call that removed it, in an earlier life of the daemon.
        Err(_) if effect.interrupted().is_some() => return Ok(gone(asked)),
        resolved => resolved?,
    };
    effect.descartes().remove(id, effect.by()).await?;
    Ok(gone(&id.to_string()))
}

/// `agent.prune`
pub(crate) async fn prune(
    effect: Effect,
    params: wire::PruneParams,
) -> (Effect, Result<wire::Pruned, RpcError>) {
    let result = pruned(&effect, params).await;
    (effect, result)
}

async fn pruned(effect: &Effect, params: wire::PruneParams) -> Result<wire::Pruned, RpcError> {
    let dry_run = params.dry_run.unwrap_or(false);
    let mut select = params.select.unwrap_or_default();
    select.status.get_or_insert_with(|| wire::StatusFilter::Stopped.into());
    let select = selection(&effect.call, select)?;
    let prune = Prune { older_than: params.older_than_secs.duration(), select, dry_run };
    let ids = effect.descartes().prune(prune, effect.by()).await?;
    let agent_ids: Vec<String> = ids.iter().map(AgentId::to_string).collect();
    Ok(wire::Pruned { count: count(agent_ids.len()), agent_ids, dry_run })
}

//! `state.*`

use std::collections::BTreeMap;

use descartes_core::StateView;
use descartes_core::agent::{AgentFilter, AgentId, AgentRecord, PageRequest, Want};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::idempotency::Effect;
use crate::router::Call;
use crate::wire::encode;
use crate::wire::state::{self as wire, Json};

/// What an agent's keys are shown with; nobody can write these.
const OF_AGENT: [&str; 3] = ["name", "status", "updated_at"];
/// What the global keys are shown with.
const AGENTS: &str = "agents";
/// The longest key.
const KEY_CHARS: usize = 256;

/// `state.query`
pub(crate) async fn query(
    call: Call,
    params: wire::QueryParams,
) -> Result<wire::StateView, RpcError> {
    let descartes = call.descartes();
    let agent = target(&call, params.agent_id.as_deref())?;
    let (key, prefix) = (params.key.as_deref(), params.prefix.as_deref().unwrap_or(""));
    let view = descartes.state_query(agent, (key, prefix), &call.reach).await?;
    let wanted = |name: &str| key.map_or(name.starts_with(prefix), |key| key == name);
    let mut state = BTreeMap::new();
    match &view.agent {
        Some(record) => show_agent(&mut state, record, wanted)?,
        None if wanted(AGENTS) => {
            state.insert(AGENTS.to_owned(), json(&agents(&call)?)?);
        }
        None => {}
    }
    let StateView { values, cursor, .. } = view;
    for (key, value) in values {
        let text = String::from_utf8_lossy(&value).into_owned();
        let value = RawValue::from_string(text).map_err(|error| RpcError::internal(&error))?;
        state.insert(key, Json(value));
    }
    let timestamp = encode::stamp(descartes.health().at);
    Ok(wire::StateView { state, timestamp, cursor: cursor.to_string() })
}

fn show_agent(
    state: &mut BTreeMap<String, Json>,
    record: &AgentRecord,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), RpcError> {
    let updated_at = encode::stamp(record.updated_at);
    for (name, value) in
        OF_AGENT.into_iter().zip([&*record.name, record.status.as_str(), &updated_at])
    {
        if wanted(name) {
            state.insert(name.to_owned(), json(&value)?);
        }
    }
    Ok(())
}

/// Every live agent in few words.
fn agents(call: &Call) -> Result<BTreeMap<String, wire::AgentBrief>, RpcError> {
    let mut agents = BTreeMap::new();
    let mut filter = AgentFilter::default();
    filter.within = call.reach.clone();
    let mut page = PageRequest::default();
    page.limit = 1000;
    loop {
        let found = call.descartes().list(&filter, &page)?;
        for view in found.agents {
            let record = view.record;
            let brief = wire::AgentBrief {
                name: record.name.as_ref().to_owned(),
                status: encode::status(record.status),
                updated_at: encode::stamp(record.updated_at),
            };
            agents.insert(record.id.to_string(), brief);
        }
        match found.next_token {
            Some(token) => page.token = Some(token),
            None => return Ok(agents),
        }
    }
}

fn json(value: &impl Serialize) -> Result<Json, RpcError> {
    serde_json::value::to_raw_value(value).map(Json).map_err(|error| RpcError::internal(&error))
}

fn target(call: &Call, asked: Option<&str>) -> Result<Option<AgentId>, RpcError> {
    asked.map(|asked| call.agent(asked, Want::Any)).transpose()
}

/// Whose key is written, if it may be.
async fn writable(
    effect: &Effect,
    agent: Option<&str>,
    key: &str,
) -> Result<Option<AgentId>, RpcError> {
    let taken = match agent {
        Some(_) => OF_AGENT.contains(&key),
        None => key == AGENTS,
    };
    let fits = (1..=KEY_CHARS).contains(&key.chars().count()) && !key.contains(char::is_control);
    if taken {
        return Err(ParamFault::at("key", "a key that is not read-only").into());
    }
    if !fits {
        let expected = "1 to 256 characters without control characters";
        return Err(ParamFault::at("key", expected).into());
    }
    let call = &effect.call;
    let agent = target(call, agent)?;
    // Who reaches an agent reaches its values; the others are their makers'.
    if agent.is_none() && !call.reach.is_all() {
        let owner = effect.descartes().state_owner(None, key).await?;
        let owner = owner.as_ref().unwrap_or_else(|| call.cx.principal.subject());
        if !call.reach.covers_owner(owner) {
            return Err(call.denied(Some(key), not_yours(call)));
        }
    }
    Ok(agent)
}

fn not_yours(call: &Call) -> RpcError {
    RpcError::new(ErrorKind::Forbidden, "the value is somebody else's")
        .reason("not_owner")
        .with("required", crate::auth::Scope::StateWrite.as_str())
        .with("principal", call.cx.principal.name())
}

/// `state.put`
pub(crate) async fn put(
    mut effect: Effect,
    params: wire::PutParams,
) -> (Effect, Result<wire::Version, RpcError>) {
    let agent = match writable(&effect, params.agent_id.as_deref(), &params.key).await {
        Ok(agent) => agent,
        Err(error) => return (effect, Err(error)),
    };
    let mut caller = effect.caller();
    let value = params.value.0.get().to_owned().into();
    let place = (agent, params.key.as_str());
    let put =
        effect.descartes().state_put(place, value, params.expected_version, &mut caller).await;
    effect.give_back(caller.ticket);
    (effect, put.map(|version| wire::Version { version }).map_err(RpcError::from))
}

/// `state.delete`
pub(crate) async fn delete(
    mut effect: Effect,
    params: wire::DeleteParams,
) -> (Effect, Result<wire::Version, RpcError>) {
    let agent = match writable(&effect, params.agent_id.as_deref(), &params.key).await {
        Ok(agent) => agent,
        Err(error) => return (effect, Err(error)),
    };
    let mut caller = effect.caller();
    let place = (agent, params.key.as_str());
    let deleted =
        effect.descartes().state_delete(place, params.expected_version, &mut caller).await;
    effect.give_back(caller.ticket);
    (effect, deleted.map(|version| wire::Version { version }).map_err(RpcError::from))
}

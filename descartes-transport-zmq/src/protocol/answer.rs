//! One request, to its answer.

use bytes::Bytes;
use descartes_rpc::decode::ParamFault;
use descartes_rpc::error::{ErrorKind, RpcError};
use descartes_rpc::openrpc::API_VERSION;
use descartes_rpc::service::RpcService;
use descartes_rpc::wire::agent::{AgentList, AgentStatus, Spawned};
use descartes_rpc::wire::control::BatchResult;
use descartes_rpc::wire::output::{Logs, OutputMatches};
use descartes_rpc::wire::system::{Health, HealthStatus};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::alias;
use super::caller::{Caller, Members, read, within};
use super::command::{self, below};
use super::fail::{Asked, at};
use super::follow::{self, Following};
use super::value::Value;
use super::wire::{
    BatchAgentResult, BatchControlCommand, BatchControlResponse, CommandResponse, ControlCommand,
    ControlCommandType as Command, CustomActionRequest, HealthCheckResponse, ListAgentsRequest,
    ListAgentsResponse, OutputQueryRequest, OutputQueryResponse, ProtocolError, SpawnRequest,
    SpawnResponse, ZmqMessage,
};
use crate::limits::COUNT_PATIENCE;

/// An answer, and what follows it.
pub(super) type Answer = (ZmqMessage, Option<Following>);

/// Answers `message`. The first call begins when this is first polled.
pub(super) async fn answer<S: RpcService>(
    caller: Caller<S>,
    asked: Asked,
    message: ZmqMessage,
) -> Answer {
    let told = asked.clone();
    match tried(&caller, asked, message).await {
        Ok(answer) => answer,
        Err(error) => (told.failed(&error), None),
    }
}

async fn tried<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    message: ZmqMessage,
) -> Result<Answer, RpcError> {
    let answered = match message {
        ZmqMessage::SpawnRequest(request) => spawn(caller, request).await?.into(),
        ZmqMessage::ControlCommand(request) => return control(caller, asked, request).await,
        ZmqMessage::CustomActionRequest(request) => action(caller, asked, request).await?.into(),
        ZmqMessage::ListAgentsRequest(request) => list(caller, request).await?.into(),
        ZmqMessage::HealthCheckRequest(request) => health(caller, request.request_id).await?.into(),
        ZmqMessage::BatchControlCommand(request) => batch(caller, request).await?.into(),
        ZmqMessage::OutputQueryRequest(request) => query(caller, request).await?.into(),
        other => {
            let kind = other.kind();
            return Err(RpcError::new(ErrorKind::InvalidRequest, format!("{kind} asks nothing"))
                .with("path", "type")
                .hint("send a request or a command"));
        }
    };
    Ok((answered, None))
}

/// The parameters that were given, without those that were not.
pub(super) fn given<const N: usize>(members: [(&str, Option<Json>); N]) -> Members {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

async fn spawn<S: RpcService>(
    caller: &Caller<S>,
    request: SpawnRequest,
) -> Result<SpawnResponse, RpcError> {
    let config = request.config.into_json().map_err(|fault| below("config", fault))?;
    let Json::Object(config) = config else { return Err(ParamFault::at("config", "a map").into()) };
    let (form, mut params) = alias::spawn_params(config)?;
    label(&mut params, request.metadata.unwrap_or_default());
    let limit = request.timeout_secs.map(|secs| secs.duration());
    let chosen = params.get(alias::KEY).is_some_and(|key| !key.is_null());
    if limit.is_some() && !chosen {
        // Who is told that it takes too long needs a way back to what it came to.
        params.insert(alias::KEY.to_owned(), Uuid::now_v7().to_string().into());
    }
    let key = params.get(alias::KEY).cloned();
    let spawned = within(limit, caller.ask::<Spawned>("agent.spawn", params)).await;
    let spawned = spawned.map_err(|error| match key {
        Some(key) if error.kind() == ErrorKind::Timeout => error.with("idempotency_key", key),
        _ => at(error, |path| alias::sent_path(form, path)),
    })?;
    // Who may start agents may perhaps not look at them; then the identifier has to do.
    let shown =
        caller.ask("agent.get", given([("agent_id", Some(spawned.agent_id.clone().into()))]));
    let agent_info = shown.await.ok();
    let server_id = spawned.cursor.split('.').next().map(str::to_owned);
    Ok(SpawnResponse {
        request_id: Some(request.request_id),
        success: true,
        agent_info,
        agent_id: Some(spawned.agent_id),
        cursor: Some(spawned.cursor),
        server_id,
        error: None,
    })
}

/// Adds `metadata` to the labels, where it does not contradict them.
fn label(params: &mut Members, metadata: std::collections::BTreeMap<String, String>) {
    if metadata.is_empty() {
        return;
    }
    let config = params.entry("config").or_insert_with(|| json!({}));
    let Json::Object(config) = config else { return };
    let labels = config.entry("labels").or_insert_with(|| json!({}));
    let Json::Object(labels) = labels else { return };
    for (name, value) in metadata {
        labels.entry(name).or_insert_with(|| value.into());
    }
}

async fn control<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    request: ControlCommand,
) -> Result<Answer, RpcError> {
    let ControlCommand { agent_id, command_type, payload, idempotency_key, .. } = request;
    let row = command::row(command_type);
    let mut params = command::members(payload, row.takes)?;
    if let Some(key) = idempotency_key {
        if !row.mutating {
            let expected = "nothing: this command changes nothing";
            return Err(ParamFault::at("idempotency_key", expected).into());
        }
        params.insert("idempotency_key".to_owned(), key.into());
    }
    if let Some(name) = params.remove("unsubscribe") {
        return unsubscribe(caller, asked, name).await;
    }
    match command_type {
        Command::GetStatus => return follow::status(caller, asked, params).await,
        Command::StreamLogs => return follow::logs(caller, asked, params).await,
        _ => {}
    }
    let agent_id = agent_id.ok_or_else(no_agent)?;
    params.insert("agent_id".to_owned(), agent_id.into());
    if let Some((name, value)) = row.fixed {
        params.insert(name.to_owned(), value.json());
    }
    let result = caller.call(row.method, params).await;
    let result = result.map_err(|error| at(error, command::sent_path))?;
    let data = match command_type {
        Command::ReadStdout | Command::ReadStderr => page(&read::<Logs>(&result)?),
        Command::CustomAction => inside(&result)?,
        _ => read(&result)?,
    };
    Ok((done(asked, data).into(), None))
}

pub(super) fn no_agent() -> RpcError {
    ParamFault::at("agent_id", "the identifier or the name of an agent").into()
}

/// The answer of a command that worked.
pub(super) fn done(asked: Asked, data: Value) -> CommandResponse {
    let status = data.get("status").and_then(Value::as_str).map(AgentStatus::from_word);
    CommandResponse {
        request_id: asked.request_id,
        agent_id: asked.agent_id,
        success: true,
        status,
        data: Some(data),
        error: None,
    }
}

async fn unsubscribe<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    name: Json,
) -> Result<Answer, RpcError> {
    let params = given([("subscription_id", Some(name))]);
    let data = caller.ask("event.unsubscribe", params).await?;
    Ok((done(asked, data).into(), None))
}

/// A page of output, with its exact bytes.
fn page(logs: &Logs) -> Value {
    let mut data = Vec::new();
    for row in &logs.logs {
        row.write_bytes(&mut data);
    }
    let number = |count: usize| Value::Unsigned(u64::try_from(count).unwrap_or(u64::MAX));
    let mut members = vec![
        ("rows", number(logs.logs.len())),
        ("total", Value::Unsigned(logs.total)),
        ("cursor", logs.cursor.as_str().into()),
        ("data", Value::Bytes(data)),
    ];
    if let Some(first) = logs.logs.first() {
        members.push(("first_line", Value::Unsigned(first.line)));
    }
    if let Some(gap) = logs.gap.as_ref().and_then(|gap| Value::of(gap).ok()) {
        members.push(("gap", gap));
    }
    Value::from_iter(members)
}

/// What an action gave.
fn inside(result: &Bytes) -> Result<Value, RpcError> {
    let result: Value = read(result)?;
    Ok(result.get("data").cloned().unwrap_or_default())
}

async fn action<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    request: CustomActionRequest,
) -> Result<CommandResponse, RpcError> {
    let params = request.params.map(Value::into_json).transpose();
    let params = given([
        ("agent_id", Some(request.agent_id.into())),
        ("action", Some(request.action.into())),
        ("params", params.map_err(|fault| below("params", fault))?),
        ("timeout_secs", request.timeout_secs.map(|secs| json!(secs))),
        ("idempotency_key", request.idempotency_key.map(Json::from)),
    ]);
    let result = caller.call("agent.action", params).await?;
    Ok(done(asked, inside(&result)?))
}

async fn list<S: RpcService>(
    caller: &Caller<S>,
    request: ListAgentsRequest,
) -> Result<ListAgentsResponse, RpcError> {
    let params = given([
        ("status", request.filter_status.map(|words| one_or_many(&words.0))),
        ("limit", request.limit.map(Json::from)),
        ("page_token", request.page_token.map(Json::from)),
    ]);
    let listed = caller.ask::<AgentList>("agent.list", params).await;
    let listed =
        listed.map_err(|error| at(error, |path| path.replace("status", "filter_status")))?;
    Ok(ListAgentsResponse {
        request_id: Some(request.request_id),
        success: true,
        agents: listed.agents,
        total: Some(listed.total),
        next_page_token: listed.next_page_token,
        cursor: Some(listed.cursor),
        error: None,
    })
}

/// One word goes on as one, so that an error names the member and no place in it.
fn one_or_many(words: &[String]) -> Json {
    match words {
        [one] => one.as_str().into(),
        many => json!(many),
    }
}

async fn health<S: RpcService>(
    caller: &Caller<S>,
    request_id: String,
) -> Result<HealthCheckResponse, RpcError> {
    let health: Health = caller.ask("system.health", Members::new()).await?;
    // A daemon that is too busy to count is well enough to say so.
    let live = caller.ask::<AgentList>("agent.list", given([("limit", Some(1.into()))]));
    let live = within(Some(COUNT_PATIENCE), live);
    let metadata = json!({
        "status": health.status.as_str(),
        "reasons": health.reasons,
        "version": health.version,
    });
    Ok(HealthCheckResponse {
        request_id: Some(request_id),
        healthy: health.status == HealthStatus::Healthy,
        protocol_version: API_VERSION.to_owned(),
        uptime_secs: Some(health.uptime_secs),
        active_agents: live.await.ok().map(|live| live.total),
        metadata: Some(metadata.into()),
        error: None,
    })
}

async fn batch<S: RpcService>(
    caller: &Caller<S>,
    request: BatchControlCommand,
) -> Result<BatchControlResponse, RpcError> {
    let Some(word) = command::row(request.command_type).batch else {
        let known = Command::ALL.iter().copied().filter(|word| command::row(*word).batch.is_some());
        let mut fault = ParamFault::at("command_type", "a command that many agents can be given");
        fault.available = known.map(|word| word.as_str().to_owned()).collect();
        return Err(fault.into());
    };
    let payload = command::members(request.payload, command::BATCH_TAKES)?;
    let params = given([
        ("agent_ids", Some(request.agent_ids.into())),
        ("command", Some(word.into())),
        ("payload", (!payload.is_empty()).then_some(Json::Object(payload))),
        ("fail_fast", Some(request.fail_fast.into())),
        ("idempotency_key", request.idempotency_key.map(Json::from)),
    ]);
    let result: BatchResult = caller.ask("agent.batch", params).await?;
    let (success, successful, failed) = (result.success, result.successful, result.failed);
    let results = result.results.into_iter().map(|entry| BatchAgentResult {
        agent_id: entry.agent_id,
        success: entry.success,
        status: entry.status,
        error: entry.error.map(|error| {
            let data = match error.data {
                Json::Object(data) => data,
                _ => Members::new(),
            };
            ProtocolError::from(&RpcError::from_wire(error.code, error.message, data))
        }),
    });
    Ok(BatchControlResponse {
        request_id: Some(request.request_id),
        success,
        results: results.collect(),
        successful,
        failed,
        error: None,
    })
}

async fn query<S: RpcService>(
    caller: &Caller<S>,
    request: OutputQueryRequest,
) -> Result<OutputQueryResponse, RpcError> {
    let params = given([
        ("agent_id", Some(request.agent_id.as_str().into())),
        ("stream", Some(request.stream.as_str().into())),
        ("filter", request.filter.map(Json::from)),
        ("limit", request.limit.map(Json::from)),
        ("offset", request.offset.map(Json::from)),
    ]);
    let found: OutputMatches = caller.ask("agent.output", params).await?;
    Ok(OutputQueryResponse {
        request_id: Some(request.request_id),
        agent_id: Some(request.agent_id),
        success: true,
        lines: found.lines,
        total_lines: Some(found.total_lines),
        has_more: found.has_more,
        error: None,
    })
}

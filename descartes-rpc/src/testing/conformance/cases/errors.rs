//! Errors, with what a program needs to act on them.

use serde_json::{Value, json};

use super::{Case, agents, case, fresh_key, fresh_name};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::Session,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("an unknown parameter is named", Nothing, unknown_parameter),
        case!("a wrong type is named by its path", Nothing, wrong_type),
        case!("a missing parameter is named by its path", Nothing, missing),
        case!("an unknown agent is told so", Nothing, unknown_agent),
        case!("an unknown method is told so", Nothing, unknown_method),
        case!("an unknown backend is told so", Nothing, unknown_backend),
        case!("a program that cannot be started is told why", Nothing, spawn_failed),
        case!("a conflict says which", Nothing, conflict),
        case!("what an ended agent cannot do tells how it ended", Nothing, ended),
        case!("two agents of one name are told apart by their ids", Nothing, ambiguous),
        case!("a name that shall be the only one is refused", Nothing, name_taken),
        case!("a wait that takes too long says how things are", Nothing, timeout),
        case!("a subscription where no stream can follow says what to use", Nothing, no_stream),
        case!("the same key is the same agent", Nothing, same_key),
    ]
}

/// Calls what must fail with `kind`, and gives the error's data.
pub(super) async fn refused(
    session: &mut Session,
    method: &str,
    params: Value,
    kind: &str,
) -> Result<Value, Failure> {
    let Err(error) = session.try_call(method, params).await? else {
        return Err(failure(format!("{method} did not fail")));
    };
    whole(&error, kind)
}

/// Checks that an error has what each error has, and gives its data.
pub(super) fn whole(error: &Value, kind: &str) -> Result<Value, Failure> {
    let data = &error["data"];
    check(data["kind"] == kind, || format!("not {kind}: {error}"))?;
    check(data["retryable"].is_boolean(), || format!("not told whether to retry: {error}"))?;
    check(error["message"].is_string(), || format!("no message: {error}"))?;
    let code = error["code"].as_i64().and_then(|code| i32::try_from(code).ok());
    let known = code.and_then(crate::error::ErrorKind::from_code);
    check(known.is_some_and(|known| known.as_str() == kind), || {
        format!("the code does not go with the kind: {error}")
    })?;
    Ok(data.clone())
}

/// Checks that the members of an error's data are there.
fn has(data: &Value, members: &[&str]) -> Result<(), Failure> {
    let missing = members.iter().find(|member| data.get(**member).is_none());
    missing.map_or(Ok(()), |member| Err(failure(format!("no {member}: {data}"))))
}

async fn refused_at_once(
    harness: &dyn Harness,
    (method, params): (&str, Value),
    kind: &str,
) -> Result<Value, Failure> {
    refused(&mut Session::open(harness).await?, method, params, kind).await
}

async fn unknown_parameter(harness: &dyn Harness) -> Result<(), Failure> {
    let call = ("agent.get", json!({"agent_id": "a", "colour": 1}));
    let data = refused_at_once(harness, call, "invalid_params").await?;
    check(data["member"] == "colour", || format!("the member is not named: {data}"))
}

async fn wrong_type(harness: &dyn Harness) -> Result<(), Failure> {
    let call = ("agent.get", json!({"agent_id": 7}));
    let data = refused_at_once(harness, call, "invalid_params").await?;
    let path = data["path"].as_str().unwrap_or_default();
    check(path.contains("agent_id"), || format!("the path is not told: {data}"))?;
    has(&data, &["expected"])
}

async fn missing(harness: &dyn Harness) -> Result<(), Failure> {
    let data = refused_at_once(harness, ("agent.get", json!({})), "invalid_params").await?;
    check(data.to_string().contains("agent_id"), || format!("it is not named: {data}"))
}

async fn unknown_agent(harness: &dyn Harness) -> Result<(), Failure> {
    for method in ["agent.get", "agent.kill", "agent.pause", "agent.wait", "agent.logs"] {
        let call = (method, json!({"agent_id": "nobody-of-this-name"}));
        refused_at_once(harness, call, "agent_not_found").await?;
    }
    Ok(())
}

async fn unknown_method(harness: &dyn Harness) -> Result<(), Failure> {
    let data = refused_at_once(harness, ("agent.fly", json!({})), "method_not_found").await?;
    check(data["retryable"] == false, || format!("trying again does not help: {data}"))
}

async fn unknown_backend(harness: &dyn Harness) -> Result<(), Failure> {
    let call = ("agent.spawn", json!({"agent_type": "no-such-backend"}));
    let data = refused_at_once(harness, call, "not_found").await?;
    check(data["what"] == "backend", || format!("not told what: {data}"))
}

async fn spawn_failed(harness: &dyn Harness) -> Result<(), Failure> {
    let config = json!({"command": ["/missing"]});
    let call = ("agent.spawn", json!({"agent_type": "process", "config": config}));
    let data = refused_at_once(harness, call, "spawn_failed").await?;
    has(&data, &["program", "errno", "errno_name"])?;
    check(data["stage"] == "lookup", || format!("not told what failed: {data}"))
}

async fn conflict(harness: &dyn Harness) -> Result<(), Failure> {
    let key = fresh_key("conflict");
    let mut session = Session::open(harness).await?;
    session.call("state.put", json!({"key": key, "value": 1})).await?;
    let params = json!({"key": key, "value": 2, "expected_version": 77_777});
    let data = refused(&mut session, "state.put", params, "conflict").await?;
    check(data["reason"] == "version_mismatch", || format!("not told which: {data}"))
}

async fn ended(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::finished(harness).await?;
    let call = ("agent.pause", json!({"agent_id": agent}));
    let data = refused_at_once(harness, call, "conflict").await?;
    check(data["reason"] == "wrong_status", || format!("not told which: {data}"))?;
    check(data["status"] == "killed", || format!("not told its status: {data}"))?;
    has(&data, &["exit"])
}

/// Starts an agent called `name`.
async fn spawn_named(
    harness: &dyn Harness,
    session: &mut Session,
    name: &str,
) -> Result<Value, Failure> {
    let mut params = harness.agent();
    params["name"] = name.into();
    let spawned = session.call("agent.spawn", params).await?;
    Ok(spawned["agent_id"].clone())
}

async fn ambiguous(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let name = fresh_name();
    let mut agents = Vec::new();
    for _ in 0..2 {
        agents.push(spawn_named(harness, &mut session, &name).await?);
    }
    let data = refused(&mut session, "agent.get", json!({"agent_id": name}), "conflict").await?;
    for agent in &agents {
        agents::kill(&mut session, agent.as_str().unwrap_or_default()).await?;
    }
    check(data["reason"] == "ambiguous_name", || format!("not told which: {data}"))?;
    let mut told = data["agent_ids"].as_array().cloned().unwrap_or_default();
    told.sort_by_key(Value::to_string);
    agents.sort_by_key(Value::to_string);
    check(told == agents, || format!("{told:?} instead of {agents:?}"))
}

async fn name_taken(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let name = fresh_name();
    let agent = spawn_named(harness, &mut session, &name).await?;
    let mut params = harness.agent();
    params["name"] = name.into();
    params["unique_name"] = true.into();
    let data = refused(&mut session, "agent.spawn", params, "conflict").await?;
    agents::kill(&mut session, agent.as_str().unwrap_or_default()).await?;
    check(data["reason"] == "name_taken", || format!("not told which: {data}"))
}

async fn timeout(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"agent_id": agent, "timeout_secs": 0.05});
    let data = refused(&mut session, "agent.wait", params, "timeout").await?;
    agents::kill(&mut session, &agent).await?;
    check(data["status"] == "running", || format!("not told its status: {data}"))
}

async fn no_stream(harness: &dyn Harness) -> Result<(), Failure> {
    let subscribe =
        r#"[{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["system"]}}]"#;
    let answer = Session::open(harness).await?.ask(subscribe).await?;
    let answers: Vec<Value> = serde_json::from_slice(&answer)
        .map_err(|error| failure(format!("not the answers to a batch: {error}")))?;
    let error = answers.first().map(|answer| &answer["error"]);
    let data = whole(error.unwrap_or(&Value::Null), "invalid_request")?;
    check(data["reason"] == "no_stream", || format!("not told why: {data}"))?;
    check(data["use"] == "event.read", || format!("not told what to use: {data}"))
}

async fn same_key(harness: &dyn Harness) -> Result<(), Failure> {
    let mut params = harness.agent();
    params["idempotency_key"] = fresh_key("same").into();
    let first = Session::open(harness).await?.call("agent.spawn", params.clone()).await?;
    let mut session = Session::open(harness).await?;
    let second = session.call("agent.spawn", params.clone()).await?;
    let agent = first["agent_id"].as_str().unwrap_or_default();
    agents::kill(&mut session, agent).await?;
    check(first["agent_id"] == second["agent_id"], || format!("{first} and {second}"))?;
    params["name"] = "another-name".into();
    let data = refused(&mut session, "agent.spawn", params, "conflict").await?;
    check(data["reason"] == "idempotency_mismatch", || format!("not told which: {data}"))
}

//! Calls, their errors and their order.

use std::collections::BTreeSet;

use futures_util::future::join;
use serde_json::{Value, json};

use super::{Case, case};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure, outcome},
    session::{Session, id_of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("health says who it is", Nothing, health),
        case!("the document lists the methods", Nothing, discovery),
        case!("an unknown parameter is named", Nothing, unknown_parameter),
        case!("a wrong type is named by its path", Nothing, wrong_type),
        case!("an unknown agent is told so", Nothing, unknown_agent),
        case!("an unknown method is told so", Nothing, unknown_method),
        case!("a conflict says which", Nothing, conflict),
        case!("a notification has its effect", Nothing, notification),
        case!("an agent is started, listed and killed", Nothing, life),
        case!("the same key is the same agent", Nothing, same_key),
        case!("a call that waits delays no other", Nothing, concurrent),
        case!("64 calls sent at once are answered each", Duplex, pipelined),
        case!("answers come as they are ready", Duplex, out_of_order),
        case!("a waiting call is cancelled", Duplex, cancelled),
        case!("two connections do not share identifiers", Duplex, two_connections),
    ]
}

async fn health(harness: &dyn Harness) -> Result<(), Failure> {
    let health = Session::open(harness).await?.call("system.health", json!({})).await?;
    let version = health["api_version"].as_str().unwrap_or_default();
    check(version.starts_with("1."), || format!("no api_version 1.x: {health}"))?;
    for member in ["status", "version", "uptime_secs", "timestamp"] {
        check(health.get(member).is_some(), || format!("no {member}: {health}"))?;
    }
    Ok(())
}

async fn discovery(harness: &dyn Harness) -> Result<(), Failure> {
    let document = Session::open(harness).await?.call("rpc.discover", json!({})).await?;
    let methods = document["methods"].as_array().ok_or_else(|| failure("no methods"))?;
    for name in ["system.health", "agent.spawn", "event.subscribe", "event.read"] {
        let listed = methods.iter().any(|method| method["name"] == name);
        check(listed, || format!("{name} is not in the document"))?;
    }
    Ok(())
}

/// Calls what must fail with `kind`, and gives the error's data.
async fn refused(
    harness: &dyn Harness,
    method: &str,
    params: Value,
    kind: &str,
) -> Result<Value, Failure> {
    let answered = Session::open(harness).await?.try_call(method, params).await?;
    let Err(error) = answered else { return Err(failure(format!("{method} did not fail"))) };
    let data = &error["data"];
    check(data["kind"] == kind, || format!("not {kind}: {error}"))?;
    check(data["retryable"].is_boolean(), || format!("not told whether to retry: {error}"))?;
    check(error["message"].is_string(), || format!("no message: {error}"))?;
    Ok(data.clone())
}

async fn unknown_parameter(harness: &dyn Harness) -> Result<(), Failure> {
    let params = json!({"agent_id": "a", "colour": 1});
    let data = refused(harness, "agent.get", params, "invalid_params").await?;
    check(data["member"] == "colour", || format!("the member is not named: {data}"))
}

async fn wrong_type(harness: &dyn Harness) -> Result<(), Failure> {
    let data = refused(harness, "agent.get", json!({"agent_id": 7}), "invalid_params").await?;
    let path = data["path"].as_str().unwrap_or_default();
    check(path.contains("agent_id"), || format!("the path is not told: {data}"))
}

async fn unknown_agent(harness: &dyn Harness) -> Result<(), Failure> {
    let params = json!({"agent_id": "nobody-of-this-name"});
    refused(harness, "agent.get", params, "agent_not_found").await.map(drop)
}

async fn unknown_method(harness: &dyn Harness) -> Result<(), Failure> {
    refused(harness, "agent.fly", json!({}), "method_not_found").await.map(drop)
}

/// A key of the store that no other case uses.
fn key(of: &str) -> String {
    format!("conformance/{of}/{}", uuid::Uuid::now_v7())
}

async fn conflict(harness: &dyn Harness) -> Result<(), Failure> {
    let key = key("conflict");
    let params = json!({"key": key, "value": 1});
    Session::open(harness).await?.call("state.put", params).await?;
    let params = json!({"key": key, "value": 2, "expected_version": 77_777});
    let data = refused(harness, "state.put", params, "conflict").await?;
    check(data["reason"] == "version_mismatch", || format!("not told which: {data}"))
}

async fn notification(harness: &dyn Harness) -> Result<(), Failure> {
    let key = key("notification");
    let mut session = Session::open(harness).await?;
    let params = json!({"key": key, "value": [1, "two"]});
    let put = json!({"jsonrpc": "2.0", "method": "state.put", "params": params});
    let answer = session.tell(put.to_string()).await?;
    check(answer.is_none(), || "a notification was answered".into())?;
    // It was not waited for, so it may take a moment.
    for _ in 0..100 {
        let state = session.call("state.query", json!({"key": key})).await?;
        if state["state"][&key] == json!([1, "two"]) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err(failure("it had no effect"))
}

/// Starts an agent; the caller kills it.
pub(super) async fn spawn(harness: &dyn Harness, session: &mut Session) -> Result<String, Failure> {
    let spawned = session.call("agent.spawn", harness.agent()).await?;
    let id = spawned["agent_id"].as_str().ok_or_else(|| failure(format!("no id: {spawned}")))?;
    Ok(id.to_owned())
}

pub(super) async fn kill(session: &mut Session, agent: &str) -> Result<Value, Failure> {
    session.call("agent.kill", json!({"agent_id": agent, "force": true})).await
}

async fn life(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = spawn(harness, &mut session).await?;
    let listed = session.call("agent.list", json!({"limit": 1000})).await?;
    let entries = listed["agents"].as_array().ok_or_else(|| failure("no agents"))?;
    let found = entries.iter().any(|entry| entry["id"] == agent.as_str());
    check(found, || "what was started is not listed".into())?;
    let killed = kill(&mut session, &agent).await?;
    check(killed["status"] == "killed", || format!("not killed: {killed}"))?;
    let shown = session.call("agent.get", json!({"agent_id": agent})).await?;
    check(shown["status"] == "killed", || format!("still {}", shown["status"]))
}

async fn same_key(harness: &dyn Harness) -> Result<(), Failure> {
    let mut params = harness.agent();
    params["idempotency_key"] = key("same").into();
    let first = Session::open(harness).await?.call("agent.spawn", params.clone()).await?;
    let mut session = Session::open(harness).await?;
    let second = session.call("agent.spawn", params.clone()).await?;
    let agent = first["agent_id"].as_str().unwrap_or_default();
    kill(&mut session, agent).await?;
    check(first["agent_id"] == second["agent_id"], || format!("{first} and {second}"))?;
    params["name"] = "another-name".into();
    let data = refused(harness, "agent.spawn", params, "conflict").await?;
    check(data["reason"] == "idempotency_mismatch", || format!("not told which: {data}"))
}

/// A call that waits long enough for others to be answered before it.
fn long_wait() -> Value {
    json!({"topics": ["agent/conformance-never/"], "after": "now", "wait_ms": 1500})
}

async fn concurrent(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut waiting, mut other) = (Session::open(harness).await?, Session::open(harness).await?);
    let begun = tokio::time::Instant::now();
    let params = json!({"topics": ["system"], "after": "now", "wait_ms": 1500});
    let wait = waiting.call("event.read", params);
    let quick = async {
        let health = other.call("system.health", json!({})).await;
        (health, begun.elapsed())
    };
    let (waited, (health, elapsed)) = join(wait, quick).await;
    waited?;
    health?;
    check(elapsed < begun.elapsed(), || "health waited for the call that waits".into())
}

async fn pipelined(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let mut expected = BTreeSet::new();
    for _ in 0..64 {
        expected.insert(duplex.begin("system.health", json!({})).await?);
    }
    for _ in 0..64 {
        let answer = duplex.answer().await?;
        outcome(&answer)?.map_err(|error| failure(format!("refused: {error}")))?;
        let id = id_of(&answer).ok_or_else(|| failure("an answer without id"))?;
        check(expected.remove(&id), || format!("{id} was answered twice or never asked"))?;
    }
    Ok(())
}

async fn out_of_order(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let mut params = long_wait();
    params["topics"] = json!(["system"]);
    let slow = duplex.begin("event.read", params).await?;
    let quick = duplex.begin("system.health", json!({})).await?;
    let (first, second) = (duplex.answer().await?, duplex.answer().await?);
    let order = (id_of(&first), id_of(&second));
    check(order == (Some(quick), Some(slow)), || "the quick call waited for the slow one".into())
}

async fn cancelled(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let params = json!({"topics": ["system"], "after": "now", "wait_ms": 30_000});
    let waiting = duplex.begin("event.read", params).await?;
    let cancel = duplex.begin("rpc.cancel", json!({"id": waiting})).await?;
    for _ in 0..2 {
        let answer = duplex.answer().await?;
        let heard = outcome(&answer)?;
        if id_of(&answer) == Some(cancel) {
            heard.map_err(|error| failure(format!("rpc.cancel answered {error}")))?;
        } else {
            let code = heard.err().map(|error| error["code"].clone());
            check(code == Some(json!(-32018)), || format!("not cancelled: {code:?}"))?;
        }
    }
    Ok(())
}

async fn two_connections(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut left, mut right) = (Session::open(harness).await?, Session::open(harness).await?);
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
    let (first, second) = (left.ask(message).await?, right.ask(message).await?);
    let both = (id_of(&first), id_of(&second));
    check(both == (Some(1), Some(1)), || format!("answered {both:?}"))
}

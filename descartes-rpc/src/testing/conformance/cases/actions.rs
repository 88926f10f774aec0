//! Actions: what an application registered, and what is always there.

use serde_json::{Value, json};

use super::{Case, agents, case, errors::refused};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check},
    session::Session,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("an action gives back what it was given", Nothing, echo),
        case!("an action that nobody registered is told with those that are", Nothing, unknown),
    ]
}

async fn act(session: &mut Session, agent: &str, action: &str) -> Result<Value, Failure> {
    let params = json!({"agent_id": agent, "action": action, "params": {"deep": [1, null, "é"]}});
    session.call("agent.action", params).await
}

async fn echo(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let echoed = act(&mut session, &agent, "echo").await?;
    check(echoed["data"] == json!({"deep": [1, null, "é"]}), || echoed.to_string())?;
    let pong = act(&mut session, &agent, "ping").await?;
    check(pong["data"]["pong"] == true, || pong.to_string())?;
    agents::kill(&mut session, &agent).await.map(drop)
}

async fn unknown(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"agent_id": agent, "action": "no-such-action"});
    let data = refused(&mut session, "agent.action", params, "not_found").await?;
    agents::kill(&mut session, &agent).await?;
    check(data["what"] == "action" && data["name"] == "no-such-action", || data.to_string())?;
    let listed = session.call("action.list", json!({})).await?;
    let listed = listed["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<_> = listed.iter().map(|action| &action["name"]).collect();
    check(data["available"] == json!(names), || format!("{data} {names:?}"))
}

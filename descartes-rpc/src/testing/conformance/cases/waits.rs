//! Calls that wait: they hold nobody up, and end when they should.

use std::collections::BTreeSet;

use futures_util::future::join;
use serde_json::{Value, json};

use super::{Case, agents, case, errors, quiet_topic};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::{Duplex, Session},
};

/// Waits of each of two sorts on one connection.
const WAITS: usize = 100;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("a wait ends with the first event", Nothing, first_event),
        case!("a wait for nothing ends with nothing", Nothing, nothing),
        case!("a wait for an agent ends with it", Nothing, agent_ends),
        case!("a wait for what has ended ends at once", Nothing, has_ended),
        case!("a waiting call is cancelled", Duplex, cancelled),
        case!("a wait is cancelled by its own id alone", Duplex, own_id),
        case!("a wait is not cancelled from another connection", Duplex, other_connection),
        case!("200 waits of one connection hold no call up", Duplex, two_hundred),
    ]
}

/// A wait that only ends when somebody ends it.
fn long_wait() -> Value {
    json!({"topics": [quiet_topic()], "after": "now", "wait_ms": 30_000})
}

async fn first_event(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut waiting, mut other) = (Session::open(harness).await?, Session::open(harness).await?);
    let agent = agents::spawn(harness, &mut other).await?;
    let topics = json!([format!("agent/{agent}/status")]);
    let before = other.call("event.read", json!({"topics": topics})).await?;
    let params = json!({"topics": topics, "after": before["cursor"], "wait_ms": 30_000});
    let wait = waiting.call("event.read", params);
    let (page, killed) = join(wait, agents::kill(&mut other, &agent)).await;
    killed?;
    let page = page?;
    let events = page["events"].as_array().map_or(0, Vec::len);
    check(events > 0, || format!("it ended without an event: {page}"))
}

async fn nothing(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let params = json!({"topics": [quiet_topic()], "wait_ms": 50});
    let page = session.call("event.read", params).await?;
    check(page["events"] == json!([]), || format!("events of nobody: {page}"))?;
    check(page["synced"] == true, || format!("not synced: {page}"))?;
    let again = json!({"topics": [quiet_topic()], "after": page["cursor"]});
    session.call("event.read", again).await.map(drop)
}

async fn agent_ends(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut waiting, mut other) = (Session::open(harness).await?, Session::open(harness).await?);
    let agent = agents::spawn(harness, &mut other).await?;
    let params = json!({"agent_id": agent, "timeout_secs": 60});
    let wait = waiting.call("agent.wait", params);
    let (waited, killed) = join(wait, agents::kill(&mut other, &agent)).await;
    killed?;
    let waited = waited?;
    check(waited["status"] == "killed", || format!("it ended with {waited}"))
}

async fn has_ended(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::finished(harness).await?;
    let params = json!({"agent_id": agent, "timeout_secs": 60});
    let waited = Session::open(harness).await?.call("agent.wait", params).await?;
    check(waited["status"] == "killed", || format!("it ended with {waited}"))
}

/// Cancels the wait `id` and gives whether there was one; its answer may come before or after.
async fn cancel(duplex: &mut Duplex, id: &Value) -> Result<u64, Failure> {
    duplex.begin("rpc.cancel", json!({"id": id})).await
}

/// Hears the answers to a wait that was cancelled and to the call that did so.
async fn hear_cancelled(duplex: &mut Duplex, (wait, cancel): (u64, u64)) -> Result<(), Failure> {
    let mut outcomes = duplex.outcomes(2).await?;
    let said = outcomes.remove(&cancel).ok_or_else(|| failure("rpc.cancel was not answered"))?;
    let said = said.map_err(|error| failure(format!("rpc.cancel answered {error}")))?;
    check(said["cancelled"] == true, || format!("it says {said}"))?;
    match outcomes.remove(&wait) {
        Some(Err(error)) => errors::whole(&error, "cancelled").map(drop),
        Some(Ok(result)) => Err(failure(format!("the wait ended with {result}"))),
        None => Err(failure("something else was answered instead of the wait")),
    }
}

async fn cancelled(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let wait = duplex.begin("event.read", long_wait()).await?;
    let cancel = cancel(&mut duplex, &wait.into()).await?;
    hear_cancelled(&mut duplex, (wait, cancel)).await
}

async fn own_id(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let wait = duplex.begin("event.read", long_wait()).await?;
    for other in [json!(wait.to_string()), json!(wait + 999), json!("x"), Value::Null] {
        let said = duplex.call("rpc.cancel", json!({"id": other})).await?;
        check(said["cancelled"] == false, || format!("{other} cancelled something"))?;
    }
    let cancel = cancel(&mut duplex, &wait.into()).await?;
    hear_cancelled(&mut duplex, (wait, cancel)).await
}

async fn other_connection(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let wait = duplex.begin("event.read", long_wait()).await?;
    duplex.call("system.health", json!({})).await?;
    let mut other = Session::open(harness).await?.duplex()?;
    let said = other.call("rpc.cancel", json!({"id": wait})).await?;
    check(said["cancelled"] == false, || "another connection's wait was cancelled".into())?;
    let cancel = cancel(&mut duplex, &wait.into()).await?;
    hear_cancelled(&mut duplex, (wait, cancel)).await
}

async fn two_hundred(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let mut duplex = session.duplex()?;
    let (mut for_agent, mut for_event) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..WAITS {
        let params = json!({"agent_id": agent, "timeout_secs": 60});
        for_agent.insert(duplex.begin("agent.wait", params).await?);
        for_event.insert(duplex.begin("event.read", long_wait()).await?);
    }
    duplex.call("system.health", json!({})).await?;
    let kill = duplex.begin("agent.kill", json!({"agent_id": agent, "force": true})).await?;
    for_agent.insert(kill);
    for (id, outcome) in duplex.outcomes(WAITS + 1).await? {
        check(for_agent.remove(&id), || format!("{id} was answered, and nothing was to be told"))?;
        let ended = outcome.map_err(|error| failure(format!("{id} answered {error}")))?;
        check(ended["status"] == "killed", || format!("{id} answered {ended}"))?;
    }
    for id in &for_event {
        let cancel = cancel(&mut duplex, &(*id).into()).await?;
        hear_cancelled(&mut duplex, (*id, cancel)).await?;
    }
    Ok(())
}

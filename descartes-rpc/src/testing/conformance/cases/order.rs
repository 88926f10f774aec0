//! What one connection does to one agent takes effect in the order sent.

use serde_json::{Value, json};

use super::{Case, agents, case};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::Session,
};

/// Calls of one case: fewer than one connection may have at work.
const CALLS: usize = 40;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("calls sent without waiting take effect in their order", Duplex, calls),
        case!("notifications and calls take effect in one order", Duplex, notifications),
        case!("the calls of a batch take effect in the order of its array", Nothing, batch),
        case!("what is written is there in the order of the answers", Nothing, one_by_one),
    ]
}

fn line(number: usize) -> String {
    format!("order {number}\n")
}

/// A call that writes one of the lines.
fn writing(agent: &str, number: usize, id: Option<usize>) -> Value {
    let params = json!({"agent_id": agent, "text": line(number)});
    let mut call = json!({"jsonrpc": "2.0", "method": "agent.write_stdin", "params": params});
    if let Some(id) = id {
        call["id"] = id.into();
    }
    call
}

/// Reads what the agent said to all lines, and ends it; they must be there in their order.
async fn said_in_order(harness: &dyn Harness, agent: &str) -> Result<(), Failure> {
    let mut feed = agents::output_of(harness, agent).await?;
    let mut output = agents::Output::default();
    // Whichever comes last: all must be there before anything is said about their order.
    let text = loop {
        let text = String::from_utf8_lossy(&output.bytes).into_owned();
        if text.matches("order ").count() == CALLS && text.ends_with('\n') {
            break text;
        }
        let (method, params) = feed.said().await?;
        match method.as_str() {
            "event.next" => output.take(&params["event"])?,
            "event.synced" => {}
            _ => return Err(failure(format!("unexpected {method} {params}"))),
        }
    };
    agents::kill(&mut Session::open(harness).await?, agent).await?;
    let mut rest = text.as_str();
    for number in 0..CALLS {
        let at = rest.find(&line(number));
        let at = at.ok_or_else(|| failure(format!("line {number} comes too early: {text}")))?;
        rest = &rest[at + line(number).len()..];
    }
    Ok(())
}

async fn calls(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let mut duplex = session.duplex()?;
    for number in 0..CALLS {
        duplex.send(writing(&agent, number, Some(number)).to_string()).await?;
    }
    for (id, outcome) in duplex.outcomes(CALLS).await? {
        outcome.map_err(|error| failure(format!("call {id} answered {error}")))?;
    }
    said_in_order(harness, &agent).await
}

async fn notifications(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let mut duplex = session.duplex()?;
    for number in 0..CALLS {
        let id = (number % 2 == 0).then_some(number);
        duplex.send(writing(&agent, number, id).to_string()).await?;
    }
    for (id, outcome) in duplex.outcomes(CALLS / 2).await? {
        outcome.map_err(|error| failure(format!("call {id} answered {error}")))?;
    }
    said_in_order(harness, &agent).await
}

async fn batch(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let calls: Vec<_> = (0..CALLS).map(|number| writing(&agent, number, Some(number))).collect();
    let answer = session.ask(Value::from(calls).to_string()).await?;
    let answers: Vec<Value> = serde_json::from_slice(&answer)
        .map_err(|error| failure(format!("not the answers to a batch: {error}")))?;
    check(answers.len() == CALLS, || format!("{} answers", answers.len()))?;
    said_in_order(harness, &agent).await
}

async fn one_by_one(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    for number in 0..CALLS {
        agents::write(&mut session, &agent, &line(number)).await?;
    }
    said_in_order(harness, &agent).await
}

//! Bounds: what is just within one is taken, what is beyond is refused, and the connection goes on.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Case, case, errors, quiet_topic};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure, outcome, summary},
    session::{Session, id_of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("a message of just the limit is taken", Nothing, just_fits),
        case!("a message of one byte too many", Nothing, one_too_many),
        case!(
            "a message of four times the limit is refused and the next is taken",
            Nothing,
            four_times
        ),
        case!("a batch that is too long is refused as a whole", Nothing, long_batch),
        case!("a call behind one that is too long is answered", Duplex, behind),
        case!("a subscription too many is refused until one ends", Duplex, subscriptions),
    ]
}

/// A call of exactly `length` bytes.
fn call_of(length: usize) -> Bytes {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"system.health","trace":""}"#;
    let filler = "x".repeat(length.saturating_sub(call.len()));
    call.replace(r#""trace":"""#, &format!(r#""trace":"{filler}""#)).into()
}

/// Sends a message, looks at its answer, and whether the session still works.
async fn answered(harness: &dyn Harness, message: Bytes, expected: &str) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let heard = summary(Some(&session.ask(message).await?))?;
    check(heard == expected, || format!("answered {heard} instead of {expected}"))?;
    session.call("system.health", json!({})).await.map(drop)
}

async fn just_fits(harness: &dyn Harness) -> Result<(), Failure> {
    answered(harness, call_of(harness.request_limit()), "ok 1").await
}

async fn one_too_many(harness: &dyn Harness) -> Result<(), Failure> {
    answered(harness, call_of(harness.request_limit() + 1), "-32011 null").await
}

async fn four_times(harness: &dyn Harness) -> Result<(), Failure> {
    answered(harness, call_of(harness.request_limit() * 4), "-32011 null").await
}

async fn long_batch(harness: &dyn Harness) -> Result<(), Failure> {
    let call = call_of(harness.request_limit() / 2);
    let batch = [b"[", &call[..], b",", &call[..], b"]"].concat();
    answered(harness, batch.into(), "-32011 null").await
}

async fn behind(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    duplex.send(call_of(harness.request_limit() + 1)).await?;
    let health = duplex.begin("system.health", json!({})).await?;
    let (first, second) = (duplex.answer().await?, duplex.answer().await?);
    let (refused, answered) =
        if id_of(&first) == Some(health) { (second, first) } else { (first, second) };
    check(id_of(&answered) == Some(health), || "the call behind it was not answered".into())?;
    let Err(error) = outcome(&refused)? else { return Err(failure("it was taken")) };
    let data = errors::whole(&error, "resource_exhausted")?;
    check(data["max"] == harness.request_limit(), || format!("not told the bound: {data}"))?;
    check(data["limit"].is_string(), || format!("not told which bound: {data}"))
}

/// More subscriptions than any connection is given.
const MANY: usize = 10_000;

async fn subscriptions(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let params = json!({"topics": [quiet_topic()], "after": "now"});
    let mut open = Vec::new();
    let error = loop {
        duplex.begin("event.subscribe", params.clone()).await?;
        match outcome(&duplex.answer().await?)? {
            Ok(opened) => open.push(opened["subscription_id"].clone()),
            Err(error) => break error,
        }
        check(open.len() < MANY, || "there is no bound".into())?;
    };
    let data = errors::whole(&error, "resource_exhausted")?;
    check(data["max"] == open.len(), || format!("{} were given: {data}", open.len()))?;
    let first = json!({"subscription_id": open.first().unwrap_or(&Value::Null)});
    duplex.call("event.unsubscribe", first).await?;
    // Its place is free when its last word has been said.
    loop {
        let said = duplex.notification().await?.ok_or_else(|| failure("the connection ended"))?;
        if said["method"] == "event.ended" {
            break;
        }
    }
    duplex.call("event.subscribe", params).await.map(drop)
}

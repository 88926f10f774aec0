//! Many calls at once: each is answered once, with what is its own.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use serde_json::{Value, json};

use super::{Case, calls, case, fresh_key, quiet_topic};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure, outcome, summary},
    session::{Session, call, id_of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("64 calls sent at once are answered each", Nothing, pipelined),
        case!("each of many answers is the one to its call", Nothing, own_answers),
        case!("calls under way are told apart by any sort of id", Nothing, sorts_of_ids),
        case!("32 connections are served at once", Nothing, many_connections),
        case!("two connections do not share identifiers", Nothing, two_connections),
        case!("a batch is one array, whole when its slowest is done", Nothing, slow_batch),
        case!("a call that waits delays no other", Nothing, waiting_elsewhere),
        case!("answers come as they are ready", Duplex, out_of_order),
        case!("two calls of one id are both answered", Duplex, same_id),
        case!("a batch and calls beside it are answered each", Duplex, batch_beside),
    ]
}

async fn pipelined(harness: &dyn Harness) -> Result<(), Failure> {
    let messages = (0..64).map(|id| call(id, "system.health", &json!({}))).collect();
    let answers = Session::open(harness).await?.at_once(messages).await?;
    let mut expected: BTreeSet<u64> = (0..64).collect();
    for answer in answers {
        outcome(&answer)?.map_err(|error| failure(format!("refused: {error}")))?;
        let id = id_of(&answer).ok_or_else(|| failure("an answer without id"))?;
        check(expected.remove(&id), || format!("{id} was answered twice or never asked"))?;
    }
    Ok(())
}

async fn own_answers(harness: &dyn Harness) -> Result<(), Failure> {
    let prefix = fresh_key("own");
    let key = |number: u64| format!("{prefix}/{number}");
    let mut session = Session::open(harness).await?;
    let put = |number| call(number, "state.put", &json!({"key": key(number), "value": number}));
    session.at_once((0..16).map(put).collect()).await?;
    let query = |number| call(number, "state.query", &json!({"key": key(number % 16)}));
    for answer in session.at_once((0..64).map(query).collect()).await? {
        let id = id_of(&answer).ok_or_else(|| failure("an answer without id"))?;
        let view = outcome(&answer)?.map_err(|error| failure(format!("refused: {error}")))?;
        check(view["state"][key(id % 16)] == id % 16, || format!("call {id} got {view}"))?;
    }
    Ok(())
}

async fn sorts_of_ids(harness: &dyn Harness) -> Result<(), Failure> {
    const IDS: [&str; 9] = [
        "1",
        r#""1""#,
        "-1",
        "0",
        r#""""#,
        "null",
        "18446744073709551617",
        r#""größe 🦀""#,
        r#""a\u0000b""#,
    ];
    let message = |id| {
        // Some wait, so that all are under way when the others are answered.
        let params = json!({"topics": [quiet_topic()], "after": "now", "wait_ms": 100});
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"event.read","params":{params}}}"#)
    };
    let messages = IDS.iter().map(|id| Bytes::from(message(id))).collect();
    let answers = Session::open(harness).await?.at_once(messages).await?;
    let heard = answers.iter().map(|answer| summary(Some(answer)));
    let mut heard = heard.collect::<Result<Vec<_>, _>>()?;
    let mut expected = IDS.map(|id| format!("ok {id}"));
    heard.sort();
    expected.sort();
    check(heard == expected, || format!("answered {heard:?} instead of {expected:?}"))
}

async fn many_connections(harness: &dyn Harness) -> Result<(), Failure> {
    let prefix = fresh_key("connections");
    let sessions = try_join_all((0..32).map(|_| Session::open(harness))).await?;
    try_join_all(sessions.into_iter().enumerate().map(|(number, session)| {
        let key = format!("{prefix}/{number}");
        busy(session, key)
    }))
    .await?;
    let mut session = Session::open(harness).await?;
    calls::keys_of(&mut session, &prefix, 32).await.map(drop)
}

/// One of several clients: writes and reads back what is its own.
async fn busy(mut session: Session, key: String) -> Result<(), Failure> {
    for round in 0..4 {
        session.call("state.put", json!({"key": key, "value": round})).await?;
        let view = session.call("state.query", json!({"key": key})).await?;
        check(view["state"][&key] == round, || format!("not what was written: {view}"))?;
    }
    Ok(())
}

async fn two_connections(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut left, mut right) = (Session::open(harness).await?, Session::open(harness).await?);
    let health = || call(1, "system.health", &json!({}));
    let (first, second) = (left.ask(health()).await?, right.ask(health()).await?);
    let both = (id_of(&first), id_of(&second));
    check(both == (Some(1), Some(1)), || format!("answered {both:?}"))
}

/// A call that waits a while for what never comes: longer than what is quick takes on a machine where
/// many tests run.
fn short_wait() -> Value {
    json!({"topics": [quiet_topic()], "after": "now", "wait_ms": 2000})
}

async fn slow_batch(harness: &dyn Harness) -> Result<(), Failure> {
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "event.read", "params": short_wait()},
        {"jsonrpc": "2.0", "id": 2, "method": "system.health"},
        {"jsonrpc": "2.0", "id": 3, "method": "no.such"},
    ]);
    let answer = Session::open(harness).await?.ask(batch.to_string()).await?;
    let heard = summary(Some(&answer))?;
    check(heard == "[-32601 3; ok 1; ok 2]", || format!("answered {heard}"))
}

async fn waiting_elsewhere(harness: &dyn Harness) -> Result<(), Failure> {
    let (mut waiting, mut other) = (Session::open(harness).await?, Session::open(harness).await?);
    let begun = tokio::time::Instant::now();
    let wait = waiting.call("event.read", short_wait());
    let quick = async {
        let health = other.call("system.health", json!({})).await;
        (health, begun.elapsed())
    };
    let (waited, (health, elapsed)) = join(wait, quick).await;
    waited?;
    health?;
    check(elapsed < begun.elapsed(), || "health waited for the call that waits".into())
}

/// The answers to come are those to these calls, in this order.
async fn in_this_order(
    duplex: &mut crate::testing::conformance::session::Duplex,
    ids: &[u64],
) -> Result<(), Failure> {
    for expected in ids {
        let answer = duplex.answer().await?;
        let heard = id_of(&answer);
        check(heard == Some(*expected), || format!("{heard:?} was answered before {expected}"))?;
        outcome(&answer)?.map_err(|error| failure(format!("refused: {error}")))?;
    }
    Ok(())
}

async fn out_of_order(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let slow = duplex.begin("event.read", short_wait()).await?;
    let quick = duplex.begin("system.health", json!({})).await?;
    in_this_order(&mut duplex, &[quick, slow]).await
}

async fn same_id(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    duplex.send(call(7, "event.read", &short_wait())).await?;
    duplex.send(call(7, "system.health", &json!({}))).await?;
    let (first, second) = (duplex.answer().await?, duplex.answer().await?);
    let both = (id_of(&first), id_of(&second));
    check(both == (Some(7), Some(7)), || format!("answered {both:?}"))?;
    let (first, second) = (outcome(&first)?, outcome(&second)?);
    let health = first.is_ok_and(|result| result["api_version"].is_string());
    let page = second.is_ok_and(|result| result["events"].is_array());
    check(health && page, || "one of them was answered with something else".into())
}

async fn batch_beside(harness: &dyn Harness) -> Result<(), Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    let slow = duplex.begin("event.read", short_wait()).await?;
    let batch: Vec<_> =
        (1..=3).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "system.health"})).collect();
    duplex.send(Value::from(batch).to_string()).await?;
    let quick = duplex.begin("system.health", json!({})).await?;
    let mut heard = BTreeMap::new();
    for place in 0..3 {
        let answer = duplex.answer().await?;
        heard.insert(summary(Some(&answer))?, place);
    }
    let expected = ["[ok 1; ok 2; ok 3]".to_owned(), format!("ok {quick}"), format!("ok {slow}")];
    for answer in &expected {
        check(heard.contains_key(answer), || format!("{answer} is not among {heard:?}"))?;
    }
    check(heard[&expected[2]] == 2, || "the batch waited for the call that waits".into())
}

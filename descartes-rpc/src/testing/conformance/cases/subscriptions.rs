//! Subscriptions: nothing missing, nothing twice, and an end with word.

use serde_json::{Value, json};

use super::{Case, Needs, calls, case};
use crate::testing::conformance::{
    Harness, Outcome,
    expect::{Failure, check, failure, outcome},
    session::{Feed, Session},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("history comes first, then word that it was all, then what is new", Nothing, live),
        case!(
            "whoever comes back with any cursor sees the rest and nothing twice",
            Nothing,
            resume
        ),
        case!("pages of events and a subscription say the same", Nothing, pages),
        case!("the cursor of another store is refused", Nothing, foreign),
        case!("a subscription ends when its reader asks", Duplex, unsubscribe),
        case!("calls are answered between notifications", Duplex, between),
        case!("two subscriptions of one connection are told apart", Duplex, two),
        shutdown(),
    ]
}

fn topic(agent: &str) -> Value {
    json!([format!("agent/{agent}/status")])
}

/// An agent that has been started and killed: a short, finished history.
async fn finished(harness: &dyn Harness) -> Result<String, Failure> {
    let mut session = Session::open(harness).await?;
    let agent = calls::spawn(harness, &mut session).await?;
    calls::kill(&mut session, &agent).await?;
    Ok(agent)
}

/// Everything that a feed says until it says `synced`.
async fn history(feed: &mut Feed) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    loop {
        let heard = feed.next().await?.ok_or_else(|| failure("the stream ended"))?;
        match heard["method"].as_str() {
            Some("event.next") => events.push(heard["params"]["event"].clone()),
            Some("event.synced") => break,
            _ => return Err(failure(format!("unexpected {heard}"))),
        }
    }
    in_order(&events)?;
    Ok(events)
}

/// `seq` grows, and offsets of one topic have no holes.
fn in_order(events: &[Value]) -> Result<(), Failure> {
    for pair in events.windows(2) {
        let (seq, next) = (pair[0]["seq"].as_u64(), pair[1]["seq"].as_u64());
        check(seq.is_some() && seq < next, || format!("seq {seq:?} before {next:?}"))?;
        if pair[0]["topic"] == pair[1]["topic"] {
            let (offset, next) = (pair[0]["offset"].as_u64(), pair[1]["offset"].as_u64());
            let following = offset.map(|offset| offset + 1);
            check(following == next, || format!("offset {offset:?} before {next:?}"))?;
        }
    }
    Ok(())
}

async fn live(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = calls::spawn(harness, &mut session).await?;
    let params = json!({"topics": topic(&agent), "after": "start"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let mut events = history(&mut feed).await?;
    let first = events.first().map(|event| event["type"].clone());
    check(first == Some("agent.spawned".into()), || format!("history begins with {first:?}"))?;
    calls::kill(&mut session, &agent).await?;
    loop {
        let params = feed.expect("event.next").await?;
        let event = params["event"].clone();
        events.push(event.clone());
        if event["type"] == "agent.exited" {
            break;
        }
    }
    in_order(&events)
}

async fn resume(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = finished(harness).await?;
    let subscribe = |after: Value| json!({"topics": topic(&agent), "after": after});
    let mut feed = Session::open(harness).await?.follow(subscribe("start".into())).await?;
    let all = history(&mut feed).await?;
    check(all.len() >= 2, || format!("a history of {} events", all.len()))?;
    let from_begin = subscribe(feed.opened["cursor"].clone());
    let mut again = Session::open(harness).await?.follow(from_begin).await?;
    let whole = history(&mut again).await?;
    check(whole == all, || "the cursor of the answer does not lead to the same".into())?;
    for (index, event) in all.iter().enumerate() {
        let mut feed =
            Session::open(harness).await?.follow(subscribe(event["cursor"].clone())).await?;
        let rest = history(&mut feed).await?;
        check(rest == all[index + 1..], || {
            format!(
                "{} instead of {} events after event {index}",
                rest.len(),
                all.len() - index - 1
            )
        })?;
    }
    Ok(())
}

async fn pages(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = finished(harness).await?;
    let params = json!({"topics": topic(&agent)});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let all = history(&mut feed).await?;
    let (mut read, mut after) = (Vec::new(), Value::from("start"));
    let mut session = Session::open(harness).await?;
    for _ in 0..=all.len() {
        let params = json!({"topics": topic(&agent), "after": after, "limit": 1});
        let mut page = session.call("event.read", params).await?;
        if let Some(events) = page["events"].as_array_mut() {
            read.append(events);
        }
        after = page["cursor"].clone();
        if page["synced"] == true {
            break;
        }
    }
    check(read == all, || format!("{} events by pages, {} by subscription", read.len(), all.len()))
}

async fn foreign(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let page = session.call("event.read", json!({"topics": ["system"]})).await?;
    let ours = page["cursor"].as_str().ok_or_else(|| failure("no cursor"))?;
    // Another first character is another store, or no cursor at all.
    let other = if ours.starts_with('0') { '1' } else { '0' };
    let foreign = format!("{other}{}", ours.get(1..).unwrap_or_default());
    let params = json!({"topics": ["system"], "after": foreign});
    let refused = session.try_call("event.read", params).await?;
    let kind = refused.err().map(|error| error["data"]["kind"].clone()).unwrap_or_default();
    check(kind == "conflict" || kind == "invalid_params", || format!("answered {kind}"))
}

async fn unsubscribe(harness: &dyn Harness) -> Result<(), Failure> {
    let params = json!({"topics": ["system"], "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    let id = feed.opened["subscription_id"].clone();
    let duplex = feed.duplex()?;
    duplex.begin("event.unsubscribe", json!({"subscription_id": id})).await?;
    let answer = outcome(&duplex.answer().await?)?;
    answer.map_err(|error| failure(format!("unsubscribing answered {error}")))?;
    let ended = feed.expect("event.ended").await?;
    check(ended["reason"] == "unsubscribed", || format!("ended with {ended}"))?;
    check(ended["cursor"].is_string(), || format!("no cursor to come back with: {ended}"))
}

async fn between(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = finished(harness).await?;
    let params = json!({"topics": topic(&agent)});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let duplex = feed.duplex()?;
    duplex.begin("system.health", json!({})).await?;
    let answer = outcome(&duplex.answer().await?)?;
    answer.map_err(|error| failure(format!("answered {error}")))?;
    history(&mut feed).await.map(drop)
}

async fn two(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = finished(harness).await?;
    let params = json!({"topics": topic(&agent)});
    let mut feed = Session::open(harness).await?.follow(params.clone()).await?;
    let duplex = feed.duplex()?;
    duplex.begin("event.subscribe", params).await?;
    let second = outcome(&duplex.answer().await?)?;
    let second = second.map_err(|error| failure(format!("the second was refused: {error}")))?;
    let ids = [feed.opened["subscription_id"].clone(), second["subscription_id"].clone()];
    check(ids[0] != ids[1], || "both have one name".into())?;
    let mut counts = [(0, false), (0, false)];
    while counts.iter().any(|(_, synced)| !synced) {
        let heard = feed.next().await?.ok_or_else(|| failure("the stream ended"))?;
        let of = ids.iter().position(|id| *id == heard["params"]["subscription_id"]);
        let of = of.ok_or_else(|| failure(format!("of no subscription: {heard}")))?;
        match heard["method"].as_str() {
            Some("event.next") => counts[of].0 += 1,
            _ => counts[of].1 = true,
        }
    }
    check(counts[0] == counts[1], || format!("they saw different histories: {counts:?}"))
}

fn shutdown() -> Case {
    Case {
        name: "on shutdown a subscription ends with word".to_owned(),
        needs: Needs::Nothing,
        run: Box::new(|harness| Box::pin(ends_with_word(harness))),
    }
}

async fn ends_with_word(harness: &dyn Harness) -> Result<Outcome, Failure> {
    let params = json!({"topics": ["agent/"], "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    if !harness.shut_down().await {
        return Ok(Outcome::Skipped("this harness has no way to shut down"));
    }
    loop {
        let heard = feed.next().await?.ok_or_else(|| failure("it ended without word"))?;
        if heard["method"] == "event.ended" {
            let reason = &heard["params"]["reason"];
            check(reason == "shutdown", || format!("ended with {reason}"))?;
            return Ok(Outcome::Passed);
        }
    }
}

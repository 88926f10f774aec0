//! Subscriptions while things happen: told apart, in order, and ended when asked.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Case, agents, case, errors, history::history, quiet_topic};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure, outcome},
    session::{Feed, Session},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("history comes first, then word that it was all, then what is new", Nothing, live),
        case!("whoever begins now sees only what is new", Nothing, from_now),
        case!("a topic may name the agent", Nothing, by_name),
        case!("four followers see the same", Nothing, four),
        case!("a subscription that cannot be is refused", Nothing, refused),
        case!("a subscription ends when its reader asks", Duplex, unsubscribe),
        case!("calls are answered between notifications", Duplex, between),
        case!("two subscriptions of one connection are told apart", Duplex, two),
        case!("subscriptions opened at once are each answered first", Duplex, opened_at_once),
        case!("one subscription of two ends alone", Duplex, one_of_two),
        case!("a subscription is not ended from another connection", Duplex, other_connection),
        case!("a connection hears only of its own subscriptions", Duplex, own_events),
    ]
}

fn status_of(agent: &str) -> Value {
    json!([format!("agent/{agent}/status")])
}

/// Reads on until the agent has ended; nothing but events may come.
async fn to_its_end(feed: &mut Feed) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    loop {
        let event = feed.expect("event.next").await?["event"].take();
        let last = event["type"] == "agent.exited";
        events.push(event);
        if last {
            return super::history::in_order(&events).map(|()| events);
        }
    }
}

async fn live(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "start"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let mut events = history(&mut feed).await?;
    let first = events.first().map(|event| event["type"].clone());
    check(first == Some("agent.spawned".into()), || format!("history begins with {first:?}"))?;
    agents::kill(&mut session, &agent).await?;
    events.extend(to_its_end(&mut feed).await?);
    super::history::in_order(&events)
}

async fn from_now(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let old = history(&mut feed).await?;
    check(old.is_empty(), || format!("{} events that are not new", old.len()))?;
    agents::kill(&mut session, &agent).await?;
    let events = to_its_end(&mut feed).await?;
    let spawned = events.iter().any(|event| event["type"] == "agent.spawned");
    check(!spawned, || "what had happened before was told as new".into())
}

async fn by_name(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let shown = session.call("agent.get", json!({"agent_id": agent})).await?;
    let name = shown["name"].as_str().ok_or_else(|| failure(format!("no name: {shown}")))?;
    let params = json!({"topics": [format!("agent/{name}/status")]});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let events = history(&mut feed).await?;
    agents::kill(&mut session, &agent).await?;
    let topic = status_of(&agent)[0].clone();
    let of_it = !events.is_empty() && events.iter().all(|event| event["topic"] == topic);
    check(of_it, || format!("not the events of {topic}: {events:?}"))
}

async fn four(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "now"});
    let open = || async { Session::open(harness).await?.follow(params.clone()).await };
    let mut feeds = try_join_all((0..4).map(|_| open())).await?;
    for feed in &mut feeds {
        history(feed).await?;
    }
    agents::kill(&mut session, &agent).await?;
    let told = try_join_all(feeds.iter_mut().map(to_its_end)).await?;
    check(told.iter().all(|events| *events == told[0]), || "they saw different events".into())
}

async fn refused(harness: &dyn Harness) -> Result<(), Failure> {
    let rows = [
        (json!({"topics": []}), "invalid_params"),
        (json!({"topics": [""]}), "invalid_params"),
        (json!({"topics": "system"}), "invalid_params"),
        (json!({"topics": ["system"], "after": "yesterday"}), "invalid_params"),
        (json!({"topics": ["agent/nobody-of-this-name/status"]}), "agent_not_found"),
    ];
    for (params, kind) in rows {
        let answered = Session::open(harness).await?.try_follow(params.clone()).await?;
        let Err(error) = answered else { return Err(failure(format!("{params} was taken"))) };
        errors::whole(&error, kind)?;
    }
    Ok(())
}

/// Ends the subscription `id`, and gives whether there was one.
async fn end(feed: &mut Feed, id: &Value) -> Result<Value, Failure> {
    let said = feed.duplex()?.call("event.unsubscribe", json!({"subscription_id": id})).await?;
    Ok(said["unsubscribed"].clone())
}

async fn unsubscribe(harness: &dyn Harness) -> Result<(), Failure> {
    let params = json!({"topics": [quiet_topic()], "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    let id = feed.opened["subscription_id"].clone();
    let said = end(&mut feed, &id).await?;
    check(said == true, || format!("unsubscribing says {said}"))?;
    let ended = feed.expect("event.ended").await?;
    check(ended["reason"] == "unsubscribed", || format!("ended with {ended}"))?;
    check(ended["cursor"].is_string(), || format!("no cursor to come back with: {ended}"))?;
    let said = end(&mut feed, &id).await?;
    check(said == false, || format!("what has ended was ended again: {said}"))?;
    let more = !feed.duplex()?.heard_nothing();
    check(!more, || "something was said after the last word".into())
}

async fn between(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::finished(harness).await?;
    let params = json!({"topics": status_of(&agent)});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.duplex()?.call("system.health", json!({})).await?;
    history(&mut feed).await.map(drop)
}

/// Opens a second subscription on the connection of a first one, and gives its name.
async fn second(feed: &mut Feed, params: Value) -> Result<Value, Failure> {
    let duplex = feed.duplex()?;
    duplex.begin("event.subscribe", params).await?;
    let opened = outcome(&duplex.answer().await?)?;
    let opened = opened.map_err(|error| failure(format!("the second was refused: {error}")))?;
    Ok(opened["subscription_id"].clone())
}

async fn two(harness: &dyn Harness) -> Result<(), Failure> {
    let (agent, other) = (agents::finished(harness).await?, agents::finished(harness).await?);
    let params = json!({"topics": status_of(&agent)});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let second = second(&mut feed, json!({"topics": status_of(&other)})).await?;
    let ids = [feed.opened["subscription_id"].clone(), second];
    check(ids[0] != ids[1], || "both have one name".into())?;
    let topics = [status_of(&agent)[0].clone(), status_of(&other)[0].clone()];
    let mut synced = [false; 2];
    while synced.contains(&false) {
        let heard = feed.next().await?.ok_or_else(|| failure("the stream ended"))?;
        let of = ids.iter().position(|id| *id == heard["params"]["subscription_id"]);
        let of = of.ok_or_else(|| failure(format!("of no subscription: {heard}")))?;
        check(!synced[of], || format!("after all had been said: {heard}"))?;
        if heard["method"] == "event.synced" {
            synced[of] = true;
        } else {
            let topic = &heard["params"]["event"]["topic"];
            check(*topic == topics[of], || format!("of the other subscription: {heard}"))?;
        }
    }
    Ok(())
}

async fn opened_at_once(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::finished(harness).await?;
    let mut duplex = Session::open(harness).await?.duplex()?;
    let mut asked = BTreeSet::new();
    for _ in 0..8 {
        let params = json!({"topics": status_of(&agent)});
        asked.insert(Some(duplex.begin("event.subscribe", params).await?));
    }
    // By name, whether all history has been said.
    let mut open = BTreeMap::new();
    while !asked.is_empty() || open.values().any(|synced| !synced) {
        let frame = duplex.frame().await?.ok_or_else(|| failure("the connection ended"))?;
        let heard: Value = serde_json::from_slice(&frame).unwrap_or_default();
        if heard.get("method").is_none() {
            check(asked.remove(&heard["id"].as_u64()), || format!("nobody asked for {heard}"))?;
            open.insert(heard["result"]["subscription_id"].to_string(), false);
            continue;
        }
        let of = heard["params"]["subscription_id"].to_string();
        let synced = open.get_mut(&of).ok_or_else(|| failure(format!("unanswered: {heard}")))?;
        check(!*synced, || format!("after all had been said: {heard}"))?;
        *synced = heard["method"] == "event.synced";
    }
    Ok(())
}

async fn one_of_two(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let second = second(&mut feed, json!({"topics": [quiet_topic()], "after": "now"})).await?;
    let said = end(&mut feed, &second).await?;
    check(said == true, || format!("unsubscribing says {said}"))?;
    agents::kill(&mut session, &agent).await?;
    let (mut exited, mut ended) = (false, false);
    while !(exited && ended) {
        let heard = feed.next().await?.ok_or_else(|| failure("the stream ended"))?;
        if heard["method"] == "event.ended" {
            let of = &heard["params"]["subscription_id"];
            check(*of == second, || format!("another one ended: {heard}"))?;
            ended = true;
        }
        exited |= heard["params"]["event"]["type"] == "agent.exited";
    }
    Ok(())
}

async fn other_connection(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    let params = json!({"subscription_id": feed.opened["subscription_id"]});
    let said = session.call("event.unsubscribe", params).await?;
    check(said["unsubscribed"] == false, || format!("another's subscription: {said}"))?;
    agents::kill(&mut session, &agent).await?;
    to_its_end(&mut feed).await.map(drop)
}

async fn own_events(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let mut deaf = Session::open(harness).await?;
    deaf.call("system.health", json!({})).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let params = json!({"topics": status_of(&agent), "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    agents::kill(&mut session, &agent).await?;
    to_its_end(&mut feed).await?;
    for session in [&mut session, &mut deaf] {
        session.call("system.health", json!({})).await?;
        session.expect_no_notifications()?;
    }
    Ok(())
}

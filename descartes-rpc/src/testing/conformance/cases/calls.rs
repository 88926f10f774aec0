//! Calls and what they give, one after the other.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Case, Needs, agents, case, fresh_key};
use crate::testing::conformance::{
    Harness, Link, Outcome,
    expect::{Failure, check, failure, outcome},
    session::{Session, call, id_of},
};
use futures_util::StreamExt;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("health says who it is", Nothing, health),
        case!("the document lists the methods", Nothing, discovery),
        case!("a notification has its effect", Nothing, notification),
        case!("an agent is started, listed and killed", Nothing, life),
        case!("an agent that has ended is killed once more", Nothing, killed_twice),
        case!("a page goes on where the last one ended", Nothing, lists),
        case!("text comes back as it was sent", Nothing, text),
        case!("numbers mean what they meant when they come back", Nothing, numbers),
        Case {
            name: "numbers come back as they were written".to_owned(),
            needs: Needs::Nothing,
            run: Box::new(|harness| Box::pin(spelling(harness))),
        },
        case!("white space inside a call breaks nothing", Nothing, white_space),
        case!("a stream of a call that is none is its answer", Exchange, no_stream),
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

/// How often the store is looked at for something that nobody announces, and the pause between.
const LOOKS: usize = 200;
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// Waits until the keys that begin with `prefix` are `expected` in number, and gives them.
pub(super) async fn keys_of(
    session: &mut Session,
    prefix: &str,
    expected: usize,
) -> Result<Value, Failure> {
    let mut found = 0;
    for _ in 0..LOOKS {
        let mut view = session.call("state.query", json!({"prefix": prefix})).await?;
        found = view["state"].as_object().map_or(0, serde_json::Map::len);
        if found >= expected {
            return Ok(view["state"].take());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(failure(format!("{found} of {expected} had an effect")))
}

async fn notification(harness: &dyn Harness) -> Result<(), Failure> {
    let key = fresh_key("notification");
    let mut session = Session::open(harness).await?;
    let params = json!({"key": key, "value": [1, "two"]});
    let put = json!({"jsonrpc": "2.0", "method": "state.put", "params": params});
    let answer = session.tell(put.to_string()).await?;
    check(answer.is_none(), || "a notification was answered".into())?;
    // It was not waited for, so it may take a moment.
    let state = keys_of(&mut session, &key, 1).await?;
    check(state[&key] == json!([1, "two"]), || format!("another effect: {state}"))
}

async fn life(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let listed = session.call("agent.list", json!({"limit": 1000})).await?;
    let entries = listed["agents"].as_array().ok_or_else(|| failure("no agents"))?;
    let found = entries.iter().any(|entry| entry["id"] == agent.as_str());
    check(found, || "what was started is not listed".into())?;
    let killed = agents::kill(&mut session, &agent).await?;
    check(killed["status"] == "killed", || format!("not killed: {killed}"))?;
    let shown = session.call("agent.get", json!({"agent_id": agent})).await?;
    check(shown["status"] == "killed", || format!("still {}", shown["status"]))
}

async fn killed_twice(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::finished(harness).await?;
    let again = agents::kill(&mut Session::open(harness).await?, &agent).await?;
    check(again["status"] == "killed", || format!("not killed: {again}"))
}

async fn lists(harness: &dyn Harness) -> Result<(), Failure> {
    let mut started = Vec::new();
    for _ in 0..3 {
        started.push(agents::finished(harness).await?);
    }
    let mut session = Session::open(harness).await?;
    let (mut seen, mut token) = (Vec::new(), None::<Value>);
    while !started.iter().all(|agent| seen.contains(agent)) {
        let mut params = json!({"status": "any", "limit": 1});
        if let Some(token) = token.take() {
            params["page_token"] = token;
        }
        let page = session.call("agent.list", params).await?;
        let entries = page["agents"].as_array().ok_or_else(|| failure("no agents"))?;
        check(entries.len() == 1, || format!("{} entries instead of 1", entries.len()))?;
        let id = entries[0]["id"].as_str().unwrap_or_default().to_owned();
        check(!seen.contains(&id), || format!("{id} is on two pages"))?;
        seen.push(id);
        token = page.get("next_page_token").cloned();
        check(token.is_some() || seen.len() >= 3, || "the pages end early".into())?;
    }
    Ok(())
}

/// What has been lost on the way by one transport or another.
const TEXT: &str = "plain \"quoted\" \\ / \u{8} \t \r\n \u{0} \u{7f} \u{85} größe 中文 🦀 \u{2028}\u{2029} \u{feff} \u{fffd} \u{ffff} end";

async fn text(harness: &dyn Harness) -> Result<(), Failure> {
    let key = fresh_key("text");
    let mut session = Session::open(harness).await?;
    session.call("state.put", json!({"key": key, "value": TEXT})).await?;
    let view = session.call("state.query", json!({"key": key})).await?;
    check(view["state"][&key] == TEXT, || format!("it came back as {}", view["state"][&key]))
}

/// Numbers as they are written, and how else that may be spelt where spelling is not kept. Whole
/// ones stay whole, others do not become whole, and none is rounded, whatever a transport has of
/// numbers.
const NUMBERS: &[(&str, &[&str])] = &[
    ("0", &[]),
    ("-1", &[]),
    ("9007199254740993", &[]),
    ("18446744073709551615", &[]),
    ("-9223372036854775808", &[]),
    ("18446744073709551616", &[]),
    ("-9223372036854775809", &[]),
    ("123456789012345678901234567890", &[]),
    ("1.0", &[]),
    ("-0.0", &[]),
    ("0.1000", &["0.1"]),
    ("0.1", &[]),
    ("0.30000000000000004", &[]),
    ("1e30", &["1e+30", "1E30", "1e30", "1.0e30"]),
    ("5e-324", &["5E-324"]),
    ("1.7976931348623157e308", &["1.7976931348623157e+308", "1.7976931348623157E308"]),
    ("3.14159265358979323846264338327950288", &[]),
];

async fn numbers(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    for (written, otherwise) in NUMBERS {
        let stored = stored(&mut session, written).await?;
        let spelling = !harness.keeps_spelling() && otherwise.contains(&&*stored);
        check(stored == *written || spelling, || format!("{written} came back as {stored}"))?;
    }
    // What no reader of a value could take is not stored.
    let put = put_of(&fresh_key("numbers"), "[0,1e400]");
    let refused = outcome(&session.ask(put).await?)?.err().unwrap_or_default();
    let place = (&refused["code"], &refused["data"]["path"]);
    check(place == (&json!(-32602), &json!("value")), || format!("1e400 was answered {refused}"))
}

async fn spelling(harness: &dyn Harness) -> Result<Outcome, Failure> {
    const VALUE: &str = "[1.0,-0.0,1e30,0.1000,1E2,123456789012345678901234567890]";
    if !harness.keeps_spelling() {
        return Ok(Outcome::Skipped("spelling is not kept"));
    }
    let stored = stored(&mut Session::open(harness).await?, VALUE).await?;
    check(stored == VALUE, || format!("they came back as {stored}"))?;
    Ok(Outcome::Passed)
}

/// A call that stores a value, which stands there as it is written.
fn put_of(key: &str, value: &str) -> String {
    let put = json!({"jsonrpc": "2.0", "id": 1, "method": "state.put",
        "params": {"key": key, "value": "VALUE"}});
    put.to_string().replace("\"VALUE\"", value)
}

/// Stores a value, and gives the text of what is read back.
async fn stored(session: &mut Session, value: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: View<'a>,
    }
    #[derive(Deserialize)]
    struct View<'a> {
        #[serde(borrow)]
        state: BTreeMap<String, &'a RawValue>,
    }
    let key = fresh_key("numbers");
    let put = session.ask(put_of(&key, value)).await?;
    outcome(&put)?.map_err(|error| failure(format!("state.put of {value} answered {error}")))?;
    let answer = session.ask(call(2, "state.query", &json!({"key": key}))).await?;
    let text = String::from_utf8_lossy(&answer);
    let read: Answer<'_> = serde_json::from_str(&text)
        .map_err(|error| failure(format!("state.query of {value} answered {text}: {error}")))?;
    let stored = read.result.state.get(&key).map(|stored| stored.get().to_owned());
    stored.ok_or_else(|| failure(format!("nothing is stored: {text}")))
}

/// Carriage returns and tabs between the tokens, also of what is stored and read back. A newline
/// may be the end of a message where messages are lines.
async fn white_space(harness: &dyn Harness) -> Result<(), Failure> {
    let key = fresh_key("white space");
    let put = "{\r\"jsonrpc\":\t\"2.0\",\"id\":\r1,\"method\":\"state.put\",\"params\":{\r\t\"key\":\"KEY\",\"value\":[1,\r2,\t\r3\r]}\t}";
    let mut session = Session::open(harness).await?;
    let answer = session.ask(put.replace("KEY", &key)).await?;
    outcome(&answer)?.map_err(|error| failure(format!("state.put answered {error}")))?;
    let view = session.call("state.query", json!({"key": key})).await?;
    check(view["state"][&key] == json!([1, 2, 3]), || format!("it came back as {view}"))
}

async fn no_stream(harness: &dyn Harness) -> Result<(), Failure> {
    let Link::Exchange(exchange) = harness.link() else { return Err(failure("no exchange")) };
    let mut stream = exchange.stream(call(1, "system.health", &json!({}))).await?;
    let answer = stream.next().await.ok_or_else(|| failure("an empty stream"))??;
    check(id_of(&answer) == Some(1), || "not the answer".into())?;
    let more = stream.next().await.transpose()?;
    check(more.is_none(), || "something followed the answer".into())
}

//! History: whoever comes back, with whatever cursor, sees the rest and nothing twice.

use serde_json::{Value, json};

use super::{Case, agents, case, errors};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::{Feed, Session},
};

/// Lines that the agent of a recorded history says.
const LINES: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(
            "whoever comes back with any cursor sees the rest and nothing twice",
            Nothing,
            resume
        ),
        case!("pages of events and a subscription say the same", Nothing, pages),
        case!("a subscription may begin with the last of each topic", Nothing, tail),
        case!("a subscription may ask for some types only", Nothing, types),
        case!("history is the same whenever it is read", Nothing, again),
        case!("a state and what follows its cursor are the whole", Nothing, snapshot),
        case!("what is no longer kept is told as a gap", Nothing, gap),
        case!("the cursor of another store is refused", Nothing, foreign),
    ]
}

/// Everything that a feed says until it says `synced`.
pub(super) async fn history(feed: &mut Feed) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    loop {
        let (method, mut params) = feed.said().await?;
        match method.as_str() {
            "event.next" => events.push(params["event"].take()),
            "event.synced" => break,
            _ => return Err(failure(format!("unexpected {method} {params}"))),
        }
    }
    in_order(&events)?;
    Ok(events)
}

/// `seq` grows, and the offsets of each topic have no holes.
pub(super) fn in_order(events: &[Value]) -> Result<(), Failure> {
    let mut offsets = std::collections::BTreeMap::new();
    let mut last = 0;
    for event in events {
        let seq = event["seq"].as_u64().ok_or_else(|| failure(format!("no seq: {event}")))?;
        check(seq > last, || format!("seq {seq} after {last}"))?;
        last = seq;
        let offset = event["offset"].as_u64().unwrap_or_default();
        let topic = event["topic"].as_str().unwrap_or_default();
        let before = offsets.insert(topic, offset);
        check(before.is_none_or(|before| before + 1 == offset), || {
            format!("offset {offset} of {topic} after {before:?}")
        })?;
    }
    Ok(())
}

/// The parameters of a subscription to all topics of an agent.
fn all_of(agent: &str) -> Value {
    json!({"topics": [format!("agent/{agent}/")]})
}

/// The same with another member.
fn with(mut params: Value, member: &str, value: impl Into<Value>) -> Value {
    params[member] = value.into();
    params
}

/// What a subscription with these parameters says until it says `synced`.
async fn read(harness: &dyn Harness, params: Value) -> Result<Vec<Value>, Failure> {
    history(&mut Session::open(harness).await?.follow(params).await?).await
}

async fn resume(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let mut feed = Session::open(harness).await?.follow(all_of(&agent)).await?;
    let all = history(&mut feed).await?;
    check(all.len() > LINES, || format!("a history of {} events", all.len()))?;
    let from_begin = with(all_of(&agent), "after", feed.opened["cursor"].clone());
    let whole = read(harness, from_begin).await?;
    check(whole == all, || "the cursor of the answer does not lead to the same".into())?;
    let mut session = Session::open(harness).await?;
    for (index, event) in all.iter().enumerate() {
        let params = with(all_of(&agent), "after", event["cursor"].clone());
        let rest = read(harness, params.clone()).await?;
        check(rest == all[index + 1..], || {
            let (came, due) = (rest.len(), all.len() - index - 1);
            format!("{came} events instead of the {due} after event {index}")
        })?;
        let page = session.call("event.read", with(params, "limit", 1000)).await?;
        check(page["events"] == Value::from(rest), || {
            format!("event.read says otherwise after event {index}")
        })?;
    }
    Ok(())
}

async fn pages(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let all = read(harness, all_of(&agent)).await?;
    let mut session = Session::open(harness).await?;
    for limit in [1, 3] {
        let (mut read, mut after) = (Vec::new(), Value::from("start"));
        // A page that matched nothing moves on too, but there are not many of them.
        for _ in 0..1000 {
            let params = with(with(all_of(&agent), "after", after), "limit", limit);
            let mut page = session.call("event.read", params).await?;
            let events = page["events"].as_array_mut().ok_or_else(|| failure("no events"))?;
            check(events.len() <= limit, || format!("{} events on a page", events.len()))?;
            read.append(events);
            after = page["cursor"].take();
            if page["synced"] == true {
                break;
            }
        }
        check(read == all, || {
            format!("{} events by pages of {limit}, {} by subscription", read.len(), all.len())
        })?;
    }
    Ok(())
}

/// The last `count` events of each topic, in order.
fn last_of_each(all: &[Value], count: usize) -> Vec<Value> {
    let follows = |index: usize| {
        let same = all[index + 1..].iter().filter(|event| event["topic"] == all[index]["topic"]);
        same.count()
    };
    let indexed = all.iter().enumerate();
    indexed.filter(|(index, _)| follows(*index) < count).map(|(_, event)| event.clone()).collect()
}

async fn tail(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let all = read(harness, all_of(&agent)).await?;
    for count in [0, 1, 2, 1000] {
        let last = read(harness, with(all_of(&agent), "tail", count)).await?;
        let expected = last_of_each(&all, count);
        check(last == expected, || {
            format!("{} events instead of {} with a tail of {count}", last.len(), expected.len())
        })?;
    }
    Ok(())
}

async fn types(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let all = read(harness, all_of(&agent)).await?;
    let rows: [&[&str]; 5] = [
        &["agent.output"],
        &["agent.spawned", "agent.exited"],
        &["agent.*"],
        &["system.*", "agent.exited"],
        &["system.*"],
    ];
    for wanted in rows {
        let some = {
            let params = with(all_of(&agent), "types", wanted.to_vec());
            let mut feed = Session::open(harness).await?.follow(params).await?;
            said_before_synced(&mut feed).await?
        };
        let matches = |event: &&Value| {
            let kind = event["type"].as_str().unwrap_or_default();
            wanted.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => kind.starts_with(prefix),
                None => kind == *wanted,
            })
        };
        let expected: Vec<_> = all.iter().filter(matches).cloned().collect();
        check(some == expected, || {
            format!("{} events instead of {} of {wanted:?}", some.len(), expected.len())
        })?;
    }
    Ok(())
}

/// As [`history`], but offsets may have holes, because some types are left out.
async fn said_before_synced(feed: &mut Feed) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    loop {
        let (method, mut params) = feed.said().await?;
        match method.as_str() {
            "event.next" => events.push(params["event"].take()),
            "event.synced" => return Ok(events),
            _ => return Err(failure(format!("unexpected {method} {params}"))),
        }
    }
}

async fn again(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let first = read(harness, all_of(&agent)).await?;
    for _ in 0..3 {
        let next = read(harness, all_of(&agent)).await?;
        check(next == first, || "it has changed".into())?;
    }
    let mut output = agents::Output::default();
    first.iter().try_for_each(|event| output.take(event))?;
    let text = String::from_utf8_lossy(&output.bytes);
    let all = (0..LINES).all(|line| text.contains(&format!("line {line} of this history\n")));
    check(all, || format!("not what was said: {text}"))
}

async fn snapshot(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let agent = agents::spawn(harness, &mut session).await?;
    let mut cursors = Vec::new();
    for (method, params) in [
        ("agent.get", json!({"agent_id": agent})),
        ("agent.list", json!({"limit": 1})),
        ("state.query", json!({"agent_id": agent})),
    ] {
        cursors.push((method, session.call(method, params).await?["cursor"].take()));
    }
    agents::kill(&mut session, &agent).await?;
    let status = json!({"topics": [format!("agent/{agent}/status")]});
    for (method, cursor) in cursors {
        let rest = read(harness, with(status.clone(), "after", cursor)).await?;
        let kinds: Vec<_> = rest.iter().filter_map(|event| event["type"].as_str()).collect();
        check(kinds.last() == Some(&"agent.exited"), || format!("{method}: {kinds:?} follow"))?;
        check(!kinds.contains(&"agent.spawned"), || format!("{method} had shown what follows it"))?;
    }
    Ok(())
}

/// How often the store is looked at, and the pause between.
const LOOKS: usize = 200;
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

async fn gap(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let params = json!({"topics": [format!("agent/{agent}/output")], "after": "start"});
    let all = read(harness, params.clone()).await?;
    let mut session = Session::open(harness).await?;
    session.call("agent.remove", json!({"agent_id": agent})).await?;
    // What is forgotten may be kept a moment longer.
    for _ in 0..LOOKS {
        let page = session.call("event.read", params.clone()).await?;
        if page["events"] == json!([]) {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let mut feed = Session::open(harness).await?.follow(params).await?;
    let told = feed.expect("event.gap").await?;
    check(told["topic"] == all[0]["topic"], || format!("of another topic: {told}"))?;
    check(told["cursor"].is_string(), || format!("no cursor to go on with: {told}"))?;
    let missing = (told["from_offset"].as_u64(), told["to_offset"].as_u64());
    let length = u64::try_from(all.len()).unwrap_or(u64::MAX);
    check(missing == (Some(0), Some(length)), || format!("not all {length} events: {told}"))?;
    feed.expect("event.synced").await.map(drop)
}

async fn foreign(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let page = session.call("event.read", json!({"topics": ["system"]})).await?;
    let ours = page["cursor"].as_str().ok_or_else(|| failure("no cursor"))?;
    // A cursor begins with its store: another first digit is another store.
    let other = if ours.starts_with('0') { '1' } else { '0' };
    let foreign = format!("{other}{}", ours.get(1..).unwrap_or_default());
    let params = json!({"topics": ["system"], "after": foreign});
    let data = errors::refused(&mut session, "event.read", params.clone(), "conflict").await?;
    check(data["reason"] == "cursor_foreign", || format!("not told which: {data}"))?;
    let Err(error) = Session::open(harness).await?.try_follow(params).await? else {
        return Err(failure("a subscription took it"));
    };
    let data = errors::whole(&error, "conflict")?;
    check(data["reason"] == "cursor_foreign", || format!("not told which: {data}"))
}

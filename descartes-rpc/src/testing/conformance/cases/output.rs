//! Output: whatever its bytes and however much, it arrives as it was.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Case, agents, case, history::history};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::{Feed, Session},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("bytes that are no text arrive as they were", Nothing, any_bytes),
        case!("a line of 200,000 bytes arrives whole", Nothing, long_line),
        case!("a burst of 2,000 lines arrives in order", Nothing, burst),
        case!("whoever joins during a burst sees all of it once", Nothing, joins),
        case!("a reader that rests misses nothing and delays nobody", Nothing, slow_reader),
        case!("answers that nobody reads for long are whole", Duplex, unread_answers),
        case!("big answers come whole in one batch", Nothing, big_batch),
    ]
}

/// An agent with a session that writes to it and a feed of what it says.
struct Stage {
    session: Session,
    agent: String,
    feed: Feed,
    output: agents::Output,
}

impl Stage {
    async fn open(harness: &dyn Harness) -> Result<Self, Failure> {
        let mut session = Session::open(harness).await?;
        let agent = agents::spawn(harness, &mut session).await?;
        let feed = agents::output_of(harness, &agent).await?;
        Ok(Self { session, agent, feed, output: agents::Output::default() })
    }

    /// Has the agent say `text` and waits until it has been heard.
    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        agents::write(&mut self.session, &self.agent, text).await?;
        self.output.until(&mut self.feed, text.as_bytes()).await
    }

    async fn end(mut self) -> Result<(), Failure> {
        agents::kill(&mut self.session, &self.agent).await.map(drop)
    }
}

async fn any_bytes(harness: &dyn Harness) -> Result<(), Failure> {
    let mut stage = Stage::open(harness).await?;
    // All but the two that end a line.
    let line: Vec<u8> = (0..=255).filter(|byte| !b"\r\n".contains(byte)).chain(*b"\n").collect();
    let params = json!({"agent_id": stage.agent, "data": STANDARD.encode(&line)});
    let written = stage.session.call("agent.write_stdin", params).await?;
    check(written["bytes_written"] == line.len(), || format!("{written}"))?;
    stage.output.until(&mut stage.feed, &line).await?;
    let params = json!({"agent_id": stage.agent, "tail": 1});
    let logs = stage.session.call("agent.logs", params).await?;
    let row = logs["logs"][0]["data"].as_str().map(|data| STANDARD.decode(data));
    let row = row.and_then(Result::ok).unwrap_or_default();
    check(row.ends_with(&line[..line.len() - 1]), || format!("the log says otherwise: {logs}"))?;
    stage.end().await
}

/// A text of `length` bytes of which no two pieces of some length are the same.
fn numbered(length: usize) -> String {
    let mut text: String = (0..length / 8).map(|number| format!("{number:07}ä")).collect();
    while text.len() > length {
        text.pop();
    }
    text
}

async fn long_line(harness: &dyn Harness) -> Result<(), Failure> {
    let mut stage = Stage::open(harness).await?;
    stage.say(&(numbered(200_000) + "\n")).await?;
    stage.end().await
}

async fn burst(harness: &dyn Harness) -> Result<(), Failure> {
    let mut stage = Stage::open(harness).await?;
    let lines: Vec<_> = (0..2000).map(|number| format!("burst {number}\n")).collect();
    agents::write(&mut stage.session, &stage.agent, &lines.concat()).await?;
    stage.output.until(&mut stage.feed, b"burst 1999\n").await?;
    let text = String::from_utf8_lossy(&stage.output.bytes).into_owned();
    let mut rest = text.as_str();
    for line in &lines {
        let at = rest.find(line).ok_or_else(|| failure(format!("{line} is missing")))?;
        rest = &rest[at + line.len()..];
    }
    stage.end().await
}

async fn joins(harness: &dyn Harness) -> Result<(), Failure> {
    let mut stage = Stage::open(harness).await?;
    let mut feeds = Vec::new();
    for number in 0..40 {
        let line = format!("join {number}\n");
        agents::write(&mut stage.session, &stage.agent, &line).await?;
        if number % 5 == 0 {
            feeds.push(agents::output_of(harness, &stage.agent).await?);
        }
    }
    stage.output.until(&mut stage.feed, b"join 39\n").await?;
    for mut feed in feeds {
        let mut output = agents::Output::default();
        output.until(&mut feed, b"join 39\n").await?;
        check(output.bytes == stage.output.bytes, || "they saw different output".into())?;
    }
    stage.end().await
}

async fn slow_reader(harness: &dyn Harness) -> Result<(), Failure> {
    let mut stage = Stage::open(harness).await?;
    let mut resting = agents::output_of(harness, &stage.agent).await?;
    let line = numbered(64_000);
    for number in 0..24 {
        stage.say(&format!("{number} {line} {number}\n")).await?;
    }
    stage.session.call("system.health", json!({})).await?;
    let mut output = agents::Output::default();
    output.until(&mut resting, b" 23\n").await?;
    check(output.bytes == stage.output.bytes, || {
        format!("{} bytes instead of {}", output.bytes.len(), stage.output.bytes.len())
    })?;
    stage.end().await
}

/// An agent that has said much, the parameters to read it with one call, and all that there is.
async fn talkative(harness: &dyn Harness) -> Result<(Value, Vec<Value>), Failure> {
    let mut stage = Stage::open(harness).await?;
    let line = numbered(60_000);
    for number in 0..12 {
        stage.say(&format!("{number} {line} {number}\n")).await?;
    }
    let params = json!({"topics": [format!("agent/{}/output", stage.agent)], "limit": 1000});
    let from_start = json!({"topics": params["topics"]});
    let mut feed = Session::open(harness).await?.follow(from_start).await?;
    let all = history(&mut feed).await?;
    stage.end().await?;
    Ok((params, all))
}

/// A page may end early, but what is on it is what there is.
fn is_page_of(all: &[Value], page: &Value) -> Result<(), Failure> {
    let events = page["events"].as_array().ok_or_else(|| failure("no events"))?;
    let begins = !events.is_empty() && all.starts_with(events);
    check(begins, || format!("{} events that are not the first of {}", events.len(), all.len()))
}

async fn unread_answers(harness: &dyn Harness) -> Result<(), Failure> {
    let (params, all) = talkative(harness).await?;
    let mut duplex = Session::open(harness).await?.duplex()?;
    for _ in 0..6 {
        duplex.begin("event.read", params.clone()).await?;
    }
    let mut other = Session::open(harness).await?;
    is_page_of(&all, &other.call("event.read", params).await?)?;
    for (id, page) in duplex.outcomes(6).await? {
        is_page_of(&all, &page.map_err(|error| failure(format!("call {id} answered {error}")))?)?;
    }
    duplex.call("system.health", json!({})).await.map(drop)
}

async fn big_batch(harness: &dyn Harness) -> Result<(), Failure> {
    let (params, all) = talkative(harness).await?;
    let call =
        |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "event.read", "params": params});
    let batch: Vec<_> = (0..4).map(call).collect();
    let answer = Session::open(harness).await?.ask(Value::from(batch).to_string()).await?;
    let answers: Vec<Value> = serde_json::from_slice(&answer).map_err(|error| {
        failure(format!("not the answers to a batch, of {} bytes: {error}", answer.len()))
    })?;
    check(answers.len() == 4, || format!("{} answers", answers.len()))?;
    answers.iter().try_for_each(|answer| is_page_of(&all, &answer["result"]))
}

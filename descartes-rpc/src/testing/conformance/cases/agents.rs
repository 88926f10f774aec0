//! Agents that cases act on, and what they write.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::{Feed, Session},
};

/// The longest piece of output that one event holds.
const PIECE_BYTES: usize = 64 * 1024;

/// Starts an agent; the caller kills it.
pub(super) async fn spawn(harness: &dyn Harness, session: &mut Session) -> Result<String, Failure> {
    let spawned = session.call("agent.spawn", harness.agent()).await?;
    let id = spawned["agent_id"].as_str().ok_or_else(|| failure(format!("no id: {spawned}")))?;
    Ok(id.to_owned())
}

pub(super) async fn kill(session: &mut Session, agent: &str) -> Result<Value, Failure> {
    session.call("agent.kill", json!({"agent_id": agent, "force": true})).await
}

/// An agent that has been started and killed: a short, finished history.
pub(super) async fn finished(harness: &dyn Harness) -> Result<String, Failure> {
    let mut session = Session::open(harness).await?;
    let agent = spawn(harness, &mut session).await?;
    kill(&mut session, &agent).await?;
    Ok(agent)
}

/// An agent that has said `lines` lines, one after the other, and was killed: a longer history,
/// with an event for each line at least.
pub(super) async fn told(harness: &dyn Harness, lines: usize) -> Result<String, Failure> {
    let mut session = Session::open(harness).await?;
    let agent = spawn(harness, &mut session).await?;
    let mut feed = output_of(harness, &agent).await?;
    let mut output = Output::default();
    for line in 0..lines {
        let line = format!("line {line} of this history\n");
        write(&mut session, &agent, &line).await?;
        output.until(&mut feed, line.as_bytes()).await?;
    }
    kill(&mut session, &agent).await?;
    Ok(agent)
}

/// Writes `text` to an agent.
pub(super) async fn write(session: &mut Session, agent: &str, text: &str) -> Result<(), Failure> {
    let params = json!({"agent_id": agent, "text": text});
    let written = session.call("agent.write_stdin", params).await?;
    check(written["bytes_written"] == text.len(), || format!("{written} of {} bytes", text.len()))
}

/// Follows an agent's output from its beginning.
pub(super) async fn output_of(harness: &dyn Harness, agent: &str) -> Result<Feed, Failure> {
    let params = json!({"topics": [format!("agent/{agent}/output")], "after": "start"});
    Session::open(harness).await?.follow(params).await
}

/// What an agent wrote to its standard output, put together from events.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
}

impl Output {
    /// Takes the next piece; it must begin where the last one ended.
    pub(super) fn take(&mut self, event: &Value) -> Result<(), Failure> {
        let data = &event["data"];
        if event["type"] != "agent.output" || data["stream"] != "stdout" {
            return Ok(());
        }
        check(data["byte_offset"] == self.bytes.len(), || {
            format!("a piece at {} instead of {}", data["byte_offset"], self.bytes.len())
        })?;
        let piece = bytes_of(data)?;
        check((1..=PIECE_BYTES).contains(&piece.len()), || format!("{} bytes", piece.len()))?;
        let lines = piece.iter().filter(|byte| **byte == b'\n').count();
        check(data["lines"] == lines, || format!("{lines} lines, and said are {}", data["lines"]))?;
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }

    /// Reads on until the output ends with `end`.
    pub(super) async fn until(&mut self, feed: &mut Feed, end: &[u8]) -> Result<(), Failure> {
        while !self.bytes.ends_with(end) {
            let (method, params) = feed.said().await?;
            match method.as_str() {
                "event.next" => self.take(&params["event"])?,
                "event.synced" => {}
                _ => return Err(failure(format!("unexpected {method} {params}"))),
            }
        }
        Ok(())
    }
}

/// The exact bytes of a piece of output.
fn bytes_of(data: &Value) -> Result<Vec<u8>, Failure> {
    match (data["text"].as_str(), data["data"].as_str()) {
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(encoded)) => {
            let decoded = STANDARD.decode(encoded);
            decoded.map_err(|error| failure(format!("data that is not base64: {error}")))
        }
        _ => Err(failure(format!("not one of text and data: {data}"))),
    }
}

//! What most tests do with agents: start one, wait for it, take its output byte by byte.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Caller, PATIENCE};

/// Halves of our patience that an agent may take to end.
const LONGEST_WAITS: usize = 20;

/// Starts `command` and gives the new agent's identifier.
#[track_caller]
pub(crate) fn spawn(caller: &mut impl Caller, command: &[String]) -> String {
    spawn_with(caller, json!({"config": {"command": command}}))
}

/// Starts an agent of backend `process` with these parameters.
#[track_caller]
pub(crate) fn spawn_with(caller: &mut impl Caller, mut params: Value) -> String {
    params["agent_type"] = json!("process");
    id_of(&caller.ok("agent.spawn", params))
}

#[track_caller]
pub(crate) fn id_of(spawned: &Value) -> String {
    spawned["agent_id"].as_str().unwrap_or_else(|| panic!("no agent_id: {spawned}")).to_owned()
}

/// Waits for the end of an agent: `status` and `exit`. Asks again before our client's own patience
/// is over: at its full count a flood takes longer.
#[track_caller]
pub(crate) fn wait(caller: &mut impl Caller, id: &str) -> Value {
    let params = json!({"agent_id": id, "timeout_secs": PATIENCE.as_secs() / 2});
    for _ in 0..LONGEST_WAITS {
        match caller.call("agent.wait", params.clone()) {
            Ok(ended) => return ended,
            Err(error) => assert_eq!(error["data"]["kind"], "timeout", "{error}"),
        }
    }
    panic!("{id} does not end");
}

/// The outcome of a call that may take longer than the daemon waits: asked for with its key until it
/// is known.
#[track_caller]
pub(crate) fn at_last(
    caller: &mut impl Caller,
    method: &str,
    params: &Value,
) -> Result<Value, Value> {
    let (began, mut params) = (Instant::now(), params.clone());
    loop {
        match caller.call(method, params.clone()) {
            Err(error) if error["data"]["kind"] == "timeout" => {
                assert!(began.elapsed() < PATIENCE * 2, "{method}: {error}");
                params["idempotency_key"] = error["data"]["idempotency_key"].clone();
            }
            other => return other,
        }
    }
}

/// Everything in `topic` after `after`, which is a cursor or `start`.
#[track_caller]
pub(crate) fn events(caller: &mut impl Caller, topic: &str, after: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = after.to_owned();
    loop {
        let params = json!({"topics": [topic], "after": cursor, "limit": 1000});
        let mut page = caller.ok("event.read", params);
        assert_eq!(page["gaps"], json!([]), "{topic}");
        found.append(page["events"].as_array_mut().expect("a page has events"));
        if page["synced"] == true {
            return found;
        }
        cursor = text(&page["cursor"]).to_owned();
    }
}

/// The bytes of one stream as the events of its topic carry them, checked for holes.
#[track_caller]
pub(crate) fn output(caller: &mut impl Caller, id: &str, stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut lines = 0;
    for event in events(caller, &format!("agent/{id}/output"), "start") {
        let data = &event["data"];
        if data["stream"] != stream {
            continue;
        }
        assert_eq!(data["byte_offset"], bytes.len(), "a hole or an overlap in {stream}");
        assert_eq!(data["first_line"], lines, "the line number at byte {}", bytes.len());
        let piece = content(data, "text");
        let newlines = piece.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(data["lines"], newlines, "newlines in {data}");
        assert!(piece.len() <= 64 * 1024, "a chunk of {} bytes", piece.len());
        lines += newlines;
        bytes.extend(piece);
    }
    bytes
}

/// The bytes of one stream as `agent.logs` pages them, checked for line numbers.
#[track_caller]
pub(crate) fn log(caller: &mut impl Caller, id: &str, stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut line = 0_u64;
    let mut after = Value::Null;
    loop {
        let params = json!({"agent_id": id, "stream": stream, "limit": 1000, "after": after});
        let params = if after.is_null() { without(params, "after") } else { params };
        let page = caller.ok("agent.logs", params);
        let rows = page["logs"].as_array().expect("a page has rows");
        for row in rows {
            assert_eq!((&row["line"], &row["stream"]), (&json!(line), &json!(stream)), "{row}");
            bytes.extend(content(row, "message"));
            if row["partial"] != true {
                bytes.push(b'\n');
                line += 1;
            }
        }
        if rows.is_empty() {
            return bytes;
        }
        after = page["cursor"].clone();
    }
}

fn without(mut params: Value, member: &str) -> Value {
    params.as_object_mut().expect("an object").remove(member);
    params
}

/// The exact bytes of a row or an event: `data` where there is one, else the text.
fn content(holder: &Value, text_member: &str) -> Vec<u8> {
    match holder.get("data").and_then(Value::as_str) {
        Some(encoded) => STANDARD.decode(encoded).expect("data is base64"),
        None => text(&holder[text_member]).as_bytes().to_vec(),
    }
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// Waits until the agent has written `wanted` to standard output.
#[track_caller]
pub(crate) fn await_output(caller: &mut impl Caller, id: &str, wanted: &str) {
    let topic = format!("agent/{id}/output");
    let mut cursor = "start".to_owned();
    let mut seen = String::new();
    for _ in 0..1_000 {
        let params = json!({"topics": [topic], "after": cursor, "wait_ms": 30_000});
        let page = caller.ok("event.read", params);
        let events = page["events"].as_array().expect("a page has events");
        seen.extend(events.iter().filter_map(|event| event["data"]["text"].as_str()));
        if seen.contains(wanted) {
            return;
        }
        assert!(!events.is_empty(), "{wanted:?} does not come; so far {seen:?}");
        cursor = text(&page["cursor"]).to_owned();
    }
    panic!("{wanted:?} is not in {seen:?}");
}

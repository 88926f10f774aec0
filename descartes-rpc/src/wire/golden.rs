//! Every shape of the wire as an example, compared with what was published.

use std::sync::Arc;

use bytes::Bytes;
use descartes_core::agent as core;
use descartes_core::approval::{Approval, ApprovalStatus};
use descartes_core::cursor::{Cursor, Position};
use descartes_core::dialect::{AskOption, AskRequest, OptionEffect, ToolEffect};
use descartes_core::event::{
    ChunkBody, ChunkError, ChunkErrorKind, Event, EventBody, EventKind, Exited, Extent, NewEvent,
    OutputChunk, PreviousEnd, Reloaded, StatusChange, StreamChunk, StreamName, Topic, TurnOutcome,
    Usage,
};
use descartes_core::json::Json;
use descartes_core::time::Timestamp;
use serde::Serialize;

use super::chunk::Chunk;
use super::encode;

const ID: &str = "0194c8e0-7a00-7000-8000-0123456789ab";

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_795_223_000_000 + secs * 1000)
}

fn cursor(position: u64) -> Cursor {
    Cursor { store: 0xc0_ffee, epoch: 1, position: Position(position), byte: 0 }
}

fn record() -> core::AgentRecord {
    let mut spec = core::AgentSpec::command(["/bin/sh", "-c"]).named("worker");
    spec.args = vec!["echo hi".into()];
    spec.env = [("TOKEN".to_owned(), "a secret".to_owned())].into();
    spec.cwd = Some("/srv".into());
    spec.labels = [("team".to_owned(), "blue".to_owned())].into();
    spec.restart.when = core::RestartWhen::OnFailure;
    spec.limits.wall = Some(std::time::Duration::from_secs(90));
    let id = ID.parse().unwrap();
    let names: (Arc<str>, Arc<str>) = ("worker".into(), "process".into());
    let mut record = core::AgentRecord::new(id, names, spec, "local".into(), at(0));
    record.status = core::AgentStatus::Running;
    record.pid = Some(4711);
    record
}

fn exit() -> core::Exit {
    let mut exit = core::Exit::new(core::ExitReason::Killed, at(9));
    exit.signal = Some(9);
    exit.by = Some("local".into());
    exit.stderr_tail = Bytes::from_static(b"bye\n");
    (exit.forced, exit.swept) = (true, 2);
    exit
}

fn event(topic: Topic, body: &EventBody, payload: &'static [u8]) -> String {
    let new = NewEvent::new(topic, "local".into(), at(1), body);
    let new = new.with_payload(Bytes::from_static(payload));
    let event = Event::placed(new, Position(42), 7);
    let json = encode::event_json(&event, &|| cursor(42));
    String::from_utf8(json.to_vec()).unwrap()
}

fn events() -> Vec<(&'static str, String)> {
    let agent: core::AgentId = ID.parse().unwrap();
    let status = || Topic::agent_status(agent);
    let output = || Topic::agent_output(agent);
    let mut change = StatusChange::new(core::AgentStatus::Running, core::AgentStatus::Stopping, 1);
    change.reason = Some("killed".into());
    let mut away = StatusChange::new(core::AgentStatus::Running, core::AgentStatus::Running, 1);
    away.activity = Some(core::Activity::Unreachable);
    let mut exited = Exited::new(1, exit());
    (exited.will_restart, exited.next_start_at) = (true, Some(at(10)));
    let before = Extent { rows: 3, ..Extent::default() };
    let mut chunk = OutputChunk::new(StreamName::Stdout, 1, before);
    (chunk.lines, chunk.partial) = (1, true);
    let started =
        EventBody::SystemStarted { version: "0.1.0".into(), previous: PreviousEnd::Crashed };
    let reloaded = EventBody::SystemReloaded(Reloaded::new(vec!["logging.level".into()], vec![]));
    let degraded = EventBody::SystemDegraded { reasons: vec!["no space".into()] };
    let asked = approval();
    let requested = EventBody::ApprovalRequested(Box::new(asked.clone()));
    let mut decided = asked.clone();
    (decided.status, decided.decided_by) = (ApprovalStatus::Allowed, Some("local".into()));
    let resolved = EventBody::ApprovalResolved(Box::new(decided));
    let other = EventBody::Other(EventKind::from_text("app.did"), Bytes::from_static(b"{\"a\":1}"));
    vec![
        ("agent.spawned", event(status(), &EventBody::AgentSpawned(Box::new(record())), b"")),
        ("agent.status_changed", event(status(), &EventBody::AgentStatusChanged(change), b"")),
        (
            "agent.status_changed activity",
            event(status(), &EventBody::AgentStatusChanged(away), b""),
        ),
        ("agent.exited", event(status(), &EventBody::AgentExited(exited), b"")),
        ("agent.output text", event(output(), &EventBody::AgentOutput(chunk), b"a \"b\"\nc")),
        ("agent.output data", event(output(), &EventBody::AgentOutput(chunk), b"\xff\n")),
        ("agent.removed", event(status(), &EventBody::AgentRemoved, b"")),
        ("approval.requested", event(Topic::approval(asked.id), &requested, b"")),
        ("approval.resolved", event(Topic::approval(asked.id), &resolved, b"")),
        ("system.started", event(Topic::system(), &started, b"")),
        ("system.degraded", event(Topic::system(), &degraded, b"")),
        ("system.recovered", event(Topic::system(), &EventBody::SystemRecovered, b"")),
        ("system.draining", event(Topic::system(), &EventBody::SystemDraining, b"")),
        ("system.reloaded", event(Topic::system(), &reloaded, b"")),
        ("of an application", event(Topic::new("app/x"), &other, b"")),
    ]
}

/// What an agent asked.
fn approval() -> Approval {
    let option = |id: &str, label: &str, effect| AskOption::new(id, label, effect);
    let arguments = Json::from_text(r#"{"command":"touch a"}"#).unwrap();
    let mut request = AskRequest::permission("Bash", ToolEffect::Execute, "touch a", arguments);
    request.tool_id = Some("t1".into());
    request.rule = Some("Bash(touch)".into());
    request.options = vec![
        option("yes", "Allow", OptionEffect::AllowOnce),
        option("always", "Always", OptionEffect::AllowSession),
        option("no", "Reject", OptionEffect::Deny),
    ];
    let place = (ID.parse().unwrap(), ID.parse().unwrap(), 2);
    let mut approval =
        Approval::new(place, request, Some("/srv".into()), "local".into(), (at(0), at(900)));
    approval.id = ID.parse().unwrap();
    approval
}

/// Every kind of chunk.
fn chunks() -> Vec<ChunkBody> {
    let mut usage = Usage::default();
    (usage.input_tokens, usage.output_tokens, usage.cost_usd) = (Some(7), Some(2), Some(0.5));
    let error = ChunkError::new(ChunkErrorKind::AgentAuth, "no key").with_hint("log in");
    let id = || "t1".into();
    let input = Some(Json::from_text(r#"{"command":"touch a", "big":1e999}"#).unwrap());
    let (asked, agent) = (Box::new(approval()), ID.parse().unwrap());
    let status = ApprovalStatus::Denied;
    let (outcome, failed) = (TurnOutcome::Failed, Some(error.clone()));
    vec![
        ChunkBody::TurnStarted { prompt: "hi".into(), by: Some("local".into()), queued: false },
        ChunkBody::Text { content: "a \"b\"\n".into(), block: 0 },
        ChunkBody::Thinking { content: "hm".into(), block: 1 },
        ChunkBody::ToolUseStart { tool_name: "Bash".into(), tool_id: id() },
        ChunkBody::ToolUseInput { tool_id: id(), content: "{".into(), input: None },
        ChunkBody::ToolUseInput { tool_id: id(), content: "".into(), input },
        ChunkBody::ToolResult { tool_id: id(), result: "ok".into(), is_error: false },
        ChunkBody::ApprovalRequested(asked),
        ChunkBody::ApprovalResolved { approval: ID.parse().unwrap(), status },
        ChunkBody::Status { activity: Some(core::Activity::Thinking) },
        ChunkBody::Status { activity: None },
        ChunkBody::Usage(usage),
        ChunkBody::Retracted { from_offset: 9 },
        ChunkBody::TurnComplete { outcome, usage: Some(usage), error: failed },
        ChunkBody::TurnComplete { outcome: TurnOutcome::Completed, usage: None, error: None },
        ChunkBody::Complete { agent, exit_code: Some(0), resumable: true },
        ChunkBody::Closed { by: Some("local".into()), reason: "stopped".into() },
        ChunkBody::Error(error),
        ChunkBody::Raw { line: "?".into() },
        ChunkBody::Oversize { bytes: 2_000_000, cursor: Some(cursor(41)) },
    ]
}

/// Each chunk as it is sent, and one that a sub-agent said.
fn sent_chunks() -> Vec<String> {
    let topic = || Topic::chat(ID.parse().unwrap());
    let by_sub_agent = ChunkBody::Text { content: "mine".into(), block: 0 };
    let by_sub_agent = StreamChunk::new(2, by_sub_agent).under("t1");
    let chunks = chunks().into_iter().map(|body| StreamChunk::new(2, body)).chain([by_sub_agent]);
    chunks.map(|chunk| event(topic(), &EventBody::ChatChunk(Box::new(chunk)), b"")).collect()
}

#[test]
fn every_chunk_that_is_sent_is_read_by_the_typed_client() {
    for json in sent_chunks() {
        let event: serde_json::Value = serde_json::from_str(&json.replace("1e999", "1")).unwrap();
        let chunk: Chunk = serde_json::from_value(event["data"].clone()).unwrap();
        assert_eq!(chunk.turn, 2);
        assert_ne!(chunk.body, super::chunk::ChunkBody::Unknown, "{json}");
    }
}

fn json(shape: &impl Serialize) -> String {
    serde_json::to_string(shape).unwrap()
}

#[test]
fn the_published_shapes_change_only_on_purpose() {
    let mut shapes = events();
    let mut ended = record();
    (ended.status, ended.pid) = (core::AgentStatus::Killed, None);
    (ended.ended_at, ended.exit) = (Some(at(9)), Some(exit()));
    shapes.push(("agent", json(&encode::entry(&ended, 1))));
    shapes.extend(sent_chunks().into_iter().map(|json| ("chat.chunk", json)));
    let now: String = shapes.iter().map(|(name, json)| format!("{name}\n  {json}\n")).collect();
    let this = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"));
    crate::testing::published::assert_unchanged(this, "wire.txt", &now);
}

#[test]
fn every_event_that_the_daemon_writes_has_a_schema_of_its_own() {
    let events = events().into_iter().map(|(_, json)| json).chain(sent_chunks());
    let written: std::collections::BTreeSet<String> = events
        .map(|json| json.replace("1e999", "1"))
        .map(|json| serde_json::from_str::<serde_json::Value>(&json).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .filter(|word| !word.starts_with("app."))
        .chain(crate::audit::TYPES.map(str::to_owned))
        .collect();
    let described = crate::wire::event::kinds::words().map(str::to_owned).collect();
    assert_eq!(written, described);
}

#[test]
fn an_event_is_encoded_once() {
    let body = EventBody::SystemRecovered;
    let event = Event::placed(
        NewEvent::new(Topic::system(), "local".into(), at(1), &body),
        Position(42),
        7,
    );
    let first = encode::event_json(&event, &|| cursor(42));
    let another_reader = event.clone();
    let second = encode::event_json(&another_reader, &|| panic!("encoded twice"));
    assert_eq!(first.as_ptr(), second.as_ptr());
    drop(event);
}

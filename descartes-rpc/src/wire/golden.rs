//! Every shape of the wire as an example, compared with what was published.

use std::sync::Arc;

use bytes::Bytes;
use descartes_core::agent as core;
use descartes_core::cursor::{Cursor, Position};
use descartes_core::event::{
    Event, EventBody, EventKind, Exited, Extent, NewEvent, OutputChunk, PreviousEnd, StatusChange,
    StreamName, Topic,
};
use descartes_core::time::Timestamp;
use serde::Serialize;

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
    let degraded = EventBody::SystemDegraded { reasons: vec!["no space".into()] };
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
        ("system.started", event(Topic::system(), &started, b"")),
        ("system.degraded", event(Topic::system(), &degraded, b"")),
        ("system.recovered", event(Topic::system(), &EventBody::SystemRecovered, b"")),
        ("system.draining", event(Topic::system(), &EventBody::SystemDraining, b"")),
        ("of an application", event(Topic::new("app/x"), &other, b"")),
    ]
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
    let now: String = shapes.iter().map(|(name, json)| format!("{name}\n  {json}\n")).collect();
    let this = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"));
    crate::testing::published::assert_unchanged(this, "wire.txt", &now);
}

#[test]
fn every_event_that_the_daemon_writes_has_a_schema_of_its_own() {
    let written: std::collections::BTreeSet<String> = events()
        .into_iter()
        .map(|(_, json)| serde_json::from_str::<serde_json::Value>(&json).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .filter(|word| !word.starts_with("app."))
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

//! The trace of an HTTP caller goes on to the programs that are started for it.

use serde_json::json;

use crate::rig::agents::{log, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::parrot::parrot;
use crate::rig::processes::eventually;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What an agent that was asked for with these header fields says of its trace.
fn told(daemon: &Daemon, fields: &[(&str, &str)], env: &serde_json::Value) -> Vec<String> {
    let mut http = daemon.http();
    let config = json!({"command": parrot(&["env"]), "env": env});
    let params = json!({"agent_type": "process", "config": config}).to_string();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(fields);
    let reply = http.request("POST", "/rpc/agent.spawn", &headers, params.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let spawned = reply.json();
    let id = spawned["agent_id"].as_str().expect("an identifier");
    wait(&mut http, id);
    let said = String::from_utf8(log(&mut http, id, "stdout")).expect("text");
    let mut told: Vec<String> =
        said.lines().filter(|line| line.starts_with("TRACE")).map(str::to_owned).collect();
    told.sort();
    told
}

#[test]
fn the_trace_of_an_http_caller_is_in_the_environment_of_its_agent() {
    let collector = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let daemon = Setup::new().env(collector, "http://127.0.0.1:9").start();
    // Nobody is left to wonder where the spans of a daemon are that makes none.
    let warned = format!("{collector} is set, and this daemon was built without");
    eventually("the daemon says so", || daemon.log().contains(&warned));
    let (parent, state) = (("traceparent", PARENT), ("tracestate", "vendor=1"));
    let parent_told = format!("TRACEPARENT={PARENT}");
    let nothing = json!({});
    assert_eq!(told(&daemon, &[parent], &nothing), [parent_told.as_str()]);
    assert_eq!(told(&daemon, &[parent, state], &nothing), [&*parent_told, "TRACESTATE=vendor=1"]);
    assert!(told(&daemon, &[], &nothing).is_empty());
    // What is no trace is no error either.
    assert!(told(&daemon, &[("traceparent", "no trace"), state], &nothing).is_empty());
    let own = json!({"TRACEPARENT": "own"});
    assert_eq!(told(&daemon, &[parent, state], &own), ["TRACEPARENT=own"]);
}

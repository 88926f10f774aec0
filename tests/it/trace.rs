//! The trace of an HTTP caller goes on to the programs that are started for it.

use serde_json::{Value, json};

use crate::rig::agents::{log, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Http;
use crate::rig::parrot::parrot;
use crate::rig::processes::eventually;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Calls a method with these header fields; gives the agent that it is about.
fn asked(http: &mut Http, method: &str, fields: &[(&str, &str)], params: &Value) -> String {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(fields);
    let path = format!("/rpc/{method}");
    let reply = http.request("POST", &path, &headers, params.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["agent_id"].as_str().expect("an identifier").to_owned()
}

/// What the runs of an agent have said of their traces.
fn said(http: &mut Http, agent: &str) -> Vec<String> {
    wait(http, agent);
    let said = String::from_utf8(log(http, agent, "stdout")).expect("text");
    let mut told: Vec<String> =
        said.lines().filter(|line| line.starts_with("TRACE")).map(str::to_owned).collect();
    told.sort();
    told
}

/// What an agent that was asked for with these header fields says of its trace.
fn told(daemon: &Daemon, fields: &[(&str, &str)], env: &Value) -> Vec<String> {
    let mut http = daemon.http();
    let config = json!({"command": parrot(&["env"]), "env": env});
    let params = json!({"agent_type": "process", "config": config});
    let agent = asked(&mut http, "agent.spawn", fields, &params);
    said(&mut http, &agent)
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

#[test]
fn who_starts_an_agent_again_takes_it_into_the_trace_of_that_call() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let params = json!({"agent_type": "process", "config": {"command": parrot(&["env"])}});
    let agent = asked(&mut http, "agent.spawn", &[], &params);
    assert!(said(&mut http, &agent).is_empty());
    let again = json!({"agent_id": agent});
    asked(&mut http, "agent.restart", &[("traceparent", PARENT)], &again);
    let first = format!("TRACEPARENT={PARENT}");
    assert_eq!(said(&mut http, &agent), [&*first]);
    let other = PARENT.replace("4736", "4737");
    asked(&mut http, "agent.restart", &[("traceparent", &other)], &again);
    assert_eq!(said(&mut http, &agent), [first, format!("TRACEPARENT={other}")]);
}

//! Routes of their own: each method under its path, logs as bytes, events as `EventSource` has them.

use std::io::Read;

use serde_json::{Value, json};

use crate::output::hard_bytes;
use crate::rig::agents::{await_output, id_of, log, spawn, spawn_with, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Http;
use crate::rig::{Caller, parrot, processes, torture};

#[test]
fn a_method_under_its_own_path_takes_parameters_and_gives_the_bare_result() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let reply = http.bare("system.ready", &json!({}));
    assert_eq!((reply.status, &reply.json()["ready"]), (200, &json!(true)));
    let json = [("Content-Type", "application/json")];
    let without = http.request("POST", "/rpc/system.ready", &json, b"");
    assert_eq!((without.status, without.body), (200, reply.body));

    let config = json!({"command": ["sh", "-c", "exit 0"]});
    let spawn = json!({"agent_type": "process", "config": config, "idempotency_key": "one"});
    let spawned = http.bare("agent.spawn", &spawn).json();
    assert_eq!(http.bare("agent.spawn", &spawn).json(), spawned, "the same key, the same agent");
    let positions = json!([spawned["agent_id"]]);
    let waited = http.bare("agent.wait", &positions);
    assert_eq!((waited.status, &waited.json()["status"]), (200, &json!("completed")));
    let over_the_envelope = http.ok("agent.get", json!({"agent_id": spawned["agent_id"]}));
    let mut bare = http.bare("agent.get", &json!({"agent_id": spawned["agent_id"]})).json();
    bare["cursor"] = over_the_envelope["cursor"].clone();
    assert_eq!(bare, over_the_envelope);
}

#[test]
fn an_error_under_its_own_path_is_the_error_object_with_the_status_of_its_kind() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let program = json!({"agent_type": "process", "config": {"command": ["/no/such"]}});
    for (method, params, status, kind) in [
        ("agent.get", json!({"agent_id": "nobody"}), 404, "agent_not_found"),
        ("agent.get", json!({"no": 1}), 400, "invalid_params"),
        ("agent.get", json!(7), 400, "invalid_params"),
        ("no.such", json!({}), 404, "method_not_found"),
        ("agent.spawn", program, 422, "spawn_failed"),
        ("event.subscribe", json!({"topics": ["agent/"]}), 400, "invalid_request"),
        ("event.read", json!({"topics": ["agent/"], "after": "1.2.3.4"}), 400, "invalid_params"),
    ] {
        let reply = http.bare(method, &params);
        let error = reply.json();
        assert_eq!((reply.status, &error["data"]["kind"]), (status, &json!(kind)), "{error}");
        let response = http.call(method, params);
        assert_eq!(response, Err(error), "{method}: the same in an envelope");
    }
    let json = [("Content-Type", "application/json")];
    for (body, status, code) in [("{", 400, -32700), ("\u{1}", 400, -32700)] {
        let reply = http.request("POST", "/rpc/system.ready", &json, body.as_bytes());
        assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{body:?}");
    }
    let unsubscribed = http.bare("event.subscribe", &json!({"topics": ["agent/"]})).json();
    assert_eq!(unsubscribed["data"]["reason"], "no_stream");
}

#[test]
fn the_guards_stand_before_every_route() {
    let daemon = Daemon::start();
    let id = spawn(&mut daemon.socket(), &parrot::shell("echo secret"));
    wait(&mut daemon.socket(), &id);
    let paths = [
        ("POST", "/rpc/system.ready".to_owned()),
        ("GET", format!("/agents/{id}/logs")),
        ("GET", "/events?topic=agent/".to_owned()),
        ("GET", "/openrpc.json".to_owned()),
    ];
    for (method, path) in paths {
        let json = ("Content-Type", "application/json");
        for (headers, status) in [
            (vec![json, ("Host", "evil.example")], 421),
            (vec![json, ("Origin", "https://evil.example")], 403),
            (vec![json, ("X-Forwarded-For", "192.0.2.1")], 401),
        ] {
            let reply = daemon.http().request(method, &path, &headers, b"");
            assert_eq!(reply.status, status, "{method} {path} {headers:?}");
            assert_eq!(reply.json()["id"], Value::Null);
        }
    }
    let plain = [("Content-Type", "text/plain")];
    let reply = daemon.http().request("POST", "/rpc/system.shutdown", &plain, b"{}");
    assert_eq!(reply.status, 415);
}

#[test]
fn a_log_comes_back_byte_for_byte() {
    let daemon = Daemon::start();
    let (mut http, mut socket) = (daemon.http(), daemon.socket());
    let long = [vec![b'x'; 5_000_000], vec![b'\n']].concat();
    let more = [
        ("a line of 5 MB", long),
        ("half a character in a long line", [vec![0xc3; 200_000], b"\n\xc3".to_vec()].concat()),
    ];
    for (name, bytes) in hard_bytes().into_iter().chain(more) {
        for stream in ["stdout", "stderr"] {
            let file = daemon.home.file("said", &bytes);
            let id = spawn(&mut socket, &parrot::say(stream, &file));
            let mut followed = Vec::new();
            let follow = format!("/agents/{id}/logs?stream={stream}&follow=1");
            daemon.http().opened(&follow).read_to_end(&mut followed).expect("the whole log");
            assert!(followed == bytes, "{name} of {stream}, followed");
            wait(&mut socket, &id);
            for query in [format!("stream={stream}"), String::new(), "stream=both&follow".into()] {
                let reply = http.get(&format!("/agents/{id}/logs?{query}"));
                assert_eq!(reply.status, 200);
                assert!(reply.body == bytes, "{name} of {stream} as {query:?}");
                assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
                assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
                assert_eq!(reply.header("descartes-gap"), None);
            }
            let other = if stream == "stdout" { "stderr" } else { "stdout" };
            assert_eq!(http.get(&format!("/agents/{id}/logs?stream={other}")).body, b"");
        }
    }
}

#[test]
fn a_log_is_found_by_name_and_a_tail_is_its_last_rows() {
    let daemon = Daemon::start();
    let (mut http, mut socket) = (daemon.http(), daemon.socket());
    let command = parrot::shell("seq 1 3000; printf half");
    let id = spawn_with(&mut socket, json!({"name": "worker", "config": {"command": command}}));
    wait(&mut socket, &id);
    let whole = log(&mut socket, &id, "stdout");
    let mut get = |query: &str| http.get(&format!("/agents/worker/logs{query}")).body;
    assert_eq!(get(""), whole);
    assert_eq!(get("?tail=2"), b"3000\nhalf");
    assert_eq!(get("?tail=0"), b"");
    assert_eq!(get("?tail=0&follow=1"), b"");
    assert_eq!(get("?tail=99999999999999999999").first(), Some(&b'{'), "not a number");
    assert_eq!(get("?tail=9999999"), whole);
    let tail = String::from_utf8(get("?tail=2500&stream=stdout&follow=1")).expect("text");
    assert_eq!(tail.lines().next(), Some("502"));
    assert_eq!(tail.lines().count(), 2500);
}

#[test]
fn what_is_no_agent_or_no_query_is_refused_as_json() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    for (path, status, code) in [
        ("/agents/nobody/logs", 404, -32002),
        ("/agents/nobody/logs?follow=1", 404, -32002),
        ("/agents/01a2b3c4-0000-7000-8000-000000000000/logs", 404, -32002),
        ("/agents/nobody/logs?since=1", 400, -32602),
        ("/agents/nobody/logs?follow=perhaps", 400, -32602),
        ("/agents/nobody/logs?stream=stdin", 400, -32602),
        ("/events", 400, -32602),
        ("/events?topic=agent/&after=rubbish", 400, -32602),
    ] {
        let reply = http.get(path);
        let error = reply.json();
        assert_eq!((reply.status, &error["error"]["code"]), (status, &json!(code)), "{path}");
        assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), &Value::Null), "{path}");
    }
}

#[test]
fn a_followed_log_goes_on_until_the_agent_has_ended() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "printf 'first '; read a; echo $a; echo err >&2; read b; printf \"$b\"";
    let id = spawn(&mut socket, &parrot::shell(script));
    let mut log = daemon.http().opened(&format!("/agents/{id}/logs?follow=1"));
    assert_eq!(taken(&mut log, 6), b"first ");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "second\n"}));
    let mut both = taken(&mut log, 11);
    both.sort_unstable();
    let mut expected = b"second\nerr\n".to_vec();
    expected.sort_unstable();
    assert_eq!(both, expected, "two streams, in whichever order they were seen");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "last\n"}));
    let mut rest = Vec::new();
    log.read_to_end(&mut rest).expect("a body that ends as it should");
    assert_eq!(rest, b"last");
}

fn taken(log: &mut impl Read, bytes: usize) -> Vec<u8> {
    let mut taken = vec![0; bytes];
    log.read_exact(&mut taken).expect("the agent writes on");
    taken
}

#[test]
fn a_followed_log_is_whole_although_the_daemon_goes_down() {
    let daemon = Daemon::start();
    let last_word = "trap 'echo ended; exit 0' TERM; echo begun; read x";
    let id = spawn(&mut daemon.socket(), &parrot::shell(last_word));
    let mut log = daemon.http().opened(&format!("/agents/{id}/logs?follow=1"));
    assert_eq!(taken(&mut log, 6), b"begun\n");
    let (ended, _home) = daemon.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let mut rest = Vec::new();
    log.read_to_end(&mut rest).expect("a body with its end");
    assert_eq!(rest, b"ended\n");
}

#[test]
fn a_follower_that_goes_away_leaves_nothing_behind() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo begun; read x"));
    await_output(&mut socket, &id, "begun\n");
    let connections = |http: &mut Http| {
        http.ok("system.metrics", json!({}))["system"]["active_connections"].as_u64()
    };
    let mut http = daemon.http();
    let before = connections(&mut http);
    let followers: Vec<_> = (0..torture(200))
        .map(|_| {
            let mut log = daemon.http().opened(&format!("/agents/{id}/logs?follow=1"));
            assert_eq!(taken(&mut log, 6), b"begun\n");
            log
        })
        .collect();
    assert!(connections(&mut http) > before);
    drop(followers);
    processes::eventually("the daemon forgets who has gone", || connections(&mut http) == before);
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    wait(&mut socket, &id);
}

#[test]
fn a_log_without_follow_ends_although_the_agent_never_rests() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    // A writer that is faster than retention, like `yes`, may take away what is being read.
    let id = spawn(&mut socket, &parrot::shell("while :; do echo y; done"));
    await_output(&mut socket, &id, "y\ny\n");
    let reply = daemon.http().get(&format!("/agents/{id}/logs"));
    assert!(reply.body.starts_with(b"y\ny\n"));
    socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
}

#[test]
fn what_is_no_longer_kept_of_a_log_is_said_before_its_rest() {
    let daemon = Setup::new().config("[retention]\noutput_bytes_per_agent = 1000000\n").start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::flood(60_000_000));
    wait(&mut socket, &id);
    // What is trimmed while it is read makes the answer break off, so that must have come to rest.
    let mut answered = None;
    processes::eventually("the log is answered in full", || {
        let mut http = daemon.http();
        let request = http.format("GET", &format!("/agents/{id}/logs"), &[], b"");
        http.send(&request).expect("the daemon reads");
        answered = http.reply().ok();
        answered.is_some()
    });
    let reply = answered.expect("it was answered");
    let gap = reply.header("descartes-gap").expect("the gap is named");
    assert!(gap.starts_with("from-offset=0, to-offset="), "{gap}");
    assert!(reply.body.len() < 60_000_000 && reply.body.ends_with(b"\n"));
}

#[test]
fn a_subscription_under_its_own_path_streams_when_that_is_accepted() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = id_of(
        &socket
            .ok("agent.spawn", json!({"agent_type": "process", "config": {"command": ["true"]}})),
    );
    wait(&mut socket, &id);
    let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
    let topics = json!({"topics": ["agent/"]}).to_string();
    let http = daemon.http();
    let mut events = http.stream_of("POST", "/rpc/event.subscribe", &headers, topics.as_bytes());
    let response = events.next().expect("the response first").json();
    assert!(response["result"]["subscription_id"].is_string(), "{response}");
    assert_eq!((&response["jsonrpc"], &response["id"]), (&json!("2.0"), &Value::Null));
    let next = events.next().expect("then the history");
    assert_eq!(next.json()["method"], "event.next");
    assert_eq!(next.id.as_deref(), Some(text(&next.json()["params"]["event"]["cursor"])));
    assert!(events.any(|event| event.json()["method"] == "event.synced"));
}

#[test]
fn a_value_that_was_written_over_several_lines_breaks_no_line_protocol() {
    let daemon = Daemon::start();
    let put = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state.put\",\"params\":{\"key\":\"k\",\
        \"value\":{\r\n\t\"a\":\n[1,\n2]\n}}}";
    let reply = daemon.http().post(put).json();
    assert_eq!(reply["result"]["version"], 1, "{reply}");
    let expected = json!({"k": {"a": [1, 2]}});
    let mut socket = daemon.socket();
    assert_eq!(socket.ok("state.query", json!({"key": "k"}))["state"], expected);
    let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
    let query = br#"{"jsonrpc":"2.0","id":1,"method":"state.query","params":{"key":"k"}}"#;
    let mut events = daemon.http().stream_of("POST", "/", &headers, query);
    let answer = events.next().expect("the response").json();
    assert_eq!(answer["result"]["state"], expected);
}

#[test]
fn the_openapi_document_has_every_method_that_is_listed() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let (openrpc, reply) = (http.get("/openrpc.json").json(), http.get("/openapi.json"));
    let openapi = reply.json();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!((&openapi["openapi"], &openapi["info"]), (&json!("3.1.0"), &openrpc["info"]));
    for method in openrpc["methods"].as_array().expect("methods") {
        let path = format!("/rpc/{}", text(&method["name"]));
        assert_eq!(openapi["paths"][&path]["post"]["operationId"], method["name"]);
    }
    for (path, item) in openapi["paths"].as_object().expect("paths") {
        let (get, post) = (item.get("get").is_some(), item.get("post").is_some());
        let allowed = http.request("OPTIONS", path, &[], b"");
        assert_eq!(allowed.status, 405, "{path} is described and not served");
        let allow = allowed.header("allow").expect("what is served").to_owned();
        assert_eq!((allow.contains("GET"), allow.contains("POST")), (get, post), "{path}");
    }
}

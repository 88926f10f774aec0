//! What is said on the wire, to the letter: a table over HTTP and over the Unix socket.

mod messages;
mod requests;

use serde_json::Value;

use crate::rig::daemon::Daemon;
use crate::rig::http::Http;
use crate::rig::socket::Socket;
use crate::rig::{Caller, processes, torture};

const DEPTH_ALLOWED: usize = 128;
const REQUEST_MAX: usize = 1024 * 1024;
const READY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"}"#;

/// Fails unless `actual` has everything that `expected` has; arrays have to be as long.
fn contains(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected
            .iter()
            .all(|(name, value)| actual.get(name).is_some_and(|other| contains(value, other))),
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(one, other)| contains(one, other))
        }
        _ => expected == actual,
    }
}

/// The status that an answered message has over HTTP.
fn status_of(answer: &str) -> u16 {
    if answer.is_empty() {
        return 204;
    }
    let answer: Value = serde_json::from_str(answer).expect("the table is JSON");
    let malformed = answer["id"].is_null() && answer["error"]["code"] == -32700;
    if malformed { 400 } else { 200 }
}

fn complaint(claim: &str, answer: &str, actual: &Value) -> Option<String> {
    let expected: Value = serde_json::from_str(answer).expect("the table is JSON");
    let whole = each(actual).all(|one| one["jsonrpc"] == "2.0" && one.as_object().is_some());
    (!whole || !contains(&expected, actual)).then(|| format!("{claim}\n    {actual}"))
}

fn each(answer: &Value) -> impl Iterator<Item = &Value> {
    let many = answer.as_array().map(|all| all.iter());
    many.unwrap_or_else(|| std::slice::from_ref(answer).iter())
}

#[test]
fn every_message_of_the_table_gets_its_answer_over_http() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let mut complaints = Vec::new();
    for (claim, sent, answer) in messages::cases() {
        let reply = http.post(sent.as_bytes());
        if answer.is_empty() {
            if (reply.status, reply.body.len()) != (204, 0) {
                complaints.push(format!("{claim}: {} {}", reply.status, reply.text()));
            }
            continue;
        }
        complaints.extend(complaint(claim, &answer, &reply.json()));
        let refused_as_a_whole = reply.json()["id"].is_null() && reply.status == 400;
        if reply.status != status_of(&answer) && !refused_as_a_whole {
            complaints.push(format!("{claim}: status {}", reply.status));
        }
    }
    assert!(complaints.is_empty(), "{} claims fail:\n{}", complaints.len(), complaints.join("\n"));
    http.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn every_message_of_the_table_gets_its_answer_over_the_unix_socket() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let mut complaints = Vec::new();
    for (claim, sent, answer) in messages::cases() {
        socket.send(format!("{sent}\n").as_bytes()).expect("the connection is healthy");
        if answer.is_empty() {
            // Whatever came back would stand before the answer to the next message.
            let health = socket.call("system.health", Value::Array(Vec::new()));
            complaints.extend(health.err().map(|error| format!("{claim}: {error}")));
        } else {
            complaints.extend(complaint(claim, &answer, &socket.message()));
        }
    }
    assert!(complaints.is_empty(), "{} claims fail:\n{}", complaints.len(), complaints.join("\n"));
    socket.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn an_id_beyond_the_precision_of_a_double_comes_back_digit_by_digit() {
    let daemon = Daemon::start();
    for id in ["9007199254740993", "18446744073709551616", "-123456789012345678901234567890"] {
        let sent = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"system.ready"}}"#);
        let expected = format!(r#""id":{id}"#);
        let over_http = daemon.http().post(sent.as_bytes());
        assert!(over_http.text().contains(&expected), "{}", over_http.text());
        let mut socket = daemon.socket();
        socket.send(format!("{sent}\n").as_bytes()).expect("the daemon reads");
        let line = socket.line().expect("the daemon answers");
        assert!(line.contains(&expected), "{line}");
    }
}

#[test]
fn a_batch_takes_128_calls_and_not_one_more() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let batch = |calls: usize| format!("[{}]", vec![READY; calls].join(","));
    let full = http.post(batch(128).as_bytes());
    assert_eq!(full.json().as_array().map(Vec::len), Some(128));
    let over = http.post(batch(129).as_bytes()).json();
    assert_eq!(over["error"]["code"], -32600, "{over}");
    assert_eq!(over["id"], Value::Null);
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let daemon = Daemon::start();
    let mut http = daemon.http();
    let mut socket = daemon.socket();
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"no.such","params":{value}}}"#)
    };
    // The message itself is one level.
    let within = http.post(nested(DEPTH_ALLOWED - 1).as_bytes()).json();
    assert_eq!(within["error"]["code"], -32601, "{within}");
    for depth in [DEPTH_ALLOWED, 1_000, 100_000] {
        let over = http.post(nested(depth).as_bytes()).json();
        assert_eq!(over["error"]["code"], -32600, "{depth}: {over}");
        assert_eq!(over["id"], Value::Null);
        socket.send(format!("{}\n", nested(depth)).as_bytes()).expect("the daemon reads");
        assert_eq!(socket.message()["error"]["code"], -32600, "{depth}");
    }
    let deep_alone = "[".repeat(100_000);
    assert_eq!(http.post(deep_alone.as_bytes()).json()["id"], Value::Null);
    http.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn a_message_of_a_mebibyte_is_taken_and_one_byte_more_is_not() {
    let daemon = Daemon::start();
    let sized = |bytes: usize| format!("{READY}{}", " ".repeat(bytes - READY.len()));
    let mut socket = daemon.socket();
    socket.send(format!("{}\n", sized(REQUEST_MAX)).as_bytes()).expect("the daemon reads");
    assert_eq!(socket.message()["id"], 1);
    socket.send(format!("{}\n", sized(REQUEST_MAX + 1)).as_bytes()).expect("the daemon reads");
    let over = socket.message();
    assert_eq!((&over["id"], &over["error"]["code"]), (&Value::Null, &Value::from(-32011)));
    socket.ok("system.health", Value::Array(Vec::new()));

    let mut http = daemon.http();
    assert_eq!(http.post(sized(REQUEST_MAX).as_bytes()).status, 200);
    let over = http.post(sized(REQUEST_MAX + 1).as_bytes());
    assert_eq!((over.status, &over.json()["error"]["code"]), (413, &Value::from(-32011)));
}

#[test]
fn a_line_without_end_is_skipped_for_16_mib_and_then_cut() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let skipped = vec![b'x'; 15 * 1024 * 1024];
    socket.send(&skipped).expect("the daemon skips");
    assert_eq!(socket.message()["error"]["code"], -32011);
    socket.send(b"\n").expect("the connection is kept");
    socket.ok("system.health", Value::Array(Vec::new()));

    let mut endless = daemon.socket();
    let piece = vec![b'x'; 1024 * 1024];
    let sent = (0..64).take_while(|_| endless.send(&piece).is_ok()).count();
    assert!(sent < 64, "the daemon reads {sent} MiB of one line");
}

#[test]
fn nothing_that_a_stranger_sends_costs_four_times_its_size() {
    let daemon = Daemon::start();
    let pid = daemon.number();
    daemon.http().ok("system.health", Value::Array(Vec::new()));
    let before = processes::resident(pid);
    let members: Vec<String> = (0..60_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let members = members.join(",");
    let bodies = [
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"system.ready","params":{{{members}}}}}"#),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"state.put","params":{{"value":[{}1]}}}}"#,
            "1,".repeat(500_000)
        ),
        format!("[{}1]", "{},".repeat(300_000)),
        format!("{{{members}}}"),
    ];
    let size = bodies.iter().map(String::len).max().expect("there are bodies");
    let mut http = daemon.http();
    for body in bodies.iter().cycle().take(bodies.len() * torture(100).max(2)) {
        assert!(http.post(body.as_bytes()).json().get("error").is_some());
    }
    let grown = processes::resident_peak(pid).saturating_sub(before);
    // Beside the message: one read buffer, and what the allocator keeps of it.
    assert!(grown < 4 * size as u64 + 4 * 1024 * 1024, "{grown} bytes for messages of {size}");
    http.ok("system.health", Value::Array(Vec::new()));
}

#[test]
fn answers_that_are_pipelined_come_back_in_full() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let many = 500;
    let sent: String = (0..many)
        .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"system.ready\"}}\n"))
        .collect();
    socket.send(sent.as_bytes()).expect("the daemon reads");
    let mut seen: Vec<u64> =
        (0..many).map(|_| socket.message()["id"].as_u64().expect("an id of ours")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..many).collect::<Vec<_>>());
}

/// Connections of both kinds, for those who do not care which.
fn both(daemon: &Daemon) -> (Http, Socket) {
    (daemon.http(), daemon.socket())
}

#[test]
fn what_is_listed_is_there_and_what_is_there_is_listed() {
    let daemon = Daemon::start();
    let (mut http, mut socket) = both(&daemon);
    let document = socket.ok("rpc.discover", Value::Array(Vec::new()));
    let listed = document["methods"].as_array().expect("the document has methods");
    let page: Value = http.get("/").json();
    let names: Vec<&Value> = listed.iter().map(|method| &method["name"]).collect();
    assert_eq!(page["methods"].as_array().expect("names").iter().collect::<Vec<_>>(), names);
    assert_eq!(http.get("/openrpc.json").json(), document);
    for name in names {
        let name = name.as_str().expect("a name");
        if name == "system.shutdown" {
            continue;
        }
        let wrong = serde_json::json!({"no such member": 1});
        let error = http.refused("invalid_params", name, wrong);
        assert_eq!(error["data"]["member"], "no such member", "{name}: {error}");
    }
}

//! A reader that is cut off comes back with its cursor and sees the rest: nothing twice, nothing
//! missing, over every transport.

use serde_json::{Value, json};

use crate::rig::agents::{events, spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Events;
use crate::rig::{Caller, parrot};

/// A way to read everything after a cursor up to now.
type Reader = fn(&Daemon, &str, &str) -> Vec<Value>;

const READERS: &[(&str, Reader)] = &[
    ("event.read over HTTP", |daemon, topic, after| events(&mut daemon.http(), topic, after)),
    ("event.read over Unix", |daemon, topic, after| events(&mut daemon.socket(), topic, after)),
    ("a subscription over Unix", subscription),
    ("server-sent events", sent_events),
    ("a POST with a stream", posted_stream),
];

fn subscription(daemon: &Daemon, topic: &str, after: &str) -> Vec<Value> {
    let mut socket = daemon.socket();
    let subscribed = socket.ok("event.subscribe", json!({"topics": [topic], "after": after}));
    let mut seen = Vec::new();
    loop {
        let (method, mut params) = socket.notification();
        assert_eq!(params["subscription_id"], subscribed["subscription_id"]);
        match method.as_str() {
            "event.next" => seen.push(params["event"].take()),
            "event.synced" => return seen,
            other => panic!("{other}: {params}"),
        }
    }
}

fn sent_events(daemon: &Daemon, topic: &str, after: &str) -> Vec<Value> {
    let path = format!("/events?topic={topic}");
    // The browser's way to say where it was.
    let headers = [("Last-Event-ID", after)];
    let came_back: &[(&str, &str)] = if after == "start" { &[] } else { &headers };
    until_synced(daemon.http().events(&path, came_back))
}

fn until_synced(stream: Events) -> Vec<Value> {
    let mut seen = Vec::new();
    for event in stream {
        match event.event.as_deref() {
            None => {
                let body = event.json();
                assert_eq!(event.id.as_deref(), body["cursor"].as_str(), "the id is the cursor");
                seen.push(body);
            }
            Some("synced") => return seen,
            Some(other) => panic!("{other}: {event:?}"),
        }
    }
    panic!("the stream ended before it was in sync")
}

fn posted_stream(daemon: &Daemon, topic: &str, after: &str) -> Vec<Value> {
    let params = json!({"topics": [topic], "after": after});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": params});
    let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
    let call = call.to_string();
    let mut stream = daemon.http().stream_of("POST", "/", &headers, call.as_bytes());
    let first = stream.next().expect("the response comes first").json();
    assert!(first["result"]["subscription_id"].is_string(), "{first}");
    let mut seen = Vec::new();
    for message in stream {
        let mut message = message.json();
        match text(&message["method"]) {
            "event.next" => seen.push(message["params"]["event"].take()),
            "event.synced" => return seen,
            other => panic!("{other}: {message}"),
        }
    }
    panic!("the stream ended before it was in sync")
}

/// A history with several agents, both streams, restarts and a kill.
fn make_history(daemon: &Daemon) -> Vec<Value> {
    let mut socket = daemon.socket();
    let first =
        spawn(&mut socket, &parrot::shell("for i in 1 2 3; do echo $i; echo e$i >&2; done"));
    let file = daemon.home.file("said", b"half \xff\xfe line");
    let second = spawn(&mut socket, &parrot::say("stdout", &file));
    let third = spawn(&mut socket, &parrot::shell("read line"));
    wait(&mut socket, &first);
    wait(&mut socket, &second);
    socket.ok("agent.restart", json!({"agent_id": third}));
    socket.ok("agent.kill", json!({"agent_id": third}));
    socket.ok("agent.restart", json!({"agent_id": second}));
    wait(&mut socket, &second);
    events(&mut socket, "agent/", "start")
}

#[test]
fn after_every_event_every_reader_sees_exactly_the_rest() {
    let daemon = Daemon::start();
    let history = make_history(&daemon);
    assert!(history.len() > 15, "a history worth the name: {}", history.len());
    let grows = history.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64());
    assert!(grows, "seq grows");
    for (name, read) in READERS {
        assert_eq!(read(&daemon, "agent/", "start"), history, "{name} from the start");
        for (at, event) in history.iter().enumerate() {
            let rest = read(&daemon, "agent/", text(&event["cursor"]));
            assert_eq!(rest, history[at + 1..], "{name} after event {at}");
        }
    }
}

#[test]
fn offsets_count_without_holes_inside_a_topic() {
    let daemon = Daemon::start();
    let history = make_history(&daemon);
    let mut next = std::collections::HashMap::new();
    for event in &history {
        let expected = next.entry(text(&event["topic"])).or_insert_with(|| {
            // A removed agent's topics may begin later than at zero.
            event["offset"].as_u64().expect("an offset")
        });
        assert_eq!(event["offset"], *expected, "{event}");
        *expected += 1;
    }
}

#[test]
fn a_history_survives_a_restart_with_its_cursors() {
    let daemon = Daemon::start();
    let history = make_history(&daemon);
    let (ended, home) = daemon.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let daemon = Setup::at(&home).start();
    for (name, read) in READERS {
        for (at, event) in history.iter().enumerate().step_by(3) {
            let rest = read(&daemon, "agent/", text(&event["cursor"]));
            assert_eq!(rest, history[at + 1..], "{name} after event {at}");
        }
    }
}

#[test]
fn a_cursor_of_another_store_is_refused() {
    let (daemon, other) = (Daemon::start(), Daemon::start());
    let foreign = other.socket().ok("agent.list", json!({}))["cursor"].clone();
    let params = json!({"topics": ["agent/"], "after": foreign});
    for method in ["event.read", "event.subscribe"] {
        let error = daemon.socket().refused("conflict", method, params.clone());
        assert_eq!(error["data"]["reason"], "cursor_foreign", "{method}");
    }
    let path = format!("/events?topic=agent/&after={}", text(&foreign));
    assert_eq!(daemon.http().get(&path).status, 204);
    let headers = [("Last-Event-ID", text(&foreign))];
    let reply = daemon.http().request("GET", "/events?topic=agent/", &headers, b"");
    assert_eq!(reply.status, 204);
}

/// The bytes of output after `after`, over as many pages as that takes.
fn kept(caller: &mut impl Caller, topic: &str, after: &Value) -> usize {
    let (mut after, mut bytes) = (after.clone(), 0);
    loop {
        let page = caller.ok("event.read", json!({"topics": [topic], "after": after}));
        let events = page["events"].as_array().expect("a page has events");
        bytes += events.iter().map(|event| text(&event["data"]["text"]).len()).sum::<usize>();
        if page["synced"] == true {
            return bytes;
        }
        after = page["cursor"].clone();
    }
}

#[test]
fn trimmed_history_is_told_once_for_each_topic() {
    let daemon = Setup::new().config("[retention]\noutput_bytes_per_agent = 1000000\n").start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("echo first; read line; yes | head -c 60000000"));
    let topic = format!("agent/{id}/output");
    crate::rig::agents::await_output(&mut socket, &id, "first");
    let early = events(&mut socket, &topic, "start")[0].clone();
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    wait(&mut socket, &id);
    let after = &early["cursor"];
    // What is trimmed while somebody reads is told to him as well, so it must have come to rest.
    crate::rig::processes::eventually("no more is kept than may be", || {
        kept(&mut socket, &topic, after) <= 1_000_000
    });
    let page = socket.ok("event.read", json!({"topics": [topic], "after": after}));
    let gaps = page["gaps"].as_array().expect("gaps");
    assert_eq!(gaps.len(), 1, "{}", page["gaps"]);
    let lost = |gap: &Value| (gap["topic"].clone(), gap["from_offset"].clone());
    assert_eq!(lost(&gaps[0]), (json!(topic), json!(1)));
    assert_eq!(page["events"][0]["offset"], gaps[0]["to_offset"]);

    let mut subscriber = daemon.socket();
    subscriber.ok("event.subscribe", json!({"topics": [topic], "after": after}));
    let (method, gap) = subscriber.notification();
    assert_eq!((method.as_str(), lost(&gap)), ("event.gap", lost(&gaps[0])));
    let (method, next) = subscriber.notification();
    assert_eq!(method, "event.next");
    assert_eq!(next["event"]["offset"], gap["to_offset"]);
    loop {
        let (method, params) = subscriber.notification();
        assert_ne!(method, "event.gap", "told twice: {params}");
        if method == "event.synced" {
            break;
        }
    }
}

#[test]
fn a_subscription_begins_where_it_is_told() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id =
        spawn(&mut socket, &parrot::shell("for i in 1 2 3; do echo $i; sleep 0.1; done; read x"));
    crate::rig::agents::await_output(&mut socket, &id, "3\n");
    let topic = format!("agent/{id}/output");
    let all = events(&mut socket, &topic, "start");
    let mut tailing = daemon.socket();
    tailing.ok("event.subscribe", json!({"topics": [topic], "tail": 1}));
    let (_, params) = tailing.notification();
    assert_eq!(params["event"], all[all.len() - 1]);
    let mut now = daemon.socket();
    now.ok("event.subscribe", json!({"topics": [topic], "after": "now"}));
    assert_eq!(now.notification().0, "event.synced");
    let mut typed = daemon.socket();
    let topics = json!({"topics": ["agent/"], "types": ["agent.exited"]});
    let subscribed = typed.ok("event.subscribe", topics);
    assert_eq!(typed.notification().0, "event.synced");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "\n"}));
    let (method, params) = typed.notification();
    assert_eq!((method.as_str(), &params["event"]["type"]), ("event.next", &json!("agent.exited")));
    let unsubscribe = json!({"subscription_id": subscribed["subscription_id"]});
    assert_eq!(typed.ok("event.unsubscribe", unsubscribe)["unsubscribed"], true);
    let (method, params) = typed.notification();
    assert_eq!((method.as_str(), &params["reason"]), ("event.ended", &json!("unsubscribed")));
}

#[test]
fn a_snapshot_and_a_subscription_from_its_cursor_miss_nothing() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let before = socket.ok("agent.list", json!({"status": "any"}));
    let id = spawn(&mut socket, &parrot::shell("exit 0"));
    wait(&mut socket, &id);
    let topic = format!("agent/{id}/status");
    let seen = subscription(&daemon, &topic, text(&before["cursor"]));
    assert_eq!(seen[0]["type"], "agent.spawned");
    assert_eq!(seen[seen.len() - 1]["type"], "agent.exited");
    let after = socket.ok("agent.list", json!({"status": "any"}));
    assert_eq!(subscription(&daemon, &topic, text(&after["cursor"])), Vec::<Value>::new());
}

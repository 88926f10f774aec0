//! A load whose sums are known, over every transport at once, and what the page makes of it.

use std::thread;

use descartes_rpc::client::Client;
use descartes_transport_http::WsClient;
use serde_json::json;

use super::{Page, read, value};
use crate::rig::Caller;
use crate::rig::agents::{spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Http;
use crate::rig::parrot::parrot;
use crate::rig::processes::eventually;
use crate::rig::socket::Socket;
use crate::rig::zmtp::Zmtp;

const CLIENTS: usize = 8;
const ROUNDS: usize = 2;

/// What one client does over a wire of any kind.
fn calls(caller: &mut impl Caller, word: &str) {
    caller.ok("system.health", json!({}));
    caller.refused("agent_not_found", "agent.get", json!({"agent_id": word}));
    caller.refused("invalid_params", "agent.get", json!({"agent_id": word, word: word}));
    caller.refused("method_not_found", &format!("agent.{word}"), json!({}));
}

/// What is no call, or not to be answered.
fn oddities(socket: &mut Socket, http: &mut Http) {
    let silent = b"{\"jsonrpc\":\"2.0\",\"method\":\"system.health\"}";
    socket.send(&[&silent[..], b"\n"].concat()).expect("the daemon reads");
    assert_eq!(http.post(silent).status, 204);
    socket.send(b"{\"jsonrpc\": nonsense\n").expect("the daemon reads");
    assert_eq!(socket.message()["error"]["data"]["kind"], "parse_error");
    assert_eq!(http.post(b"[").status, 400);
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"}"#;
    socket.send(format!("[{one},{one},7]\n").as_bytes()).expect("the daemon reads");
    assert_eq!(socket.message().as_array().map(Vec::len), Some(3));
    assert_eq!(http.get("/nothing").status, 404);
    assert_eq!(http.request("GET", "/", &[("Host", "evil.example")], b"").status, 421);
    let page = [("Origin", "http://evil.example"), ("Content-Type", "application/json")];
    assert_eq!(http.request("POST", "/", &page, one.as_bytes()).status, 403);
}

fn agents(socket: &mut Socket) {
    let ended = spawn(socket, &parrot(&["say", "0123456789", "exit", "0"]));
    wait(socket, &ended);
    let lives = spawn(socket, &parrot(&["forever"]));
    socket.ok("agent.restart", json!({"agent_id": lives, "grace_secs": 0}));
    let batch = json!({"agent_ids": [lives, "nobody"], "command": "status"});
    socket.ok("agent.batch", batch);
    let batch = json!({"agent_ids": [lives], "command": "kill", "dry_run": true});
    socket.ok("agent.batch", batch);
    socket.ok("agent.kill", json!({"agent_id": lives, "force": true}));
    let chat = socket.ok("chat.create", json!({"backend": "basic"}));
    let prompt = json!({"session_id": chat["session_id"], "prompt": "hello", "wait": true});
    socket.ok("chat.prompt", prompt);
    socket.ok("chat.stop", json!({"session_id": chat["session_id"]}));
    let topics = json!({"topics": [format!("agent/{ended}/")]});
    let opened = socket.ok("event.subscribe", topics);
    socket.ok("event.unsubscribe", json!({"subscription_id": opened["subscription_id"]}));
}

fn over_websocket(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for _ in 0..ROUNDS {
            let connect = WsClient::new(url).expect("the daemon's address is a URL");
            let client = Client::connect(connect);
            client.system_health(Default::default()).await.expect("it is asked");
        }
    });
}

fn client(daemon: &Daemon, number: usize) {
    for round in 0..ROUNDS {
        let word = format!("word-{number}-{round}");
        let (mut socket, mut http) = (daemon.socket(), daemon.http());
        let mut zmq = Zmtp::connect(daemon.zmq(), "DEALER");
        calls(&mut socket, &word);
        calls(&mut http, &word);
        calls(&mut zmq, &word);
        oddities(&mut socket, &mut http);
        agents(&mut socket);
    }
    over_websocket(&format!("ws://{}/ws", daemon.http_address()));
}

/// What the page has to say after all clients, each line with the number in it.
const EXPECTED: &[(&str, usize)] = &[
    ("requests_total{method=\"system.health\",transport=\"unix\",outcome=\"ok\"}", 1),
    ("requests_total{method=\"system.health\",transport=\"http\",outcome=\"ok\"}", 1),
    ("requests_total{method=\"system.health\",transport=\"zmq\",outcome=\"ok\"}", 1),
    ("requests_total{method=\"system.health\",transport=\"ws\",outcome=\"ok\"}", 1),
    ("requests_total{method=\"system.health\",transport=\"unix\",outcome=\"unanswered\"}", 1),
    ("requests_total{method=\"system.health\",transport=\"http\",outcome=\"unanswered\"}", 1),
    ("requests_total{method=\"system.ready\",transport=\"unix\",outcome=\"ok\"}", 2),
    ("requests_total{method=\"agent.get\",transport=\"zmq\",outcome=\"error\"}", 2),
    // A method that there is not, what is no JSON, and what is no call in a batch.
    ("requests_total{method=\"unknown\",transport=\"unix\",outcome=\"error\"}", 3),
    // A method that there is not, what is no JSON, and three that never were calls.
    ("requests_total{method=\"unknown\",transport=\"http\",outcome=\"error\"}", 5),
    ("requests_total{method=\"unknown\",transport=\"zmq\",outcome=\"error\"}", 1),
    ("request_errors_total{method=\"agent.get\",kind=\"agent_not_found\"}", 3),
    ("request_errors_total{method=\"agent.get\",kind=\"invalid_params\"}", 3),
    ("request_errors_total{method=\"unknown\",kind=\"method_not_found\"}", 3),
    ("request_errors_total{method=\"unknown\",kind=\"parse_error\"}", 2),
    ("request_duration_seconds_count{method=\"agent.kill\"}", 1),
    ("request_duration_seconds_count{method=\"agent.spawn\"}", 2),
    ("requests_rejected_total{reason=\"host\"}", 1),
    ("requests_rejected_total{reason=\"origin\"}", 1),
    ("requests_rejected_total{reason=\"not_served\"}", 1),
    ("requests_rejected_total{reason=\"malformed\"}", 3),
    ("requests_rejected_total{reason=\"unauthenticated\"}", 0),
    ("connections_total{transport=\"http\"}", 1),
    ("connections_total{transport=\"unix\"}", 1),
    ("connections_total{transport=\"ws\"}", 1),
    ("connections_total{transport=\"zmq\"}", 1),
    ("agents_spawned_total{backend=\"process\"}", 2),
    ("agents_spawned_total{backend=\"basic\"}", 1),
    ("agents_ended_total{backend=\"process\",outcome=\"completed\"}", 1),
    ("agents_ended_total{backend=\"process\",outcome=\"killed\"}", 1),
    ("agent_restarts_total{backend=\"process\"}", 1),
    ("batch_results_total{command=\"status\",outcome=\"ok\"}", 1),
    ("batch_results_total{command=\"status\",outcome=\"error\"}", 1),
    ("batch_results_total{command=\"kill\",outcome=\"ok\"}", 0),
    ("turns_total{backend=\"basic\",outcome=\"completed\"}", 1),
    ("turn_duration_seconds_count{backend=\"basic\"}", 1),
    ("llm_requests_total{backend=\"basic\",outcome=\"ok\"}", 1),
];

fn compare(before: &Page, after: &Page) {
    let times = CLIENTS * ROUNDS;
    let mut wrong = Vec::new();
    for (key, each) in EXPECTED {
        let grown = value(after, key) - before.get(*key).copied().unwrap_or(0.0);
        let expected = f64::from(u32::try_from(times * each).expect("a small load"));
        if grown != expected {
            wrong.push(format!("{key}: {grown}, and {expected} were done"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_counters_equal_what_many_clients_did_at_once_over_every_transport() {
    let setup = Setup::new().flag("--metrics-port=0").flag("--zmq-port=0").flag("--pub-port=0");
    let daemon = setup.start();
    let before = read(&daemon);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let daemon = &daemon;
            scope.spawn(move || client(daemon, number));
        }
    });
    let active = |page: &Page, transport: &str| {
        value(page, &format!("connections_active{{transport=\"{transport}\"}}"))
    };
    eventually("all have left", || {
        let page = read(&daemon);
        ["http", "ws", "unix", "zmq"].iter().all(|transport| active(&page, transport) == 0.0)
    });
    let page = read(&daemon);
    compare(&before, &page);
    assert_eq!(value(&page, "subscriptions_active"), 0.0);
    assert!(!page.keys().any(|key| key.contains("word-")), "no word of a caller is a label");
    let (mut socket, mut other) = (daemon.socket(), daemon.socket());
    for caller in [&mut socket, &mut other] {
        let opened = caller.ok("event.subscribe", json!({"topics": ["system"]}));
        assert!(!text(&opened["subscription_id"]).is_empty());
    }
    let mut subscriber = Zmtp::connect(daemon.publisher(), "SUB");
    subscriber.subscribe("system");
    eventually("three subscriptions are open", || {
        let page = read(&daemon);
        let seen = (active(&page, "unix"), active(&page, "pub"));
        value(&page, "subscriptions_active") == 3.0 && seen == (2.0, 1.0)
    });
    eventually("nobody is behind", || value(&read(&daemon), "subscription_lag_events") == 0.0);
    drop((socket, other, subscriber));
    eventually("none is open", || value(&read(&daemon), "subscriptions_active") == 0.0);
}

/// A reader that rests is behind, by what was written since.
#[test]
fn who_does_not_read_is_behind_and_nobody_else() {
    let daemon = Setup::new().flag("--metrics-port=0").start();
    let (mut slow, mut quick) = (daemon.socket(), daemon.socket());
    slow.ok("event.subscribe", json!({"topics": ["agent/"]}));
    let flood = spawn(&mut quick, &parrot(&["blocks", "16777216", "exit", "0"]));
    wait(&mut quick, &flood);
    eventually("the flood is written", || {
        value(&read(&daemon), "output_bytes_total") >= 16_777_216.0
    });
    eventually("the reader is behind", || value(&read(&daemon), "subscription_lag_events") > 0.0);
    drop(slow);
    eventually("nobody is behind", || value(&read(&daemon), "subscription_lag_events") == 0.0);
}

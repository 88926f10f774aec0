//! An hour of load, compressed: what the generator wrote down of its calls, agents and turns is what
//! the page says, series by series.
//!
//! The hour is one of ten calls a second: 36,000 at `DESCARTES_TORTURE=1`.

mod ledger;
mod wires;

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

use serde_json::{Value, json};

use super::{Page, checked, value};
use crate::cost;
use crate::credentials::{API_KEY, guarded_as};
use crate::rig::agents::{spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::parrot::{parrot, shell};
use crate::rig::processes::eventually;
use crate::rig::zmtp::{self, Wire, Zmtp};
use crate::rig::{Caller, measured, torture};
use ledger::Ledger;
use wires::{Book, Counting};

const CLIENTS: usize = 8;
/// Calls of an hour.
const CALLS: usize = 36_000;
/// Calls of one round of one client, about.
const CALLS_A_ROUND: usize = 60;

fn page(daemon: &Daemon) -> Page {
    let reply = daemon.metrics().request("GET", "/metrics", &[("X-API-Key", API_KEY)], b"");
    assert_eq!(reply.status, 200);
    checked(reply.text())
}

/// The tokens of one client: of one who may do everything, and of one who only reads.
struct Client {
    all: String,
    reads: String,
}

fn client(daemon: &Daemon, name: &str) -> Client {
    let mut owner = daemon.socket();
    let mut token = |scope: &str| {
        let made = json!({"sub": format!("{name}-{scope}"), "scopes": [scope]});
        text(&owner.ok("auth.token.create", made)["token"]).to_owned()
    };
    Client { all: token("*"), reads: token("agent:read") }
}

/// Calls that come to all that a call can come to, over every wire.
fn calls(daemon: &Daemon, client: &Client, word: &str, book: &Book) {
    for mut wire in wires::all(daemon, &client.all, book) {
        wire.ok("system.health", json!({}));
        wire.ok("agent.list", json!({"limit": 1}));
        wire.refused("agent_not_found", "agent.get", json!({"agent_id": word}));
        wire.refused("invalid_params", "agent.get", json!({"agent_id": word, word: word}));
        wire.refused("method_not_found", &format!("agent.{word}"), json!({}));
    }
    for mut wire in wires::all(daemon, &client.reads, book) {
        wire.ok("agent.list", json!({"limit": 1}));
        wire.refused("forbidden", "agent.spawn", json!({"agent_type": "basic"}));
    }
    strangers(daemon, book);
    oddities(daemon, client, book);
}

/// Those who say nothing of who they are: refused by every port.
fn strangers(daemon: &Daemon, book: &Book) {
    let refused = |transport| {
        let mut book = book.borrow_mut();
        let error = json!({"data": {"kind": "unauthenticated"}});
        book.called("", transport, Err(&error));
        book.not_believed("no_credentials");
    };
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"agent.list"}"#;
    assert_eq!(daemon.http().post(call).status, 401);
    book.borrow_mut().connected("http");
    refused("http");
    let mut nobody = wires::nobody(daemon, book);
    nobody.refused("unauthenticated", "agent.list", json!({}));
    book.borrow_mut().not_believed("no_credentials");
    let mut wire = Wire::connect(daemon.zmq());
    let said = [zmtp::greeting(), zmtp::ready("DEALER", b"")].concat();
    std::io::Write::write_all(&mut wire, &said).expect("the daemon reads");
    // A reset says the same as an end.
    drop(std::io::Read::read_to_end(&mut wire, &mut Vec::new()));
    not_let_in(book, "no_credentials");
}

/// Somebody did not get through the handshake of ZeroMQ, which is no call.
fn not_let_in(book: &Book, reason: &str) {
    let mut book = book.borrow_mut();
    book.connected("zmq");
    book.rejected("unauthenticated");
    book.not_believed(reason);
}

/// What is no call, or is not answered.
fn oddities(daemon: &Daemon, client: &Client, book: &Book) {
    let mut socket = daemon.socket();
    book.borrow_mut().connected("unix");
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"}"#;
    let silent = r#"{"jsonrpc":"2.0","method":"system.health"}"#;
    let lines = format!("{silent}\n{{\"jsonrpc\": nonsense\n");
    socket.send(lines.as_bytes()).expect("the daemon reads");
    assert_eq!(socket.message()["error"]["data"]["kind"], "parse_error");
    socket.send(format!("[{one},{one},7]\n").as_bytes()).expect("the daemon reads");
    assert_eq!(socket.message().as_array().map(Vec::len), Some(3));
    let bearer = format!("Bearer {}", client.all);
    let headers = [("Content-Type", "application/json"), ("Authorization", &*bearer)];
    let mut http = daemon.http();
    assert_eq!(http.request("POST", "/", &headers, silent.as_bytes()).status, 204);
    assert_eq!(http.request("POST", "/", &headers, b"[").status, 400);
    let mut book = book.borrow_mut();
    book.connected("http");
    for transport in ["unix", "http"] {
        book.told("system.health", transport);
        book.called("", transport, Err(&json!({"data": {"kind": "parse_error"}})));
    }
    book.called("", "unix", Err(&json!({"data": {"kind": "invalid_request"}})));
    for _ in 0..2 {
        book.called("system.ready", "unix", Ok(&Value::Null));
    }
}

/// Writes down an agent that has ended, as it is known itself.
fn note(wire: &mut Counting, agent: &str) {
    let known = wire.ok("agent.get", json!({"agent_id": agent}));
    let (backend, status) = (text(&known["agent_type"]), text(&known["status"]));
    let mut book = wire.book.borrow_mut();
    book.one(format!("agents_spawned_total{{backend=\"{backend}\"}}"));
    let runs = known["run"].as_f64().expect("a number of runs");
    // Those of one process for each turn end with each, and are started again.
    let ends = if backend == "costly" { runs } else { 1.0 };
    book.add(format!("agents_ended_total{{backend=\"{backend}\",outcome=\"{status}\"}}"), ends);
    book.add(format!("agent_restarts_total{{backend=\"{backend}\"}}"), runs - 1.0);
    let bytes = known["output"]["bytes"].as_f64().expect("a number of bytes");
    book.add("output_bytes_total", bytes);
    if known["exit"]["reason"] == "killed" {
        book.one("agents_killed_total");
    }
}

fn agents(wire: &mut Counting) {
    let says = spawn(wire, &shell("printf 0123456789"));
    wait(wire, &says);
    assert_eq!(wire.ok("agent.get", json!({"agent_id": says}))["output"]["bytes"], 10);
    let fails = spawn(wire, &parrot(&["exit", "3"]));
    wait(wire, &fails);
    let lives = spawn(wire, &parrot(&["forever"]));
    wire.ok("agent.restart", json!({"agent_id": lives, "grace_secs": 0}));
    wire.ok("agent.batch", json!({"agent_ids": [lives, "nobody"], "command": "status"}));
    wire.ok("agent.kill", json!({"agent_id": lives, "force": true}));
    for outcome in ["ok", "error"] {
        let series = format!("batch_results_total{{command=\"status\",outcome=\"{outcome}\"}}");
        wire.book.borrow_mut().one(series);
    }
    for agent in [says, fails, lives] {
        note(wire, &agent);
    }
    let opened = wire.ok("event.subscribe", json!({"topics": ["system"]}));
    wire.ok("event.unsubscribe", json!({"subscription_id": opened["subscription_id"]}));
}

/// Writes down a turn that has ended, in which a model was asked so often.
fn turn(wire: &Counting, (backend, outcome): (&str, &str), asked: f64) {
    let mut book = wire.book.borrow_mut();
    book.one(format!("turns_total{{backend=\"{backend}\",outcome=\"{outcome}\"}}"));
    book.one(format!("turn_duration_seconds_count{{backend=\"{backend}\"}}"));
    book.add(format!("llm_requests_total{{backend=\"{backend}\",outcome=\"ok\"}}"), asked);
}

/// Ends a chat and writes down its agent.
fn over(wire: &mut Counting, chat: &Value) {
    let agent = wire.ok("chat.get", json!({"session_id": chat}))["agent_id"].clone();
    wire.ok("chat.stop", json!({"session_id": chat}));
    wait(wire, text(&agent));
    note(wire, text(&agent));
}

/// A chat in which a tool is asked about, and allowed or denied.
fn asks(wire: &mut Counting, decision: &str) {
    let chat = wire.ok("chat.create", json!({"backend": "basic"}))["session_id"].clone();
    wire.ok("chat.prompt", json!({"session_id": chat, "prompt": "run ls"}));
    let pending = json!({"session_id": chat, "status": "pending"});
    let mut approval = Value::Null;
    eventually("it asks", || {
        approval = wire.ok("approval.list", pending.clone())["approvals"][0]["approval_id"].clone();
        !approval.is_null()
    });
    wire.ok("approval.decide", json!({"approval_id": approval, "decision": decision}));
    eventually("the turn ends", || {
        wire.ok("chat.get", json!({"session_id": chat}))["status"] == "idle"
    });
    // Once for the prompt, and once for what the tool gave.
    turn(wire, ("basic", "completed"), 2.0);
    let decided = if decision == "deny" { "denied" } else { "allowed" };
    let mut book = wire.book.borrow_mut();
    book.one(format!("approvals_decided_total{{decision=\"{decided}\"}}"));
    book.one("approval_wait_seconds_count");
    book.one("tool_calls_total{tool=\"execute\",outcome=\"ok\"}");
    drop(book);
    over(wire, &chat);
}

/// A chat whose turns cost something; each is a process of its own.
fn spends(wire: &mut Counting) {
    let more = json!({"backend": "costly", "approvals": "allow_all"});
    let chat = wire.ok("chat.create", more)["session_id"].clone();
    for usd in ["0.25", "0.5"] {
        let prompt = json!({"session_id": chat, "prompt": usd, "wait": true});
        let usage = wire.ok("chat.prompt", prompt)["usage"].clone();
        let number = |name: &str| usage[name].as_f64().expect("it is known");
        turn(wire, ("costly", "completed"), 1.0);
        let mut book = wire.book.borrow_mut();
        book.add("cost_usd_total{backend=\"costly\"}", usd.parse().expect("a number"));
        for (direction, count) in [("input", 3.0), ("output", 2.0)] {
            assert_eq!(number(&format!("{direction}_tokens")), count);
            let series = format!("tokens_total{{backend=\"costly\",direction=\"{direction}\"}}");
            book.add(series, count);
        }
    }
    over(wire, &chat);
}

fn load(daemon: &Daemon, number: usize, rounds: usize) -> Ledger {
    let book = Book::default();
    let client = client(daemon, &format!("client-{number}"));
    for round in 0..rounds {
        let word = format!("word-{number}-{round}");
        calls(daemon, &client, &word, &book);
        // Each kind of wire has its turn to start and to talk.
        let mut wires = wires::all(daemon, &client.all, &book);
        let wire = &mut wires[[0, 2, 0, 2][(number + round) % 4]];
        agents(wire);
        asks(&mut wires[(number + round) % 4], ["allow_once", "deny"][round % 2]);
        spends(&mut wires[(number + round + 1) % 4]);
    }
    Rc::try_unwrap(book).ok().expect("all wires are gone").into_inner()
}

/// Calls of one principal until they are too many, over each wire.
fn too_often(daemon: &Daemon, book: &Book) {
    let config = daemon.home.path().join("daemon.toml");
    let before = std::fs::read_to_string(&config).expect("it was written");
    let limits = "[limits]\nrate_per_second = 1\nburst = 2\n";
    std::fs::write(&config, before + limits).expect("it is ours");
    let mut owner = daemon.socket();
    book.borrow_mut().connected("unix");
    let reloaded = owner.ok("system.reload", json!({}));
    book.borrow_mut().called("system.reload", "unix", Ok(&reloaded));
    for place in 0..4 {
        // Making tokens is not counted against a rate that counts them.
        drop(owner);
        owner = daemon.socket();
        book.borrow_mut().connected("unix");
        let token = make(&mut owner, place, book);
        let mut wires = wires::all(daemon, &token, book);
        let refused = (0..1000).find_map(|_| wires[place].call("agent.list", json!({})).err());
        let error = refused.expect("it is too often");
        assert_eq!(error["data"]["limit"], "limits.rate_per_second", "{error}");
    }
}

/// A token of somebody who has called nothing yet; asked for until there is time for it.
fn make(owner: &mut impl Caller, number: usize, book: &Book) -> String {
    let made = json!({"sub": format!("often-{number}"), "scopes": ["agent:read"]});
    let mut token = Value::Null;
    eventually("a token is made", || {
        let came_to = owner.call("auth.token.create", made.clone());
        book.borrow_mut().called("auth.token.create", "unix", came_to.as_ref());
        token = came_to.unwrap_or_default()["token"].clone();
        !token.is_null()
    });
    text(&token).to_owned()
}

/// Wrong credentials at every door; few, because failures are slowed.
fn disbelieved(daemon: &Daemon, book: &Book) {
    let mut socket = daemon.socket();
    let wrong = socket.refused("unauthenticated", "auth.login", json!({"token": "a.b.c"}));
    let bearer = [("Authorization", "Bearer a.b.c"), ("Content-Type", "application/json")];
    assert_eq!(daemon.http().request("POST", "/", &bearer, b"{}").status, 401);
    assert!(Zmtp::plain(daemon.zmq(), "DEALER", "a.b.c").is_err());
    not_let_in(book, "invalid_token");
    let mut book = book.borrow_mut();
    book.connected("unix");
    book.connected("http");
    book.called("auth.login", "unix", Err(&wrong));
    book.called("", "http", Err(&wrong));
    for _ in 0..2 {
        book.not_believed("invalid_token");
    }
}

#[test]
fn an_hour_of_load_is_counted_as_it_was_done() {
    let setup = Setup::new().flag("--metrics-port=0").flag("--zmq-port=0");
    let config = cost::backend(&setup.home());
    let daemon = guarded_as(setup.config(&config));
    let rounds = torture(CALLS / CLIENTS / CALLS_A_ROUND);
    let warm = client(&daemon, "first");
    assert!(!warm.all.is_empty());
    // The owner's calls before the load are not of it; those of each client's tokens are.
    let before = page(&daemon);
    let mut done = Ledger::default();
    thread::scope(|scope| {
        let daemon = &daemon;
        let clients = (0..CLIENTS).map(|number| scope.spawn(move || load(daemon, number, rounds)));
        let clients: Vec<_> = clients.collect();
        for client in clients {
            done.add_all(client.join().expect("a client ends"));
        }
    });
    for _ in 0..CLIENTS {
        done.connected("unix");
        for _ in 0..2 {
            done.called("auth.token.create", "unix", Ok(&Value::Null));
        }
    }
    let book = Rc::new(RefCell::new(done));
    disbelieved(&daemon, &book);
    too_often(&daemon, &book);
    let done = Rc::try_unwrap(book).ok().expect("all wires are gone").into_inner();
    let gone = ["connections_active", "subscriptions_active", "approvals_pending", "agents_active"];
    let is_gone = |series: &String| gone.iter().any(|name| series.starts_with(name));
    eventually("all have left", || {
        page(&daemon).iter().all(|(series, value)| !is_gone(series) || *value == 0.0)
    });
    let after = page(&daemon);
    let wrong = done.differs(&before, &after);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!after.keys().any(|key| key.contains("word-")), "no word of a caller is a label");
    assert_eq!(value(&after, "agents_blocked_on_output"), 0.0);
    let calls: f64 =
        after.iter().filter(|(key, _)| key.starts_with("requests_total")).map(|(_, n)| n).sum();
    measured(format!("{calls} calls, {} series", after.len()));
}

//! `kill -9` of the daemon: what was acknowledged is there, what lived is gone, cursors go on.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::agents::{events, id_of, text};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot, processes, torture};

/// How many connections start agents at once.
const HANDS: usize = 5;

/// What the outside world knows when the daemon dies.
#[derive(Default)]
struct Known {
    /// The events that a subscriber has seen, in order.
    seen: Vec<Value>,
    /// Keys and the agents that were acknowledged for them.
    spawned: Vec<(String, String)>,
}

fn spawn_params(key: &str, token: &str) -> Value {
    let config = json!({"command": parrot::chatter(token)});
    json!({"agent_type": "process", "config": config, "idempotency_key": key})
}

/// Reads events until the connection ends.
fn follow(mut socket: Socket, after: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    let params = json!({"topics": ["agent/"], "after": after});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": params});
    if socket.send(format!("{call}\n").as_bytes()).is_err() {
        return seen;
    }
    while let Some(line) = socket.line() {
        // The last line may have been cut.
        let Ok(mut message) = serde_json::from_str::<Value>(&line) else { break };
        if message["method"] == "event.next" {
            seen.push(message["params"]["event"].take());
        }
    }
    seen
}

/// Starts agents until the connection ends; gives what was acknowledged.
fn start_agents(
    mut socket: Socket,
    round: usize,
    hand: usize,
    token: &str,
) -> Vec<(String, String)> {
    let mut spawned = Vec::new();
    for number in 0..torture(10).max(4) {
        let key = format!("{round}/{hand}/{number}");
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "agent.spawn",
            "params": spawn_params(&key, token)});
        if socket.send(format!("{call}\n").as_bytes()).is_err() {
            break;
        }
        let Some(line) = socket.line() else { break };
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { break };
        assert!(answer.get("result").is_some(), "{answer}");
        spawned.push((key, id_of(&answer["result"])));
    }
    spawned
}

/// Lets agents start, print and end, and kills the daemon in the middle.
fn live_and_die(daemon: Daemon, round: usize, token: &str, after: &str) -> (Known, Home) {
    let mut known = Known::default();
    let home = thread::scope(|scope| {
        let reader = scope.spawn({
            let socket = daemon.socket();
            move || follow(socket, after)
        });
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| {
                let socket = daemon.socket();
                scope.spawn(move || start_agents(socket, round, hand, token))
            })
            .collect();
        thread::park_timeout(moment(round));
        let home = daemon.kill9();
        known.seen = reader.join().expect("the reader reads to the end");
        for hand in hands {
            known.spawned.extend(hand.join().expect("the starter starts to the end"));
        }
        home
    });
    (known, home)
}

/// A moment between 0 and 800 ms, another one in each round and each run.
fn moment(round: usize) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_micros(RandomState::new().hash_one(round) % 800_000)
}

fn check(daemon: &Daemon, known: &Known, token: &str, after: &str) -> String {
    let alive = processes::shown(&processes::with_token(token));
    assert_eq!(alive, Vec::<String>::new(), "something lives on");
    let mut socket = daemon.socket();
    let all = events(&mut socket, "agent/", after);
    assert!(all.len() >= known.seen.len(), "{} of {}", all.len(), known.seen.len());
    assert_eq!(all[..known.seen.len()], known.seen, "what was seen is no longer so");
    let grows = all.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64());
    assert!(grows, "positions are used twice");
    if let Some(last) = known.seen.last() {
        let rest = events(&mut socket, "agent/", text(&last["cursor"]));
        assert_eq!(rest, all[known.seen.len()..], "a cursor does not continue exactly");
    }
    for (key, id) in &known.spawned {
        let again = socket.ok("agent.spawn", spawn_params(key, token));
        assert_eq!(again["agent_id"], json!(id), "the key {key}");
        let shown = socket.ok("agent.get", json!({"agent_id": id}));
        let status = text(&shown["status"]);
        let ended_before = ["completed", "failed", "killed"].contains(&status);
        let died_with_it = status == "lost" && shown["exit"]["reason"] == "host_died";
        assert!(ended_before || died_with_it, "{shown}");
    }
    assert_eq!(socket.ok("agent.list", json!({}))["total"], 0, "somebody is believed to live");
    all.last().map_or(after.to_owned(), |event| text(&event["cursor"]).to_owned())
}

#[test]
fn torture_what_was_acknowledged_survives_the_death_of_the_daemon() {
    let mut daemon = Daemon::start();
    let mut after = "start".to_owned();
    for round in 0..torture(100) {
        let token = processes::token();
        let (known, home) = live_and_die(daemon, round, &token, &after);
        daemon = Setup::at(&home).start();
        after = check(&daemon, &known, &token, &after);
    }
    daemon.http().ok("system.health", json!({}));
}

#[test]
fn escapees_of_an_earlier_run_do_not_outlive_the_next_start() {
    let daemon = Daemon::start();
    let token = processes::token();
    let mut socket = daemon.socket();
    for manner in parrot::MANNERS {
        let id = crate::rig::agents::spawn(&mut socket, &parrot::flee(manner, &token));
        crate::rig::agents::await_output(&mut socket, &id, "ready");
    }
    let home = daemon.kill9();
    let daemon = Setup::at(&home).start();
    assert_eq!(processes::shown(&processes::with_token(&token)), Vec::<String>::new());
    let lost = daemon.socket().ok("agent.list", json!({"status": "lost"}));
    assert_eq!(lost["total"], parrot::MANNERS.len());
    let started = events(&mut daemon.socket(), "system", "start");
    let previous: Vec<_> = started.iter().map(|event| &event["data"]["previous"]).collect();
    assert_eq!(previous.last(), Some(&&json!("crashed")), "{started:?}");
}

//! SIGTERM in the middle of everything: nobody who was heard is left without an answer, every
//! stream is told how far it got, and what was acknowledged is there afterwards.

mod wires;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::RwLock;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::agents::{await_output, events, spawn};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::processes::{self, eventually};
use crate::rig::{Caller, parrot, torture};
use wires::{Stream, WIRES, Wire};

/// Calls of one pipeline: every third caller does not wait for an answer before the next call.
const PIPELINE: usize = 4;

fn setup() -> Setup {
    Setup::new().flag("--zmq-port=0")
}

/// Whether an error says that the daemon is about to end, and that the call can be made again.
fn is_refusal(error: &Value) -> bool {
    let data = &error["data"];
    data["kind"] == "unavailable" && data["reason"] == "draining" && data["retryable"] == true
}

/// Puts keys until `stopped`, and returns those that were acknowledged and those that were refused.
/// Each call is sent whole before it can be stopped.
fn put(mut wire: Wire, number: usize, stopped: &RwLock<bool>) -> [Vec<String>; 2] {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    let at_once = if number.is_multiple_of(3) { PIPELINE } else { 1 };
    let key = |id: usize| format!("caller-{number}.{id}");
    let mut next = 0;
    loop {
        let sent = {
            let stopped = stopped.read().expect("nobody panics with it");
            if *stopped {
                break;
            }
            for id in next..next + at_once {
                wire.begin(id, "state.put", &json!({"key": key(id), "value": id}));
            }
            at_once
        };
        next += sent;
        for _ in 0..sent {
            let answer = wire.next().expect("what was sent in time is answered");
            let id = usize::try_from(answer["id"].as_u64().expect("its id")).expect("its id");
            match crate::rig::outcome(&answer) {
                Ok(_) => done.push(key(id)),
                Err(error) if is_refusal(&error) => refused.push(key(id)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    wire.is_closed();
    [done, refused]
}

#[test]
fn a_stop_in_the_middle_of_everything_loses_nothing() {
    let (callers, streams) = (torture(200).max(40), torture(50).max(10));
    let mut daemon = setup().start();
    let mut socket = daemon.socket();
    let agent = spawn(&mut socket, &parrot::ticker());
    let streams: Vec<_> =
        (0..streams).map(|number| Stream::open(&daemon, number, "agent/")).collect();
    let waiting: Vec<_> = (0..WIRES)
        .map(|number| {
            let mut wire = Wire::open(&daemon, number);
            wire.begin(1, "agent.wait", &json!({"agent_id": agent, "timeout_secs": 600}));
            wire
        })
        .collect();
    let stopped = RwLock::new(false);
    let [done, refused] = thread::scope(|scope| {
        let callers: Vec<_> = (0..callers)
            .map(|number| {
                let (wire, stopped) = (Wire::open(&daemon, number), &stopped);
                scope.spawn(move || put(wire, number, stopped))
            })
            .collect();
        let last = format!("caller-{}.2", callers.len() - 1);
        eventually("everybody has begun", || {
            let found = socket.ok("state.query", json!({"key": last}));
            found["state"].as_object().is_some_and(|state| !state.is_empty())
        });
        *stopped.write().expect("nobody panics with it") = true;
        daemon.signal(Signal::TERM);
        let mut all = [Vec::new(), Vec::new()];
        for caller in callers {
            let found = caller.join().expect("no call is left without an answer");
            all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
        }
        all
    });
    for mut wire in waiting {
        let waited = crate::rig::outcome(&wire.next().expect("an answer")).expect("it has ended");
        assert_eq!(waited["status"], "killed", "{waited}");
    }
    let told: Vec<_> = streams.into_iter().map(|(stream, begun)| (begun, stream.rest())).collect();
    drop(socket);
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let home = daemon.home.clone();
    drop(daemon);

    let daemon = Setup::at(&home).start();
    let mut socket = daemon.socket();
    for (begun, (mut seen, cursor)) in told {
        seen.extend(events(&mut socket, "agent/", cursor.as_str().expect("a cursor")));
        let all = events(&mut socket, "agent/", begun.as_str().expect("a cursor"));
        let numbers = |events: &[Value]| -> Vec<_> {
            events.iter().map(|event| event["seq"].as_u64()).collect()
        };
        assert_eq!(numbers(&seen), numbers(&all), "each event once");
    }
    let state = socket.ok("state.query", json!({"prefix": "caller-"}))["state"].take();
    assert!(done.iter().all(|key| state.get(key).is_some()), "what was acknowledged is there");
    assert!(refused.iter().all(|key| state.get(key).is_none()), "what was refused is not");
    assert_eq!(socket.ok("agent.get", json!({"agent_id": agent}))["status"], "killed");
}

#[test]
fn who_still_waits_when_the_time_is_over_is_told_so() {
    let home = Home::new();
    let asked = home.path().join("asked");
    let script = format!("#!/bin/sh\ntouch '{}'\nexec sleep 600\n", asked.display());
    let program = home.file("slow", script.as_bytes());
    fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("it is ours");
    let backend = format!("[backends.claude-code]\ncommand = ['{}']\n", program.display());
    let mut daemon = Setup::at(&home).only_config(&backend).flag("--zmq-port=0").start();
    let mut wires: Vec<_> = (0..WIRES).map(|number| Wire::open(&daemon, number)).collect();
    for wire in &mut wires {
        wire.begin(1, "backend.list", &json!({"refresh": true}));
    }
    eventually("the program is asked", || asked.exists());
    daemon.socket().ok("system.shutdown", json!({"timeout_secs": 2}));
    for wire in &mut wires {
        let error = wire.next().expect("an answer");
        let error = crate::rig::outcome(&error).expect_err("its time is over");
        assert!(is_refusal(&error), "{error}");
        wire.is_closed();
    }
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("calls have not ended"), "{}", ended.log);
}

/// A daemon that waits for an agent which does not end, with a connection over each wire.
fn waiting_for_an_agent(token: &str) -> (Daemon, Vec<Wire>) {
    let daemon = setup().only_config("[agents]\nstop_grace_secs = 600\n").start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::flee(parrot::MANNERS[0], token));
    await_output(&mut socket, &id, "ready");
    let script = "trap '' TERM; echo ready; while :; do read line || sleep 1; done";
    let stubborn = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &stubborn, "ready");
    let mut wires: Vec<_> = (0..WIRES).map(|number| Wire::open(&daemon, number)).collect();
    for wire in &mut wires {
        wire.call("system.health", &json!({})).expect("it is served");
    }
    (daemon, wires)
}

#[test]
fn while_it_stops_the_doors_are_closed_and_whoever_is_inside_is_told_so() {
    let token = processes::token();
    let (mut daemon, mut wires) = waiting_for_an_agent(&token);
    let mut http = daemon.http();
    assert_eq!(http.get("/ready").status, 200);
    daemon.signal(Signal::TERM);
    eventually("nobody is let in", || {
        std::net::TcpStream::connect(daemon.http_address()).is_err()
            && std::os::unix::net::UnixStream::connect(daemon.socket_path()).is_err()
            && std::net::TcpStream::connect(daemon.zmq().trim_start_matches("tcp://")).is_err()
    });
    assert!(!daemon.home.runtime().join("endpoints.json").exists());
    let ready = http.get("/ready");
    assert!(ready.status == 503 && ready.text().starts_with("NOT READY"), "{}", ready.text());
    assert_eq!(http.get("/health").text(), "OK");
    let command =
        json!({"agent_type": "process", "config": {"command": parrot::parrot(&["echo"])}});
    for wire in &mut wires {
        for (method, params) in
            [("agent.spawn", &command), ("state.put", &json!({"key": "late", "value": 1}))]
        {
            let refused = wire.call(method, params).expect_err("nothing new is begun");
            assert!(is_refusal(&refused), "{method}: {refused}");
        }
        let health = wire.call("system.health", &json!({})).expect("it tells how it is");
        assert_eq!(health["status"], "draining");
    }
    // Nobody waits any more: told twice, it ends its agents without their grace.
    daemon.signal(Signal::TERM);
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("has not ended"), "{}", ended.log);
    assert_eq!(processes::with_token(&token), Vec::<u32>::new());
}

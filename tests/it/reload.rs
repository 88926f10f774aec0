//! Another configuration is read while the daemon runs: all of it or nothing, and nobody is cut off.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::asked::fifo;
use crate::rig::Caller;
use crate::rig::agents::{await_output, events, spawn, spawn_with, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Http;
use crate::rig::parrot::{parrot, shell};
use crate::rig::processes::eventually;
use crate::rig::socket::Socket;

/// What every file of these tests says beside what they change.
const ALWAYS: &str = "[agents]\nstop_grace_secs = 2\n";

fn write(daemon: &Daemon, file: &str) {
    fs::write(daemon.home.path().join("daemon.toml"), file).expect("the home is writable");
}

/// The answer of `system.reload` when the file says this.
#[track_caller]
fn reload(daemon: &Daemon, socket: &mut Socket, file: &str) -> Value {
    write(daemon, file);
    socket.ok("system.reload", json!({}))
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_changes_nothing() {
    let (daemon, broken) = (Setup::new().only_config(ALWAYS).start(), broken());
    let mut socket = daemon.socket();
    let before = socket.ok("system.info", json!({}))["limits"].clone();
    for (file, place, reason) in &broken {
        let told = reload(&daemon, &mut socket, file);
        assert_eq!(told["status"], "refused", "{file}: {told}");
        assert_eq!((&told["applied"], &told["needs_restart"]), (&json!([]), &json!([])));
        let error = text(&told["errors"][0]);
        assert!(
            error.contains(&format!("daemon.toml:{place}")) && error.contains(reason),
            "{error}"
        );
    }
    assert_eq!(socket.ok("system.info", json!({}))["limits"], before);
    // The same files, by the signal: it is said in the log, and the daemon goes on.
    write(&daemon, broken[0].0);
    daemon.signal(Signal::HUP);
    eventually("the refusal is logged", || daemon.log().contains("was not reloaded"));
    eventually("the refusal is in the audit", || {
        let last = events(&mut socket, "audit", "start").pop().unwrap_or_default();
        last["data"]["peer"] == "signal SIGHUP" && last["data"]["outcome"] == "failed"
    });
    assert_eq!(socket.ok("system.health", json!({}))["status"], "healthy");
    assert_eq!(events(&mut socket, "system", "start").len(), 1, "only that it started");
}

#[test]
fn a_file_that_is_never_read_to_its_end_holds_up_nobody_and_no_later_reload() {
    let daemon = Setup::new().only_config(ALWAYS).start();
    let (mut asks, mut other) = (daemon.socket(), daemon.socket());
    let path = daemon.home.path().join("daemon.toml");
    fs::remove_file(&path).expect("the home is writable");
    fifo(&path);
    let asked = asks.begin("system.reload", json!({}));
    let agent = spawn(&mut other, &shell("echo done"));
    assert_eq!(wait(&mut other, &agent)["status"], "completed");
    let told = asks.answer(asked).expect("it says what is wrong");
    assert_eq!(told["status"], "refused", "{told}");
    assert!(text(&told["errors"][0]).contains("not read to their end"), "{told}");
    fs::remove_file(&path).expect("the home is writable");
    let told = reload(&daemon, &mut asks, "[agents]\nstop_grace_secs = 3\n");
    assert_eq!(told["applied"], json!(["agents.stop_grace_secs"]), "{told}");
    let (ended, _) = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn a_daemon_does_not_start_with_a_broken_file() {
    for (file, place, reason) in broken() {
        let setup = Setup::new().only_config(file);
        let checked = setup.command().arg("--check-config").output().expect("the program runs");
        let told = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(78), "{told}");
        assert!(told.contains(&format!("daemon.toml:{place}")) && told.contains(reason), "{told}");
        let ended = match setup.try_start() {
            Ok(daemon) => panic!("the daemon started with {file}:\n{}", daemon.log()),
            Err(ended) => ended,
        };
        assert_eq!(ended.status.code(), Some(78), "{}", ended.log);
        let log = ended.log;
        assert!(log.contains(&format!("daemon.toml:{place}")) && log.contains(reason), "{log}");
    }
}

/// A few files, each with where it is wrong and how; many more are in the tests of the program.
fn broken() -> [(&'static str, &'static str, &'static str); 8] {
    [
        ("[limits]\nstate_keys = 7\n[agents\n", "3:8", ""),
        ("[limits]\nstate_keys = 7\nstate_kyes = 8\n", "3:1", "did you mean `state_keys`"),
        ("[limits]\nstate_keys = 'many'\n", "2:14", "a whole number"),
        ("[limits]\nstate_keys = 7\n[agents]\nmax_running = 0\n", "4:15", "1 or more"),
        // Files that are read or opened, also those that take a restart.
        (
            "[server]\ntls_cert = '/nowhere/cert.pem'\ntls_key = '/nowhere/key.pem'\n",
            "2:12",
            "`server.tls_cert`, /nowhere/cert.pem",
        ),
        (
            "[remotes.far]\nendpoint = 'ipc:///nowhere/zmq'\ntoken_file = '/nowhere/token'\n",
            "3:14",
            "`remotes.far.token_file`, /nowhere/token",
        ),
        ("[logging]\nfile = '/nowhere/log'\n", "2:8", "`logging.file`, /nowhere/log"),
        ("[auth]\njwt_secret_file = '/nowhere'\n", "2:19", "`auth.jwt_secret_file`, /nowhere"),
    ]
}

#[test]
fn the_signal_reloads_and_everybody_is_told() {
    let daemon = Setup::new().only_config(ALWAYS).start();
    let mut socket = daemon.socket();
    write(&daemon, &format!("{ALWAYS}[logging]\nlevel = 'debug'\nformat = 'json'\n"));
    let started = socket.ok("event.read", json!({"topics": ["system"]}));
    daemon.signal(Signal::HUP);
    let mut page = Value::Null;
    eventually("the reload is told", || {
        let after = json!({"topics": ["system"], "after": started["cursor"], "wait_ms": 1000});
        page = socket.ok("event.read", after);
        page["events"][0].is_object()
    });
    let told = &page["events"][0];
    assert_eq!((&told["type"], &told["by"]), (&json!("system.reloaded"), &json!("system")));
    let keys = json!({"applied": ["logging.level"], "needs_restart": ["logging.format"]});
    assert_eq!(told["data"], keys);
    let mut written = Vec::new();
    eventually("the reload is in the audit", || {
        written = events(&mut socket, "audit", "start");
        !written.is_empty()
    });
    let entry = json!({"principal": "system", "method": "system.reload", "outcome": "ok",
        "peer": "signal SIGHUP"});
    assert_eq!((&written[0]["type"], &written[0]["data"]), (&json!("audit.configuration"), &entry));
    eventually("the new level is in force", || daemon.log().contains("DEBUG"));
}

/// One good change after the other, over one connection, while an agent prints and is followed.
#[test]
fn good_changes_take_effect_and_no_connection_is_dropped() {
    let daemon = Setup::new().only_config(ALWAYS).start();
    let (mut socket, mut http) = (daemon.socket(), daemon.http());
    let agent = spawn(&mut socket, &parrot(&["echo"]));
    let mut follower = daemon.socket();
    follower.ok("event.subscribe", json!({"topics": [format!("agent/{agent}/output")]}));
    let all = changes();
    assert!(all.len() >= 20, "{} changes", all.len());
    for (file, keys, check) in all {
        let told = reload(&daemon, &mut socket, &format!("{ALWAYS}{file}"));
        assert_eq!((&told["status"], &told["errors"]), (&json!("applied"), &json!([])), "{told}");
        // What the file before had changed goes back to its default at the same time.
        let applied = told["applied"].as_array().expect("keys");
        assert!(keys.iter().all(|key| applied.contains(&json!(key))), "{keys:?}: {told}");
        assert_eq!(told["needs_restart"], json!([]), "{told}");
        check(&mut socket, &mut http);
    }
    let again = socket.ok("system.reload", json!({}));
    assert_eq!(again["status"], "unchanged", "{again}");
    // Neither the agent nor who follows it has noticed anything.
    socket.ok("agent.write_stdin", json!({"agent_id": agent, "text": "still here\n"}));
    await_output(&mut socket, &agent, "still here");
    let (method, event) = std::iter::from_fn(|| Some(follower.notification()))
        .find(|(method, _)| method == "event.next")
        .expect("the subscription lives");
    assert_eq!(event["event"]["data"]["text"], "still here\n", "{method}");
    // What is in force is what the last file says, also for a daemon that starts with it.
    let mut socket = daemon.socket();
    socket.ok("agent.kill", json!({"agent_id": agent, "force": true}));
}

/// A file, the keys that it changes, and what shows that they have their effect.
type Good = (&'static str, &'static [&'static str], fn(&mut Socket, &mut Http));

fn changes() -> Vec<Good> {
    let mut all = BOUNDS.to_vec();
    all.extend(CALLS);
    all.extend(AGENTS);
    all
}

/// The number that `system.info` shows under `of` and `key`.
#[track_caller]
fn shown(socket: &mut Socket, of: &str, key: &str, number: u64) {
    assert_eq!(socket.ok("system.info", json!({}))[of][key], number, "{of} {key}");
}

const BOUNDS: &[Good] = &[
    ("[limits]\nstate_keys = 1\n", &["limits.state_keys"], |socket, _| {
        shown(socket, "limits", "state_keys", 1);
        socket.ok("state.put", json!({"key": "first", "value": 1}));
        socket.refused("resource_exhausted", "state.put", json!({"key": "second", "value": 1}));
    }),
    ("[limits]\nstate_value_bytes = 4\n", &["limits.state_value_bytes"], |socket, _| {
        shown(socket, "limits", "state_value_bytes", 4);
        let long = json!({"key": "first", "value": "longer"});
        socket.refused("resource_exhausted", "state.put", long);
    }),
    ("[limits]\nhierarchy_depth = 1\n", &["limits.hierarchy_depth"], |socket, _| {
        shown(socket, "limits", "hierarchy_depth", 1);
        let parent = spawn(socket, &parrot(&["exit", "0"]));
        let child = json!({"agent_type": "process",
                "config": {"command": parrot(&["exit", "0"]), "parent_agent_id": parent}});
        socket.refused("resource_exhausted", "agent.spawn", child);
    }),
    (
        "[limits]\nidempotency_records = 7\nidempotency_secs = 60\n",
        &["limits.idempotency_records", "limits.idempotency_secs"],
        |socket, _| {
            let key = json!({"key": "k", "value": 1, "idempotency_key": "again"});
            let first = socket.ok("state.put", key.clone());
            assert_eq!(socket.ok("state.put", key), first);
        },
    ),
    (
        "[retention]\noutput_bytes_per_agent = 1000000\n",
        &["retention.output_bytes_per_agent"],
        |socket, _| shown(socket, "retention", "output_bytes_per_agent", 1_000_000),
    ),
    (
        "[retention]\noutput_bytes_total = 2000000\n",
        &["retention.output_bytes_total"],
        |socket, _| shown(socket, "retention", "output_bytes_total", 2_000_000),
    ),
    ("[retention]\nended_agents = 0\n", &["retention.ended_agents"], |socket, _| {
        let agent = spawn(socket, &parrot(&["exit", "0"]));
        let gone =
            |socket: &mut Socket| socket.call("agent.get", json!({"agent_id": agent})).is_err();
        eventually("an ended agent is forgotten", || gone(socket));
    }),
    (
        "[retention]\nended_agents_days = 3\nevents_days = 4\n",
        &["retention.ended_agents_days", "retention.events_days"],
        |socket, _| {
            let agent = spawn(socket, &parrot(&["exit", "0"]));
            wait(socket, &agent);
        },
    ),
];

const CALLS: &[Good] = &[
    ("[pool]\nmax_size = 50\n", &["pool.max_size"], |socket, _| {
        shown(socket, "limits", "pool.max_size", 50);
    }),
    ("[pool]\nmin_size = 3\n", &["pool.min_size"], |socket, _| {
        shown(socket, "limits", "pool.min_size", 3);
    }),
    ("[pool]\nconnection_timeout_secs = 5\n", &["pool.connection_timeout_secs"], |socket, _| {
        drop(socket.ok("system.ready", json!({})));
    }),
    ("[server]\nrequest_timeout_secs = 1\n", &["server.request_timeout_secs"], |socket, _| {
        shown(socket, "limits", "server.request_timeout_secs", 1);
        // Its stop takes the two seconds of its grace.
        let agent = spawn(socket, &parrot(&["deaf", "say", "ready", "forever"]));
        await_output(socket, &agent, "ready");
        let late = socket.refused("timeout", "agent.stop", json!({"agent_id": agent}));
        let key = late["data"]["idempotency_key"].clone();
        let again = json!({"agent_id": agent, "idempotency_key": key});
        eventually("the stop that went on is told", || {
            socket.call("agent.stop", again.clone()).is_ok()
        });
    }),
    ("[server]\nallowed_hosts = ['agents.example']\n", &["server.allowed_hosts"], |_, http| {
        let status =
            |http: &mut Http, host| http.request("GET", "/", &[("Host", host)], b"").status;
        assert_eq!((status(http, "agents.example"), status(http, "other.example")), (200, 421));
    }),
    (
        "[server]\nallowed_origins = ['https://console.example']\n",
        &["server.allowed_origins", "server.allowed_hosts"],
        |_, http| {
            let page =
                |http: &mut Http, origin| http.request("GET", "/", &[("Origin", origin)], b"");
            let answer = page(http, "https://console.example");
            let told = answer.header("Access-Control-Allow-Origin");
            assert_eq!((answer.status, told), (200, Some("https://console.example")));
            assert_eq!(page(http, "https://other.example").status, 403);
            assert_eq!(http.request("GET", "/", &[("Host", "agents.example")], b"").status, 421);
        },
    ),
    ("[logging]\nlevel = 'warn'\n", &["logging.level"], |socket, _| {
        drop(socket.ok("system.health", json!({})));
    }),
];

const AGENTS: &[Good] = &[
    ("max_running = 1\n", &["agents.max_running"], |socket, _| {
        shown(socket, "limits", "agents.max_running", 1);
        let second = json!({"agent_type": "process", "config": {"command": parrot(&["echo"])}});
        let full = socket.refused("resource_exhausted", "agent.spawn", second);
        assert_eq!(full["data"]["limit"], "agents.max_running", "{full}");
    }),
    ("default_backend = 'basic'\n", &["agents.default_backend"], |socket, _| {
        let spawned = socket.ok("agent.spawn", json!({}));
        let agent = socket.ok("agent.get", json!({"agent_id": spawned["agent_id"]}));
        assert_eq!(agent["agent_type"], "basic", "{agent}");
        socket.ok("agent.kill", json!({"agent_id": spawned["agent_id"], "force": true}));
    }),
    ("default_dir = '/'\n", &["agents.default_dir"], |socket, _| {
        let agent = spawn_with(socket, json!({"config": {"command": ["pwd"]}}));
        await_output(socket, &agent, "/\n");
    }),
    ("[backends.mine]\ncommand = ['echo', 'of mine']\n", &["backends.mine"], |socket, _| {
        let spawned = socket.ok("agent.spawn", json!({"agent_type": "mine"}));
        await_output(socket, text(&spawned["agent_id"]), "of mine");
    }),
    ("[backends.mine]\ncommand = ['echo', 'of another']\n", &["backends.mine"], |socket, _| {
        let spawned = socket.ok("agent.spawn", json!({"agent_type": "mine"}));
        await_output(socket, text(&spawned["agent_id"]), "of another");
    }),
    (
        "[chats]\ndefault_backend = 'basic'\nturn_timeout_secs = 60\nstall_secs = 7\nidle_stop_secs = 8\n",
        &[
            "backends.mine",
            "chats.default_backend",
            "chats.turn_timeout_secs",
            "chats.stall_secs",
            "chats.idle_stop_secs",
        ],
        |socket, _| {
            socket.refused("not_found", "agent.spawn", json!({"agent_type": "mine"}));
            let chat = socket.ok("chat.create", json!({}));
            let chat = socket.ok("chat.get", json!({"session_id": chat["session_id"]}));
            assert_eq!(chat["backend"], "basic", "{chat}");
        },
    ),
    (
        "[approvals]\nmode = 'deny'\ndeadline_secs = 5\ndefault = 'allow'\ndeny_when_unattended = true\n",
        &[
            "approvals.mode",
            "approvals.deadline_secs",
            "approvals.default",
            "approvals.deny_when_unattended",
        ],
        |socket, _| {
            let chat = socket.ok("chat.create", json!({"backend": "basic"}));
            let turn = json!({"session_id": chat["session_id"], "prompt": "run x", "wait": true,
            "timeout_secs": 60});
            // Nobody was asked, and the answer was no.
            assert_eq!(socket.ok("chat.prompt", turn)["outcome"], "completed");
            assert_eq!(socket.ok("approval.list", json!({"status": "pending"}))["count"], 0);
        },
    ),
];

#[test]
fn a_rate_holds_for_all_but_control_and_another_one_is_in_force_at_once() {
    let slow = format!("{ALWAYS}[limits]\nrate_per_second = 1\nburst = 3\n");
    let daemon = Setup::new().only_config(&slow).start();
    let mut socket = daemon.socket();
    let shown = socket.ok("system.info", json!({}))["limits"].take();
    assert_eq!((&shown["rate_per_second"], &shown["burst"]), (&json!(1), &json!(3)), "{shown}");
    let refused = (0..1000).find_map(|_| socket.call("system.info", json!({})).err());
    let refused = refused.expect("a thousand calls take longer than their rate allows");
    let data = &refused["data"];
    assert_eq!((&data["kind"], &data["limit"]), (&json!("resource_exhausted"), &json!(RATE)));
    assert!((1..=1001).contains(&data["retry_after_ms"].as_u64().expect("a time")), "{refused}");
    for _ in 0..20 {
        socket.ok("system.health", json!({}));
    }
    write(&daemon, ALWAYS);
    daemon.signal(Signal::HUP);
    eventually("nothing is counted any more", || {
        (0..50).all(|_| socket.call("system.info", json!({})).is_ok())
    });
    let shown = socket.ok("system.info", json!({}))["limits"].take();
    assert_eq!((&shown["rate_per_second"], &shown["burst"]), (&Value::Null, &Value::Null));
}

const RATE: &str = "limits.rate_per_second";

#[test]
fn a_principal_is_on_as_many_connections_as_it_may_and_control_gets_through() {
    const LIMIT: &str = "limits.connections_per_principal";
    let two = format!("{ALWAYS}[limits]\nconnections_per_principal = 2\n");
    let daemon = Setup::new().only_config(&two).start();
    let mut sockets: Vec<Socket> = (0..3).map(|_| daemon.socket()).collect();
    for socket in &mut sockets[..2] {
        let info = socket.ok("system.info", json!({}));
        assert_eq!(info["limits"]["connections_per_principal"], 2, "{info}");
    }
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    let json = [("Content-Type", "application/json")];
    let asked = daemon.http().request("POST", "/", &json, call).json();
    let refused = sockets[2].refused("resource_exhausted", "system.info", json!({}));
    for data in [&refused["data"], &asked["error"]["data"]] {
        assert_eq!((&data["limit"], &data["max"]), (&json!(LIMIT), &json!(2)), "{data}");
        assert!(data["retry_after_ms"].as_u64().is_some(), "{data}");
    }
    let status = daemon.http().request("POST", "/rpc/system.info", &json, b"{}").status;
    assert_eq!(status, 429);
    sockets[2].ok("system.health", json!({}));
    // One that has ended makes room.
    drop(sockets.remove(0));
    eventually("there is room again", || sockets[1].call("system.info", json!({})).is_ok());
    assert!(daemon.socket().call("system.info", json!({})).is_err());
    let told = reload(&daemon, &mut sockets[1], ALWAYS);
    assert_eq!(told["applied"], json!([LIMIT]), "{told}");
    daemon.socket().ok("system.info", json!({}));
}

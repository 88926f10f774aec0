//! No descriptor is left: nothing spins, control works to its full effect, and it passes.

use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;

use crate::rig::agents::{await_output, spawn, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::load::rest;
use crate::rig::{Caller, PATIENCE, parrot, processes};

/// How long nothing is done, to see what that costs.
const REST_MILLIS: u64 = 2_000;
/// Processor time in that rest, in hundredths of a second; a loop that spins takes 200.
const RESTING_TICKS: u64 = 40;
/// Connections of each sort that want what is left.
const CROWD: usize = 60;

/// Connections that say nothing.
struct Crowd {
    _tcp: Vec<TcpStream>,
    _unix: Vec<UnixStream>,
}

impl Crowd {
    /// Leaves the daemon ten descriptors more than it has open, and takes them all.
    fn exhaust(daemon: &Daemon) -> Self {
        let most = processes::open_files(daemon.number()) + 10;
        let limit =
            Rlimit { current: Some(most as u64), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(daemon.pid()), Resource::Nofile, limit).expect("the daemon is ours to limit");
        let tcp = |_| TcpStream::connect(daemon.http_address()).expect("there is a backlog");
        let unix = |_| UnixStream::connect(daemon.socket_path()).expect("there is a backlog");
        let crowd =
            Self { _tcp: (0..CROWD).map(tcp).collect(), _unix: (0..CROWD).map(unix).collect() };
        processes::eventually("no descriptor is left", || {
            processes::open_files(daemon.number()) >= most
        });
        crowd
    }
}

#[test]
fn without_a_descriptor_control_works_and_nothing_spins() {
    let daemon = Daemon::start();
    let (mut socket, mut http) = (daemon.socket(), daemon.http());
    let agents: Vec<(String, String)> = ["deaf", "double-fork", "setsid-env", "all"]
        .into_iter()
        .map(|manner| {
            let token = processes::token();
            let id = spawn(&mut socket, &parrot::flee(manner, &token));
            await_output(&mut socket, &id, "ready");
            (id, token)
        })
        .collect();
    http.ok("system.health", json!({}));
    let open = processes::open_files(daemon.number());
    let crowd = Crowd::exhaust(&daemon);

    let before = processes::cpu_ticks(daemon.number());
    rest(&mut socket, REST_MILLIS);
    let busy = processes::cpu_ticks(daemon.number()) - before;
    assert!(busy < RESTING_TICKS, "{busy} ticks in {REST_MILLIS} ms");
    assert_eq!(socket.ok("system.health", json!({}))["status"], "healthy");
    assert_eq!(http.ok("system.health", json!({}))["status"], "healthy");

    for ((id, token), force) in agents.iter().zip([true, false, false, true]) {
        let asked = json!({"agent_id": id, "force": force, "grace_secs": 0.1});
        let asked = if force { json!({"agent_id": id, "force": true}) } else { asked };
        let killed = socket.ok("agent.kill", asked);
        assert_eq!((&killed["status"], &killed["recorded"]), (&json!("killed"), &json!(true)));
        let left = processes::with_token(token);
        assert!(left.is_empty(), "{killed}: {:?}", processes::shown(&left));
    }

    drop(crowd);
    processes::eventually("the descriptors come back", || {
        processes::open_files(daemon.number()) <= open
    });
    daemon.http().ok("system.health", json!({}));
    let mut new = daemon.socket();
    let id = spawn(&mut new, &parrot::shell("exit 0"));
    assert_eq!(wait(&mut new, &id)["status"], "completed");
    assert!(daemon.log().contains("cannot accept connections"), "{}", daemon.log());
}

#[test]
fn output_that_comes_while_no_descriptor_is_left_is_kept() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let line = "x".repeat(8_000);
    let script = format!("while read word; do echo \"$word {line}\"; done");
    let id = spawn(&mut socket, &parrot::shell(&script));
    let crowd = Crowd::exhaust(&daemon);
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "during\n"}));
    rest(&mut socket, 200);
    drop(crowd);
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "after\n"}));
    await_output(&mut socket, &id, "after");
    let rows = socket.ok("agent.logs", json!({"agent_id": id}))["logs"].take();
    let words: Vec<&str> =
        rows.as_array().into_iter().flatten().filter_map(|row| row["message"].as_str()).collect();
    let words: Vec<&str> = words.iter().filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(words, ["during", "after"]);
    processes::eventually("nothing is degraded any more", || {
        socket.ok("system.health", json!({}))["status"] == "healthy"
    });
    socket.ok("agent.kill", json!({"agent_id": id, "force": true}));
}

#[test]
fn connections_leave_descriptors_to_the_rest_of_the_daemon() {
    let daemon = Setup::new().descriptors(128).start();
    let mut socket = daemon.socket();
    let info = socket.ok("system.info", json!({}));
    assert_eq!(info["limits"]["server.max_connections"], 64, "{info}");
    let crowd: Vec<TcpStream> = (0..150)
        .map(|_| TcpStream::connect(daemon.http_address()).expect("the daemon accepts"))
        .collect();
    let told: Vec<String> = crowd[64..].iter().map(first_words).collect();
    assert!(told.iter().all(|words| words.starts_with("HTTP/1.1 503")), "{told:?}");

    let mut owners: Vec<_> = (0..20).map(|_| daemon.socket()).collect();
    for owner in &mut owners {
        owner.ok("system.health", json!({}));
    }
    let token = processes::token();
    let id = spawn(&mut owners[0], &parrot::flee("all", &token));
    await_output(&mut owners[0], &id, "ready");
    owners[1].ok("agent.kill", json!({"agent_id": id, "force": true}));
    assert_eq!(processes::with_token(&token), Vec::<u32>::new());

    drop(crowd);
    processes::eventually("there is room again", || {
        let reply = daemon.http().post(br#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#);
        reply.status == 200 && reply.json()["result"]["status"] == "healthy"
    });
    assert!(!daemon.log().contains("cannot accept"), "{}", daemon.log());
}

/// What the daemon says to one that it has no room for.
fn first_words(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let mut words = [0; 12];
    let read = stream.read_exact(&mut words);
    assert!(read.is_ok(), "nothing was said: {read:?}");
    String::from_utf8_lossy(&words).into_owned()
}

//! The daemon's own life: where it listens, when it refuses to start, how it ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::agents::{await_output, events, spawn};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::processes::eventually;
use crate::rig::{Caller, parrot, processes, program};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

/// Exit code and log of a daemon that cannot start.
#[track_caller]
fn refusal(setup: Setup) -> (i32, String) {
    match setup.try_start() {
        Ok(daemon) => panic!("the daemon started:\n{}", daemon.log()),
        Err(ended) => (ended.status.code().expect("it exits"), ended.log),
    }
}

#[test]
fn it_says_where_it_listens_and_what_to_try() {
    let daemon = Daemon::start();
    // What it listens on is known before it is said.
    eventually("everything is said", || daemon.log().contains("descartes logs"));
    let log = daemon.log();
    assert!(log.contains(&daemon.http_address().to_string()), "{log}");
    assert!(log.contains(daemon.socket_path().to_str().expect("text")), "{log}");
    assert!(log.contains(daemon.home.data().to_str().expect("text")), "{log}");
    assert!(log.contains("agent.spawn") && log.contains("descartes logs"), "{log}");
    let told = &daemon.endpoints;
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["instance"].is_string());
}

#[test]
fn it_is_ready_soon_and_small() {
    let soon = Duration::from_millis(if is_optimised() { 60 } else { 1000 });
    // Again until it is soon enough: one write to a disk that others use may take longer.
    let mut tries = (0..20).map(|_| start_and_measure());
    let (mut took, mut floor) = tries.next().expect("twenty");
    while took >= soon.max(20 * floor)
        && let Some(another) = tries.next()
    {
        (took, floor) = another;
    }
    assert!(took < soon.max(20 * floor), "ready after {took:?}; the floor is {floor:?}");
}

/// How soon a new daemon is ready, and what a program of ours costs that does nothing, here and now.
fn start_and_measure() -> (Duration, Duration) {
    let home = Home::new();
    let began = Instant::now();
    home.command("descartes").arg("--version").output().expect("it runs");
    let floor = began.elapsed();
    let daemon = Setup::at(&home).start();
    let took = daemon.started.elapsed();
    let (resident, own) =
        (processes::resident(daemon.number()), processes::resident_own(daemon.number()));
    assert!(own < 5_000_000, "{own} bytes of its own");
    // How much of the code of a debug build is resident says how the file came into memory.
    assert!(resident < 15_000_000 || !is_optimised(), "{resident} bytes resident");
    (took, floor)
}

/// Whether the programs under test are those of a release.
fn is_optimised() -> bool {
    program("descartes-daemon").parent().is_some_and(|folder| folder.ends_with("release"))
}

#[test]
fn what_is_private_is_private() {
    let daemon = Daemon::start();
    assert_eq!(mode(&daemon.home.runtime()), 0o700);
    assert_eq!(mode(&daemon.home.data()), 0o700);
    assert_eq!(mode(&daemon.socket_path()), 0o600);
    assert_eq!(mode(&daemon.home.runtime().join("endpoints.json")), 0o600);
}

#[test]
fn one_directory_has_one_daemon() {
    let daemon = Daemon::start();
    let home = daemon.home.clone();
    let (code, log) = refusal(Setup::at(&home));
    assert_eq!(code, 75, "{log}");
    let told = fs::read(home.runtime().join("endpoints.json")).expect("it is left alone");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(told, daemon.endpoints);
    daemon.socket().ok("system.health", json!({}));
}

#[test]
fn a_socket_of_a_living_daemon_is_not_taken() {
    let daemon = Daemon::start();
    let other = Home::new();
    let socket = daemon.socket_path();
    let flag = format!("--unix-socket={}", socket.display());
    let (code, log) = refusal(Setup::at(&other).flag(&flag));
    assert_eq!(code, 69, "{log}");
    daemon.socket().ok("system.health", json!({}));
}

#[test]
fn a_socket_that_a_dead_daemon_left_is_taken_over() {
    let home = Daemon::start().kill9();
    assert!(fs::exists(home.runtime().join("descartes.sock")).expect("readable"));
    let daemon = Setup::at(&home).start();
    daemon.socket().ok("system.health", json!({}));
}

#[test]
fn a_taken_port_is_told_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let (code, log) = refusal(Setup::new().flag(&format!("--http-port={port}")));
    assert_eq!(code, 69, "{log}");
    assert!(log.contains(&port.to_string()) && log.contains("--http-port"), "{log}");
}

#[test]
fn a_port_that_has_a_usual_place_is_insisted_on_only_when_it_was_chosen() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    for (flag, name, usual) in
        [("--ws-port", "ws", 8081), ("--zmq-port", "zmq", 5555), ("--pub-port", "pub", 19480)]
    {
        let (code, log) = refusal(Setup::new().flag(&format!("{flag}={port}")));
        assert_eq!(code, 69, "{log}");
        assert!(log.contains(&port.to_string()) && log.contains(flag), "{log}");

        // Whoever has the usual port, this daemon or somebody else, its start goes on.
        let daemon = Setup::new().usual_port(flag).start();
        let info = daemon.socket().ok("system.info", json!({}));
        let transports = info["transports"].as_array().expect("transports");
        let told: Vec<_> = transports.iter().filter(|one| one["name"] == name).collect();
        let usual = format!(":{usual}");
        let is_there =
            |one: &&Value| one["address"].as_str().is_some_and(|at| at.ends_with(&usual));
        let is_taken = |one: &&Value| one["error"].as_str().is_some_and(|why| why.contains(&usual));
        assert!(told.iter().any(is_there) != told.iter().any(is_taken), "{told:?}");
    }
}

#[test]
fn nothing_listens_beyond_loopback_without_authentication() {
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        let (code, log) = refusal(Setup::new().flag(&format!("--http-addr={address}")));
        assert_eq!(code, 77, "{address}: {log}");
    }
    for key in ["http_addr", "zmq_addr", "pub_addr"] {
        let mut setup = Setup::new().config(&format!("[server]\n{key} = \"0.0.0.0\"\n"));
        if let Some(name) = key.strip_suffix("_addr") {
            setup = setup.flag(&format!("--{name}-port=0"));
        }
        let (code, log) = refusal(setup);
        assert_eq!(code, 77, "{key}: {log}");
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let (code, log) = refusal(Setup::new().only_config("[server]\nhttp_prot = 1\n"));
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("daemon.toml:2:1") && log.contains("`http_port`"), "{log}");
    let (code, log) = refusal(Setup::new().only_config("[server]\nhttp_port = \"many\"\n"));
    assert_eq!(code, 78, "{log}");
    let (code, log) = refusal(Setup::new().only_config("[sevrer]\n"));
    assert_eq!(code, 78, "{log}");
    let (code, log) = refusal(Setup::new().flag("--no-such-flag"));
    assert_eq!(code, 2, "{log}");
}

#[test]
fn a_directory_that_is_none_is_told() {
    let home = Home::new();
    let file = home.path().join("file");
    fs::write(&file, "").expect("the home is writable");
    let (code, log) = refusal(Setup::at(&home).data(&file.join("data")));
    assert_eq!(code, 73, "{log}");
}

#[test]
fn a_start_that_cannot_tell_clients_where_to_come_leaves_what_was() {
    let home = Home::new();
    Setup::at(&home).start().stop();
    // No file takes the place of a directory: that is seen before anything has begun.
    let file = home.runtime().join("endpoints.json");
    fs::create_dir_all(&file).expect("the runtime directory is ours");
    let (code, log) = refusal(Setup::at(&home));
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("write endpoints.json"), "{log}");
    fs::remove_dir(&file).expect("it is ours");
    // That there is no room is seen when it has: it ends in order.
    let full = home.runtime().join("endpoints.new");
    std::os::unix::fs::symlink("/dev/full", &full).expect("the runtime directory is ours");
    let (code, log) = refusal(Setup::at(&home));
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("write endpoints.json") && log.contains("No space"), "{log}");
    let daemon = Setup::at(&home).start();
    assert_eq!(end_before(&daemon), "clean");
    let said = events(&mut daemon.socket(), "system", "start");
    let count = |kind: &str| said.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("system.started"), count("system.draining")), (3, 2), "{said:?}");
}

/// How the daemon before this one ended, as this one says.
fn end_before(daemon: &Daemon) -> Value {
    let said = events(&mut daemon.socket(), "system", "start");
    let started = said.iter().rfind(|event| event["type"] == "system.started");
    started.expect("it has started")["data"]["previous"].clone()
}

#[test]
fn the_configuration_can_be_printed_and_read_back() {
    let print = |setup: Setup| {
        let output = setup.flag("--print-config").command().output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let first = print(Setup::new().config("max_running = 7\n"));
    assert!(first.contains("max_running = 7"), "{first}");
    let settings = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(settings(&print(Setup::new().only_config(&first))), settings(&first));
}

#[test]
fn it_ends_in_order_when_it_is_asked() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start();
        let token = processes::token();
        let mut socket = daemon.socket();
        let id = spawn(&mut socket, &parrot::flee(parrot::MANNERS[0], &token));
        await_output(&mut socket, &id, "ready");
        let mut subscriber = daemon.socket();
        subscriber.ok("event.subscribe", json!({"topics": ["agent/"], "after": "now"}));
        daemon.signal(signal);
        let ended = daemon.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {}", ended.log);
        assert_eq!(processes::with_token(&token), Vec::<u32>::new(), "{signal:?}");
        let last = std::iter::from_fn(|| subscriber.line()).last().expect("it was told");
        assert!(last.contains("event.ended") && last.contains("shutdown"), "{last}");
        assert!(!fs::exists(daemon.home.runtime().join("endpoints.json")).expect("readable"));
        let home = daemon.home.clone();
        drop(daemon);

        let daemon = Setup::at(&home).start();
        let mut socket = daemon.socket();
        let shown = socket.ok("agent.get", json!({"agent_id": id}));
        assert_eq!(shown["status"], "killed", "{shown}");
        assert_eq!(end_before(&daemon), "clean");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut daemon = Setup::new().only_config("[agents]\nstop_grace_secs = 600\n").start();
    let mut socket = daemon.socket();
    let script = "trap '' TERM; echo ready; while :; do read line || sleep 1; done";
    let id = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &id, "ready");
    daemon.signal(Signal::TERM);
    processes::eventually("it drains", || {
        // A new connection is refused, or answered that the daemon is draining.
        std::os::unix::net::UnixStream::connect(daemon.socket_path()).is_err()
            || daemon.log().contains("SIGTERM")
    });
    daemon.signal(Signal::TERM);
    let ended = daemon.ended();
    assert!(ended.status.code().is_some(), "{:?}: {}", ended.status, ended.log);
}

#[test]
fn it_can_be_shut_down_by_a_call() {
    let mut daemon = Daemon::start();
    let answer = daemon.socket().ok("system.shutdown", json!({}));
    assert_eq!(answer["accepted"], true);
    let ended = daemon.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
}

#[test]
fn a_transport_can_be_turned_off() {
    let daemon = Setup::new().flag("--http-port=off").start();
    assert!(daemon.endpoints.get("http").is_none());
    daemon.socket().ok("system.health", json!({}));
}

#[test]
fn information_says_what_is_there() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let info = socket.ok("system.info", json!({}));
    assert_eq!((&info["version"], &info["api_version"]), (&json!("0.1.0"), &json!("1.0")));
    assert_eq!(info["data_dir"], json!(daemon.home.data()));
    let transports: Vec<_> = info["transports"].as_array().expect("transports").iter().collect();
    let names: Vec<_> = transports.iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["http", "unix", "zmq", "pub"], "{info}");
    let health = socket.ok("system.health", json!({}));
    assert_eq!((&health["status"], &health["api_version"]), (&json!("healthy"), &json!("1.0")));
    let ready = socket.ok("system.ready", json!({}));
    assert_eq!(ready["ready"], true);
    let id = spawn(&mut socket, &parrot::shell("read line"));
    let agents = socket.ok("system.metrics", json!({}))["agents"].clone();
    assert_eq!((&agents["total"], &agents["running"]), (&json!(1), &json!(1)));
    socket.ok("agent.kill", json!({"agent_id": id}));
    let backends = socket.ok("backend.list", json!({}));
    let available: Vec<_> = backends["backends"]
        .as_array()
        .expect("backends")
        .iter()
        .filter(|one| one["available"] == true)
        .map(|one| one["name"].clone())
        .collect();
    assert!(available.contains(&json!("basic")) && available.contains(&json!("process")));
}

#[test]
fn a_daemon_that_was_killed_leaves_nothing_that_stops_the_next() {
    let mut home = Home::new();
    for _ in 0..3 {
        home = Setup::at(&home).start().kill9();
    }
    Setup::at(&home).start().socket().ok("system.health", json!({}));
}

#[test]
fn both_programs_tell_their_version() {
    let home = Home::new();
    for name in ["descartes", "descartes-daemon"] {
        let output = home.command(name).arg("--version").output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.trim(), format!("{name} {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn it_listens_at_each_address_that_it_is_told() {
    let here = "127.0.0.2";
    let names = ["http", "ws", "zmq", "pub"];
    let addresses: String = names.iter().map(|name| format!("{name}_addr = '{here}'\n")).collect();
    let mut setup = Setup::new().config(&format!("[server]\n{addresses}"));
    for name in names {
        setup = setup.flag(&format!("--{name}-port=0"));
    }
    let daemon = setup.start();
    for name in names {
        let url = daemon.endpoints[name].as_str().expect("it listens");
        assert!(url.contains(&format!("://{here}:")) && !url.ends_with(":0"), "{name}: {url}");
    }
    assert_eq!(daemon.http().get("/health").text(), "OK");
}

#[test]
fn the_socket_is_where_and_for_whom_it_is_told() {
    let home = Home::new();
    let (path, group) = (home.path().join("own.sock"), rustix::process::getgid().as_raw());
    let lines = format!("unix_socket = '{}'\nunix_socket_group = {group}\n", path.display());
    let daemon = Setup::at(&home).config(&format!("[server]\n{lines}")).start();
    assert_eq!(daemon.socket_path(), path);
    assert_eq!(mode(&path), 0o660);
    daemon.socket().ok("system.health", json!({}));
    let none = Setup::new().config("[server]\nunix_socket_group = 'no such group'\n");
    let (code, log) = refusal(none);
    assert!(code == 78 && log.contains("a group of this machine"), "{code}: {log}");
}

#[test]
fn logs_go_where_they_are_told_in_the_shape_that_is_told() {
    let home = Home::new();
    let file = home.path().join("own.log");
    let lines = format!("stdout = false\nformat = 'json'\nfile = '{}'\n", file.display());
    let daemon = Setup::at(&home).config(&format!("[logging]\nlevel = 'debug'\n{lines}")).start();
    daemon.socket().ok("system.info", json!({}));
    let read = || fs::read_to_string(&file).unwrap_or_default();
    eventually("the call is logged", || read().contains("system.info"));
    let log = read();
    let line: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    assert!(!daemon.log().contains("system.info"), "{}", daemon.log());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_reloads_and_stops() {
    let home = Home::new();
    let path = home.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(crate::rig::PATIENCE)).expect("a socket takes a timeout");
    let heard = || {
        let mut bytes = [0; 256];
        let count = manager.recv(&mut bytes).expect("the daemon says something");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let path = path.to_str().expect("text").to_owned();
    let daemon = Setup::at(&home).env("NOTIFY_SOCKET", path.leak()).start();
    assert_eq!([heard(), heard()], ["READY=1", "STATUS=serving"]);
    // Agents do not get to know it.
    let mut socket = daemon.socket();
    let agent = spawn(&mut socket, &parrot::shell("echo \"manager: $NOTIFY_SOCKET.\""));
    await_output(&mut socket, &agent, "manager: .");
    daemon.signal(Signal::HUP);
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!([heard(), heard()], ["READY=1", "STATUS=serving"]);
    drop(daemon.stop());
    assert_eq!([heard(), heard()], ["STOPPING=1", "STATUS=stopping"]);
    assert!(heard().starts_with("EXTEND_TIMEOUT_USEC="));
}

#[test]
fn a_daemon_that_drains_takes_no_agents_until_it_is_told_to() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let lives = spawn(&mut socket, &parrot::parrot(&["echo"]));
    let drained = socket.ok("system.drain", json!({"on": true}));
    assert_eq!(drained, json!({"accepted": true, "blockers": ["1 live agent"]}));
    assert_eq!(socket.ok("system.health", json!({}))["status"], "draining");
    let ready = daemon.http().get("/ready");
    assert!(ready.status == 503 && ready.text().starts_with("NOT READY"), "{}", ready.text());
    let one = json!({"agent_type": "process", "config": {"command": parrot::parrot(&["echo"])}});
    socket.refused("unavailable", "agent.spawn", one.clone());
    assert_eq!(socket.ok("agent.get", json!({"agent_id": lives}))["status"], "running");
    socket.ok("system.drain", json!({"on": false}));
    assert_eq!(daemon.http().get("/ready").status, 200);
    socket.ok("agent.spawn", one);
}

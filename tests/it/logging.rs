//! Logs: whose every line is, and files that are put aside, moved away or full.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::agents::spawn;
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::parrot;
use crate::rig::processes::eventually;
use crate::rig::{Caller, PATIENCE};

/// A daemon that logs its calls to `own.log` of its home, as objects.
fn logging(home: &Home, more: &str) -> Setup {
    Setup::at(home)
        .config(&section(home, more))
        .env("RUST_LOG", "debug,descartes_core::process=trace")
}

fn section(home: &Home, more: &str) -> String {
    let file = log_of(home).display().to_string();
    format!("[logging]\nlevel = 'debug'\nstdout = false\nformat = 'json'\nfile = '{file}'\n{more}")
}

fn log_of(home: &Home) -> PathBuf {
    home.path().join("own.log")
}

/// The lines of a file that is whole, each of which is an object.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    whole.lines().map(line).collect()
}

/// Which requests the lines of calls in `path` belong to.
fn calls(path: &Path) -> Vec<(u64, String)> {
    let calls = lines(path).into_iter().filter(|line| line["message"] == "call");
    let whose = |line: Value| {
        let request = line["request_id"].as_str().expect("a request").to_owned();
        (line["connection_id"].as_u64().expect("a connection"), request)
    };
    calls.map(whose).collect()
}

fn files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path()).expect("the home is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_log = |path: &PathBuf| path.to_string_lossy().contains("own.log");
    paths.filter(is_log).collect()
}

#[test]
fn lines_about_connections_say_which_one_over_every_transport() {
    let home = Home::new();
    let daemon = logging(&home, "").flag("--zmq-port=0").start();
    let zmq = daemon.zmq().trim_start_matches("tcp://").to_owned();
    let http = daemon.http_address().to_string();
    // What neither speaks; it is read until the daemon has closed.
    for address in [http, zmq] {
        let mut wire = TcpStream::connect(address).expect("it accepts");
        wire.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        wire.write_all(&[b'x'; 100]).expect("the daemon reads");
        wire.shutdown(Shutdown::Write).expect("an open socket");
        drop(wire.read_to_end(&mut Vec::new()));
    }
    let of = |room: &str| {
        let about = |line: &Value| {
            let message = line["message"].as_str().unwrap_or_default();
            let told = ["connection ended", "connection cut", "no handshake"].contains(&message);
            told && line["target"].as_str().is_some_and(|target| target.contains(room))
        };
        lines(&log_of(&home)).into_iter().find(about)
    };
    for room in ["transport_http", "transport_zmq"] {
        eventually("the end is logged", || of(room).is_some());
        let line = of(room).expect("it was there");
        assert!(line["connection_id"].is_u64(), "{line}");
    }
}

#[test]
fn every_line_says_whose_it_is() {
    let home = Home::new();
    let daemon = logging(&home, "").start();
    let mut socket = daemon.socket();
    let agent = spawn(&mut socket, &parrot::parrot(&["echo"]));
    socket.ok("agent.kill", json!({"agent_id": agent, "force": true}));
    let found = |message: &str, key: &str, value: &str| {
        let is_it = |line: &Value| line["message"] == message && line[key] == value;
        lines(&log_of(&home)).into_iter().find(is_it)
    };
    eventually("the call is logged", || found("call", "method", "agent.kill").is_some());
    let line = found("call", "method", "agent.kill").expect("it was there");
    assert_eq!((&line["transport"], &line["request_id"]), (&json!("unix"), &json!("2")));
    assert!(line["connection_id"].is_u64() && line["outcome"] == "ok", "{line}");
    let of_agent = found("killed a tree", "agent_id", &agent).expect("it is logged before");
    assert_eq!(of_agent["method"], Value::Null, "an agent is of no call: {of_agent}");

    // What a caller makes up stays where it belongs.
    let evil = format!("\u{1b}[2J\n\" method=agent.kill {}", "x".repeat(500));
    let request = json!({"jsonrpc": "2.0", "id": evil, "method": "evil\u{1b}[2J", "params": {}});
    socket.send(format!("{request}\n").as_bytes()).expect("the daemon reads");
    drop(socket.message());
    eventually("the call is logged", || found("call", "method", "unknown").is_some());
    let line = found("call", "method", "unknown").expect("it was there");
    let id = line["request_id"].as_str().expect("a text");
    assert!(id.starts_with("\\u{1b}[2J\\n\\\" method") && id.len() < 100, "{id}");
    assert!(!fs::read_to_string(log_of(&home)).expect("text").contains('\u{1b}'));
}

/// Makes `count` calls over each of some connections at once.
fn call_at_once(daemon: &Daemon, count: u64) {
    const CONNECTIONS: usize = 4;
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            let mut socket = daemon.socket();
            scope.spawn(move || {
                for _ in 0..count {
                    socket.ok("system.health", json!({}));
                }
            });
        }
    });
}

#[test]
fn the_file_is_put_aside_when_it_is_large_as_often_as_is_said() {
    const BYTES: u64 = 4096;
    let home = Home::new();
    let many = format!("rotate_bytes = {BYTES}\nkeep = 1000\n");
    let daemon = logging(&home, &many).start();
    call_at_once(&daemon, 100);
    let all = || files(&home).iter().flat_map(|path| calls(path)).collect::<Vec<_>>();
    // While files are put aside they are seen twice or not at all.
    eventually("each line is there once, none lost, none split", || {
        let lines = all();
        lines.len() == 400 && lines.iter().collect::<BTreeSet<_>>().len() == 400
    });
    assert!(files(&home).len() > 10, "{:?}", files(&home));
    for file in files(&home) {
        let bytes = fs::metadata(&file).expect("it is there").len();
        assert!(bytes <= BYTES, "{}: {bytes}", file.display());
    }

    let config = section(&home, &format!("rotate_bytes = {BYTES}\nkeep = 2\n"));
    fs::write(home.path().join("daemon.toml"), config).expect("the home is writable");
    let reloaded = daemon.socket().ok("system.reload", json!({}));
    assert!(reloaded["applied"].to_string().contains("logging.keep"), "{reloaded}");
    call_at_once(&daemon, 50);
    eventually("only so many are kept", || files(&home).len() == 3);
}

#[test]
fn a_file_that_somebody_moved_is_opened_anew_by_the_signal() {
    let home = Home::new();
    let daemon = logging(&home, "").start();
    let aside = home.path().join("aside");
    call_at_once(&daemon, 1);
    eventually("it is written", || calls(&log_of(&home)).len() == 4);
    fs::rename(log_of(&home), &aside).expect("it can be moved");
    daemon.signal(Signal::HUP);
    let reloaded = |line: &Value| line["message"] == "the configuration was reloaded";
    eventually("the new one is written", || lines(&log_of(&home)).iter().any(reloaded));
    call_at_once(&daemon, 1);
    eventually("it is written", || calls(&log_of(&home)).len() == 4);
    assert_eq!(calls(&aside).len(), 4);
}

#[test]
fn a_log_on_a_full_disk_stops_nobody_and_what_was_lost_is_told() {
    let home = Home::new();
    std::os::unix::fs::symlink("/dev/full", log_of(&home)).expect("the home is writable");
    let daemon = logging(&home, "").start();
    call_at_once(&daemon, 20);
    fs::remove_file(log_of(&home)).expect("it can be removed");
    daemon.signal(Signal::HUP);
    let told = |line: &Value| {
        line["message"] == "lines of the log were lost" && line["lines"].to_string().len() > 1
    };
    eventually("it is told", || files(&home).iter().any(|file| lines(file).iter().any(told)));
    assert!(daemon.stop().0.status.success());
}

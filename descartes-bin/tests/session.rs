//! A person's session: the daemon, started, used and stopped with the command line.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const DAEMON: &str = env!("CARGO_BIN_EXE_descartes-daemon");
const CLIENT: &str = env!("CARGO_BIN_EXE_descartes");

/// A home of its own, and a daemon in it that ends with the test.
struct Home {
    dir: tempfile::TempDir,
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Said {
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        String::from_utf8(self.out).unwrap()
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    fn json_status(&self) -> String {
        let health: Value = serde_json::from_slice(&self.out).unwrap_or_default();
        health["status"].as_str().unwrap_or("gone").to_owned()
    }

    #[track_caller]
    fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A home with a daemon, started as a person would.
    #[track_caller]
    fn with_daemon() -> Self {
        let home = Self::new();
        home.run(&["daemon", "start"]).done();
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join(".local/share/descartes")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.path())
            .env("DESCARTES_SERVER__HTTP_PORT", if cfg!(feature = "http") { "0" } else { "off" })
            .env("DESCARTES_SERVER__WS_PORT", "off")
            // Tests may run in a container, where loopback is not trusted by itself.
            .envs(cfg!(feature = "http").then_some(("DESCARTES_AUTH__TRUST_LOOPBACK", "true")))
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(CLIENT).args(arguments).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        Said { code: output.status.code(), out: output.stdout, err }
    }

    fn endpoints(&self) -> Option<Value> {
        let text = fs::read(self.data().join("run/endpoints.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    fn daemon(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.endpoints()?["pid"].as_i64()?).ok()?)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(pid) = self.daemon() {
            drop(self.run(&["daemon", "stop", "--timeout", "1"]));
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
}

#[test]
fn a_first_session_works_from_start_to_stop() {
    let home = Home::with_daemon();
    let status = home.run(&["--json", "daemon", "status"]).json();
    assert_eq!(status["health"]["status"], "healthy");
    let info = home.run(&["call", "system.info"]).json();
    assert_eq!(info["store"]["format"], "sqlite");

    let spawned = ["--json", "spawn", "--type", "basic", "--name", "one", "--task", "count 3"];
    let agent = home.run(&spawned).json();
    assert_eq!(agent["status"], "running");
    home.run(&["write", "one", "hello"]).done();
    home.run(&["write", "one", "exit 3"]).done();
    assert_eq!(home.run(&["wait", "one", "--exit-code"]).code, Some(3));
    assert_eq!(home.run(&["wait", "one"]).code, Some(1), "an agent that failed is a failure");
    let said = "basic: ready\n1\n2\n3\nyou said: hello\n";
    assert_eq!(home.run(&["logs", "one"]).done(), said);
    assert_eq!(home.run(&["logs", "-f", "one"]).done(), said, "following what has ended ends");
    assert_eq!(home.run(&["logs", "--tail", "1", "one"]).done(), "you said: hello\n");

    assert_eq!(home.run(&["ps"]).done().lines().count(), 1, "only the headings");
    let id = agent["agent_id"].as_str().unwrap();
    let short = &id[id.len() - 8..];
    let row = home.run(&["ps", "-a"]).done();
    assert!(row.lines().nth(1).unwrap().starts_with(short), "{row}");
    assert_eq!(home.run(&["--json", "get", short]).json()["id"], id);
    let events = home.run(&["events", "one"]).done();
    assert!(events.contains("agent.exited") && events.contains("running -> failed"), "{events}");
    home.run(&["rm", short]).done();
    home.run(&["get", "one"]).refused(3);

    home.run(&["daemon", "stop"]).done();
    // Its lock goes with its process, whoever collects that.
    fs::File::open(home.data().join("daemon.lock")).unwrap().try_lock().unwrap();
    assert_eq!(home.endpoints(), None);
    home.run(&["ps"]).refused(69);
}

#[test]
fn output_comes_back_byte_for_byte() {
    let home = Home::with_daemon();
    let script = r"printf '\377\000a\r\nno end'";
    home.run(&["spawn", "--name", "bytes", "--", "/bin/sh", "-c", script]).done();
    home.run(&["wait", "bytes"]).done();
    assert_eq!(home.run(&["logs", "bytes"]).out, b"\xff\0a\r\nno end");

    let script = "echo out; echo err >&2";
    home.run(&["spawn", "--name", "both", "--", "/bin/sh", "-c", script]).done();
    home.run(&["wait", "both"]).done();
    assert_eq!(home.run(&["logs", "--stderr", "both"]).done(), "err\n");
    assert_eq!(home.run(&["logs", "--stdout", "both"]).done(), "out\n");
}

#[test]
fn control_reaches_several_agents_and_answers_after_the_effect() {
    let home = Home::with_daemon();
    for name in ["a", "b"] {
        home.run(&["spawn", "-t", "basic", "-n", name]).done();
    }
    // What has not begun yet cannot agree to a pause.
    let began = Instant::now();
    while !home.run(&["logs", "a"]).done().contains("ready") {
        assert!(began.elapsed() < Duration::from_secs(60), "the agent does not begin");
    }
    let paused = home.run(&["--json", "pause", "a"]).json();
    assert_eq!(
        (&paused["status"], &paused["pause_mode"]),
        (&"paused".into(), &"cooperative".into())
    );
    let listed = home.run(&["--json", "ps", "--status", "paused"]).json();
    assert_eq!(listed["name"], "a");
    home.run(&["resume", "a"]).done();

    home.run(&["rm", "a"]).refused(4);
    let again = home.run(&["--json", "restart", "a"]).json();
    assert_eq!(again["run"], 2);
    home.run(&["kill", "-s", "usr1", "b"]).done();
    assert_eq!(home.run(&["wait", "b", "--exit-code"]).code, Some(128 + 10));
    let said = home.run(&["stop", "a", "nobody", "b"]);
    assert!(said.err.contains("nobody: "), "{said:?}");
    said.refused(3);
    assert_eq!(home.run(&["ps", "-q"]).done(), "");
    assert_eq!(home.run(&["ps", "-q", "--status", "stopped"]).done().lines().count(), 2);
    home.run(&["prune"]).done();
    assert_eq!(home.run(&["ps", "-aq"]).done(), "");
}

#[test]
fn refusals_say_what_was_wrong_by_their_exit_code() {
    let home = Home::with_daemon();
    let missing = home.run(&["spawn", "--", "/no/such/program"]).refused(1);
    assert!(missing.contains("/no/such/program"), "{missing}");
    home.run(&["spawn", "-e", "NO_SUCH_VARIABLE", "--", "/bin/true"]).refused(2);
    home.run(&["logs", "nobody"]).refused(3);
    home.run(&["call", "no.such"]).refused(3);
    home.run(&["call", "agent.list", "{\"limti\": 1}"]).refused(2);
    home.run(&["spawn", "-t", "basic", "-n", "x"]).done();
    home.run(&["wait", "x", "--timeout", "0"]).refused(124);
    let health: Value = home.run(&["call", "system.health"]).json();
    assert_eq!(health["status"], "healthy");
    assert!(home.run(&["backends"]).done().contains("basic"), "what can be started is listed");
}

#[test]
fn logs_are_followed_live_and_end_with_the_agent() {
    let home = Home::with_daemon();
    home.run(&["spawn", "-t", "basic", "-n", "live"]).done();
    let mut follower =
        home.command(CLIENT).args(["logs", "-f", "live"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "basic: ready");
    home.run(&["write", "live", "hello"]).done();
    assert_eq!(lines.next().unwrap().unwrap(), "you said: hello");
    home.run(&["write", "live", "--eof"]).done();
    assert!(lines.next().is_none());
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

/// A daemon in the foreground, ready.
fn foreground(home: &Home, flags: &[&str]) -> Child {
    let mut command = home.command(DAEMON);
    command.args(flags).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.contains("is ready"), "{first}");
    // The rest is read by nobody, who must not break the pipe.
    std::thread::spawn(move || said.for_each(drop));
    child
}

#[test]
fn a_signal_stops_the_daemon_in_order() {
    let home = Home::new();
    let mut daemon = foreground(&home, &[]);
    home.run(&["spawn", "-t", "basic", "-n", "x"]).done();
    kill_process(home.daemon().unwrap(), Signal::TERM).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert_eq!(home.endpoints(), None);

    let mut daemon = foreground(&home, &[]);
    let agent = home.run(&["--json", "get", "x"]).json();
    assert_eq!(agent["status"], "killed");
    let events = home.run(&["events", "system"]).done();
    assert!(events.contains(r#""previous":"clean""#), "{events}");
    kill_process(home.daemon().unwrap(), Signal::INT).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_ends_agents_that_will_not_end() {
    let home = Home::new();
    let mut daemon = foreground(&home, &[]);
    let script = "trap '' TERM; echo deaf; while :; do read x || exec tail -f /dev/null; done";
    home.run(&["spawn", "-n", "deaf", "--no-stdin", "--", "/bin/sh", "-c", script]).done();
    let mut follower = home.command(CLIENT);
    let mut follower =
        follower.args(["logs", "-f", "deaf"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 5];
    follower.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let pid = home.daemon().unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    // It says in the journal that it drains before it stops anybody.
    while home.run(&["--json", "health"]).json_status() == "healthy" {}
    kill_process(pid, Signal::TERM).unwrap();
    let status = daemon.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(1), None));
    // It would wait for the daemon to come back.
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_killed_daemon_leaves_nothing_that_stops_the_next() {
    let home = Home::new();
    let mut daemon = foreground(&home, &[]);
    home.run(&["spawn", "-t", "basic", "-n", "x"]).done();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(home.endpoints().is_some(), "nobody could remove it");
    home.run(&["ps"]).refused(69);

    home.run(&["daemon", "start"]).done();
    let agent = home.run(&["--json", "get", "x"]).json();
    assert_eq!((&agent["status"], &agent["exit"]["reason"]), (&"lost".into(), &"host_died".into()));
}

#[test]
fn a_directory_has_one_daemon_and_a_port_one_owner() {
    let home = Home::with_daemon();
    let (code, err) = refused_daemon(&home, &[]);
    assert_eq!(code, Some(75), "{err}");
    let other = Home::new();
    let data = other.path().join("data");
    let socket = home.data().join("run/descartes.sock");
    if cfg!(feature = "unix") {
        let flags =
            ["--unix-socket", socket.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let (code, err) = refused_daemon(&other, &flags);
        assert_eq!(code, Some(69), "{err}");
        home.run(&["ps"]).done();
    }
    if cfg!(feature = "http") {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let (code, err) = refused_daemon(&other, &["--http-port", &port]);
        assert_eq!(code, Some(69), "{err}");
        assert!(err.contains(&port) && err.contains("--http-port"), "{err}");
    }
    assert_eq!(other.endpoints(), None);
}

fn refused_daemon(home: &Home, flags: &[&str]) -> (Option<i32>, String) {
    let output = home.command(DAEMON).args(flags).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(feature = "http")]
fn the_command_line_works_over_http_too() {
    let home = Home::with_daemon();
    let url = home.endpoints().unwrap()["http"].as_str().unwrap().to_owned();
    let over = |arguments: &[&str]| home.run(&[&["--url", url.as_str()], arguments].concat());
    over(&["spawn", "-t", "basic", "-n", "far", "--task", "hello"]).done();
    over(&["write", "far", "--eof"]).done();
    over(&["wait", "far"]).done();
    assert_eq!(over(&["logs", "-f", "far"]).done(), "basic: ready\nyou said: hello\n");
    over(&["stop", "nobody"]).refused(3);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let home = Home::with_daemon();
    let script = "seq 100000";
    home.run(&["spawn", "-n", "long", "--", "/bin/sh", "-c", script]).done();
    home.run(&["wait", "long"]).done();
    let mut reader =
        home.command(CLIENT).args(["logs", "long"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    reader.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\n2\n");
    assert_eq!(reader.wait().unwrap().code(), Some(0));
}

/// What `doctor` says of each thing, and its exit code.
fn examined(home: &Home, path: &Path) -> (Option<i32>, Vec<Value>) {
    let mut command = home.command(CLIENT);
    // Ports of tests would be those of everybody.
    for port in ["ZMQ_PORT", "PUB_PORT"].into_iter().filter(|_| cfg!(feature = "zmq")) {
        command.env(format!("DESCARTES_SERVER__{port}"), "0");
    }
    let output = command.args(["--json", "doctor"]).env("PATH", path).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn of<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    findings.iter().find(|finding| finding["check"] == check).unwrap()
}

#[test]
fn a_doctor_looks_at_everything_without_a_daemon_and_with_one() {
    let home = Home::new();
    let programs = home.path().join("bin");
    fs::create_dir(&programs).unwrap();
    // By another process: what this one writes its children may hold open, and nobody can run it.
    let write = r"printf '#!/bin/sh\necho codex-cli 0.169.0\n' >codex && chmod 755 codex";
    let mut shell = Command::new("/bin/sh");
    assert!(shell.args(["-c", write]).current_dir(&programs).status().unwrap().success());
    let config = home.path().join(".config/descartes");
    fs::create_dir_all(&config).unwrap();
    let said = "[backends.mine]\ncommand = 'codex'\ndialect = 'acp'\n";
    fs::write(config.join("daemon.toml"), said).unwrap();

    let (code, found) = examined(&home, &programs);
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(of(&found, "daemon")["status"], "note");
    assert_eq!(of(&found, "data directory")["status"], "ok");
    let codex = of(&found, "backend codex");
    assert_eq!(codex["status"], "warning", "nobody is logged in: {codex}");
    assert!(codex["finding"].as_str().unwrap().starts_with("0.169.0, "), "{codex}");
    assert_eq!(of(&found, "backend claude-code")["status"], "warning", "the usual one");
    assert_eq!(of(&found, "backend gemini")["status"], "note");
    let told = found.iter().all(|one| one["status"] == "ok" || one["advice"].is_string());
    assert!(told, "{found:?}");

    let mut start = home.command(CLIENT);
    let started = start.args(["daemon", "start"]).env("PATH", &programs).status().unwrap();
    assert!(started.success());
    let (code, found) = examined(&home, Path::new("/nowhere"));
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(of(&found, "daemon")["status"], "ok");
    // The daemon's `PATH` counts, not the caller's.
    assert_eq!(of(&found, "backend codex")["status"], "warning");
    assert_eq!(of(&found, "backend mine")["status"], "ok");
    let people = home.run(&["doctor"]).done();
    assert!(people.starts_with("STATUS") && people.contains("npm install"), "{people}");

    fs::remove_file(programs.join("codex")).unwrap();
    let (code, found) = examined(&home, Path::new("/nowhere"));
    assert_eq!(code, Some(1), "what is configured is needed: {found:?}");
    assert_eq!(of(&found, "backend mine")["status"], "broken");
    fs::write(config.join("daemon.toml"), "[backends.mine]\ncomand = 'x'\n").unwrap();
    let (code, found) = examined(&home, Path::new("/nowhere"));
    assert_eq!((code, &of(&found, "configuration")["status"]), (Some(1), &Value::from("broken")));
}

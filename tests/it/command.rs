//! `descartes`, the command line: what it prints, and what it says by its exit code.

use std::io::{BufRead, BufReader};
use std::process::Output;

use serde_json::{Value, json};

use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::{Caller, processes};

/// Runs `descartes` in the surroundings of `home`.
fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = home.command("descartes");
    command.arg("--data-dir").arg(home.data()).args(arguments);
    command.env("GIVEN", "from here").output().expect("descartes runs")
}

#[track_caller]
fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[track_caller]
fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What a command that has to succeed prints.
#[track_caller]
fn prints(home: &Home, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{arguments:?} is done without a word");
    stdout(&output)
}

#[track_caller]
fn exits(home: &Home, code: i32, arguments: &[&str]) -> Output {
    let output = run(home, arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    output
}

#[track_caller]
fn json_of(home: &Home, arguments: &[&str]) -> Value {
    let text = prints(home, &[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
}

#[test]
fn an_agent_is_started_followed_written_to_and_waited_for() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    let script = "echo hello $GIVEN $SET; read answer; echo got $answer >&2; printf end";
    let spawn = ["spawn", "--name", "a", "-e", "GIVEN", "-e", "SET=here", "-l", "team=red"];
    let id = prints(home, &[&spawn[..], &["--quiet", "--", "sh", "-c", script]].concat());
    let id = id.trim();
    let listed = prints(home, &["ps"]);
    assert!(listed.lines().any(|line| line.contains(" a ") || line.starts_with("a ")), "{listed}");
    assert!(!listed.contains('\x1b'), "colour in a pipe: {listed:?}");
    assert_eq!(prints(home, &["ps", "-q", "-l", "team=red"]).trim(), id);
    assert_eq!(prints(home, &["ps", "-q", "-l", "team=blue"]), "");
    prints(home, &["write", "a", "an answer"]);
    prints(home, &["wait", "--exit-code", "a"]);
    assert_eq!(prints(home, &["logs", "--stdout", "a"]), "hello from here here\nend");
    assert_eq!(prints(home, &["logs", "--stderr", "a"]), "got an answer\n");
    assert_eq!(prints(home, &["logs", "--stdout", "-f", "a"]), "hello from here here\nend");
    assert_eq!(json_of(home, &["get", "a"])["status"], "completed");
    assert!(prints(home, &["ps", "-a"]).contains("completed"));
    let events = prints(home, &["--json", "events", "a"]);
    let first: Value = serde_json::from_str(events.lines().next().expect("events")).expect("JSON");
    assert_eq!(first["type"], "agent.spawned", "{first}");
    prints(home, &["rm", "a"]);
    exits(home, 3, &["get", "a"]);
}

#[test]
fn the_verbs_do_what_they_say() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    let reader = ["--", "sh", "-c", "while read line; do echo $line; done"];
    for name in ["x", "y"] {
        prints(home, &[&["spawn", "-q", "-n", name], &reader[..]].concat());
    }
    prints(home, &["pause", "x", "y"]);
    assert_eq!(prints(home, &["ps", "-q", "--status", "paused"]).lines().count(), 2);
    prints(home, &["resume", "x", "y"]);
    prints(home, &["restart", "x"]);
    assert_eq!(json_of(home, &["get", "x"])["run"], 2);
    prints(home, &["kill", "-s", "term", "x"]);
    exits(home, 1, &["wait", "x"]);
    prints(home, &["stop", "--grace", "1", "y"]);
    assert_eq!(json_of(home, &["get", "y"])["status"], "killed");
    prints(home, &["spawn", "-q", "-n", "z", "-t", "basic"]);
    exits(home, 4, &["rm", "z"]);
    prints(home, &["rm", "-f", "z"]);
    assert!(prints(home, &["prune"]).contains('2'));
    assert_eq!(prints(home, &["ps", "-a", "-q"]), "");
}

#[test]
fn the_daemon_is_asked_how_it_is() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    assert!(prints(home, &["health"]).contains("healthy"));
    assert_eq!(json_of(home, &["health"])["status"], "healthy");
    assert!(prints(home, &["backends"]).contains("basic"));
    let info = prints(home, &["call", "system.info"]);
    let info: Value = serde_json::from_str(&info).expect("a call prints JSON");
    assert_eq!(info["version"], "0.1.0");
    let called = prints(home, &["call", "state.put", r#"{"key":"k","value":[1]}"#]);
    assert!(called.contains("version"), "{called}");
    let url = format!("http://{}", daemon.http_address());
    assert!(prints(home, &["--url", &url, "health"]).contains("healthy"));
    assert!(prints(home, &["version"]).contains("0.1.0"));
    assert!(prints(home, &["daemon", "status"]).contains(&daemon.pid().to_string()));
}

#[test]
fn the_daemon_is_reached_over_zeromq_and_by_the_name_of_a_remote() {
    let daemon = Setup::new().flag("--zmq-port=0").start();
    let home = &daemon.home;
    let ipc = format!("ipc://{}", home.runtime().join("zmq.sock").display());
    for url in [daemon.zmq(), &ipc] {
        let over = |arguments: &[&str]| prints(home, &[&["--url", url], arguments].concat());
        assert!(over(&["health"]).contains("healthy"), "{url}");
        let id = over(&["spawn", "-q", "--", "sh", "-c", "echo one; read line; echo two"]);
        over(&["write", id.trim(), "go"]);
        assert_eq!(over(&["logs", "-f", id.trim()]), "one\ntwo\n", "{url}");
        over(&["wait", id.trim()]);
        over(&["rm", id.trim()]);
    }
    // Where no daemon of ours is to be found, its name is enough.
    let elsewhere = Home::new();
    let config = elsewhere.path().join(".config/descartes");
    std::fs::create_dir_all(&config).expect("the home is writable");
    let remotes = format!("[remotes.farm]\nendpoint = \"{}\"\n", daemon.zmq());
    std::fs::write(config.join("daemon.toml"), remotes).expect("the home is writable");
    assert!(prints(&elsewhere, &["--remote", "farm", "health"]).contains("healthy"));
    let unknown = exits(&elsewhere, 2, &["--remote", "lab", "health"]);
    assert!(stderr(&unknown).contains("farm"), "{}", stderr(&unknown));
    let unknown = exits(home, 2, &["--remote", "lab", "health"]);
    assert!(stderr(&unknown).contains("lab"), "{}", stderr(&unknown));
    exits(home, 2, &["--url", "tcp://nowhere", "health"]);
    let nobody = format!("ipc://{}", elsewhere.path().join("nobody.sock").display());
    exits(home, 69, &["--url", &nobody, "health"]);
}

#[test]
fn topics_of_one_word_and_whole_ranges_of_them_are_read() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    daemon.socket().ok("auth.key.create", json!({"name": "ci", "role": "viewer"}));
    let kinds = |arguments: &[&str]| -> Vec<String> {
        let text = prints(home, &[&["--json", "events"], arguments].concat());
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        events.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    };
    assert_eq!(kinds(&["audit"]), ["audit.key"]);
    assert_eq!(kinds(&["audit", "--type", "audit.denied"]), [""; 0]);
    let all = kinds(&["*"]);
    assert!(["audit.key", "system.started"].iter().all(|kind| all.iter().any(|it| it == kind)));
    exits(home, 3, &["events", "nobody"]);
}

#[test]
fn each_failure_has_its_exit_code() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    exits(home, 2, &["no-such-command"]);
    exits(home, 2, &["call", "system.health", "{not json"]);
    exits(home, 3, &["get", "nobody"]);
    exits(home, 3, &["call", "no.such.method"]);
    exits(home, 1, &["spawn", "--", "/no/such/program"]);
    prints(home, &["spawn", "-q", "-n", "w", "--", "sh", "-c", "read line; exit 42"]);
    exits(home, 124, &["wait", "--timeout", "1", "w"]);
    exits(home, 4, &["rm", "w"]);
    prints(home, &["write", "w", "go"]);
    exits(home, 42, &["wait", "--exit-code", "w"]);
    exits(home, 1, &["wait", "w"]);
    assert_eq!(prints(home, &["wait", "--for", "run", "w"]), "w: failed (42)\n");
    exits(home, 2, &["wait", "--for", "ever", "w"]);
    let several = exits(home, 3, &["get", "w", "nobody"]);
    assert!(!several.stdout.is_empty(), "one of them is there");
    let failure = exits(home, 3, &["--json", "get", "nobody"]);
    let failure: Value = serde_json::from_str(&stderr(&failure)).expect("errors are JSON too");
    assert_eq!(failure["error"]["code"], -32002, "{failure}");
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let home = Home::new();
    let output = exits(&home, 69, &["ps"]);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("descartes daemon start"), "{}", stderr(&output));
    // A daemon that was killed leaves its file behind; that is no daemon either.
    let home = Daemon::start().kill9();
    let output = exits(&home, 69, &["ps"]);
    assert!(stderr(&output).contains("descartes daemon start"), "{}", stderr(&output));
}

#[test]
fn the_daemon_is_started_in_the_background_and_stopped() {
    let home = Home::new();
    let mut start = vec!["daemon", "start", "--http-port", "0"];
    start.extend(["--ws-port", "off", "--zmq-port", "off", "--pub-port", "off"]);
    let started = prints(&home, &start);
    assert!(started.contains("started"), "{started}");
    let told = json_of(&home, &["daemon", "status"]);
    let data = home.data().display().to_string();
    let pid = told["endpoints"]["pid"].as_u64().expect("it runs");
    assert!(processes::with_token(&data).iter().any(|there| u64::from(*there) == pid), "{told}");
    let again = prints(&home, &start);
    assert!(again.contains("already running"), "{again}");
    prints(&home, &["spawn", "-q", "-n", "b", "-t", "basic"]);
    prints(&home, &["daemon", "stop", "--timeout", "5"]);
    exits(&home, 69, &["ps"]);
    let left = processes::shown(&processes::with_token(&data));
    assert_eq!(left, [""; 0], "{told}");
}

#[test]
fn the_daemon_is_started_anew_and_its_log_is_read() {
    let home = Home::new();
    let ports = ["--http-port=0", "--ws-port=off", "--zmq-port=off", "--pub-port=off"];
    let restart = [&["daemon", "restart"][..], &ports, &["--metrics-port=off"]].concat();
    exits(&home, 69, &["status"]);
    let none = exits(&home, 1, &["daemon", "logs"]);
    assert!(stderr(&none).contains("[logging] file"), "{}", stderr(&none));
    assert!(prints(&home, &restart).contains(" started "));
    let pid = || json_of(&home, &["daemon", "status"])["endpoints"]["pid"].as_u64();
    let first = pid();
    // Who has made a mistake keeps the daemon that runs.
    exits(&home, 2, &["daemon", "restart", "--no-such-flag"]);
    exits(&home, 2, &["daemon", "restart", "--http-port=eighty"]);
    exits(&home, 2, &["daemon", "restart", "--check-config"]);
    assert_eq!(pid(), first);
    assert!(prints(&home, &restart).contains(" restarted "));
    assert_ne!(pid(), first);
    let log = prints(&home, &["daemon", "logs"]);
    assert!(log.contains("stopping as asked"), "{log}");
    let last = log.lines().last().expect("lines");
    assert_eq!(prints(&home, &["daemon", "logs", "--tail", "1"]), format!("{last}\n"));
    assert_eq!(json_of(&home, &["daemon", "logs", "--tail", "1"])["line"], last);
    prints(&home, &["daemon", "stop", "--timeout", "5"]);
    assert!(prints(&home, &["daemon", "logs"]).starts_with(&log), "it is there when it is needed");
}

#[test]
fn the_log_of_a_daemon_is_the_file_that_is_configured() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    let none = exits(home, 1, &["daemon", "logs"]);
    let told = format!("(pid {}) logs to its standard output alone", daemon.pid());
    assert!(stderr(&none).contains(&told), "{}", stderr(&none));
    let setup = Setup::new();
    let log = setup.home().file("the.log", b"begun\n");
    let logging = setup.config(&format!("[logging]\nfile = {log:?}\n")).start();
    let shown = prints(&logging.home, &["daemon", "logs"]);
    assert!(shown.starts_with("begun\n"), "the file that the daemon says: {shown}");
    let log = home.file("the.log", b"one\ntwo\n");
    let config = home.file("logs.toml", format!("[logging]\nfile = {log:?}\n").as_bytes());
    let config = config.to_str().expect("text");
    assert_eq!(prints(home, &["daemon", "logs", "--config", config]), "one\ntwo\n");
    let mut command = home.command("descartes");
    command.args(["daemon", "logs", "-f", "--tail", "1", "--config", config]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut next = || lines.next().expect("the log goes on").expect("text");
    assert_eq!(next(), "two");
    std::fs::rename(&log, log.with_extension("1")).expect("it is put aside");
    std::fs::write(&log, "three\n").expect("a new one");
    assert_eq!(next(), "three");
    child.kill().expect("it follows for ever");
    child.wait().expect("it ends");
}

#[test]
fn the_status_is_on_one_screen() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    prints(home, &["spawn", "-q", "-n", "w", "--", "cat"]);
    let status = prints(home, &["status"]);
    for part in ["0.1.0: healthy", "1 running, 0 paused", "0 waiting", "http://", "unix"] {
        assert!(status.contains(part), "no {part}: {status}");
    }
    let told = json_of(home, &["status"]);
    assert_eq!((&told["status"], &told["version"]), (&json!("healthy"), &json!("0.1.0")), "{told}");
    assert_eq!((&told["agents"]["running"], &told["approvals"]), (&json!(1), &json!([])), "{told}");
    assert!(told["uptime_secs"].is_u64() && told["transports"].is_array(), "{told}");
    prints(home, &["kill", "-f", "w"]);
}

#[test]
fn what_follows_ends_with_its_reader() {
    let daemon = Daemon::start();
    let home = &daemon.home;
    daemon.socket().ok("state.put", json!({"key": "k", "value": 1}));
    prints(home, &["spawn", "-q", "-n", "loud", "--", "yes"]);
    let mut command = home.command("descartes");
    command.arg("--data-dir").arg(home.data()).args(["logs", "-f", "loud"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("descartes runs");
    let mut pipe = child.stdout.take().expect("stdout is piped");
    let mut some = [0; 4];
    std::io::Read::read_exact(&mut pipe, &mut some).expect("output follows");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    prints(home, &["kill", "-f", "loud"]);
}

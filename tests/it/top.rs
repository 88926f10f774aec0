//! `descartes top`: what is shown, to whom, and how the terminal is left.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::Caller;
use crate::rig::agents::spawn_with;
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::parrot::parrot;
use crate::rig::processes::{eventually, state};
use crate::rig::terminal::Terminal;

/// What a terminal is given back with.
const LEFT: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

fn top(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command("descartes");
    command.arg("--data-dir").arg(home.data()).args(arguments).arg("top");
    command
}

fn agent(caller: &mut impl Caller, name: &str) -> String {
    let config = json!({"command": parrot(&["echo"])});
    spawn_with(caller, json!({"name": name, "agent_type": "process", "config": config}))
}

#[test]
fn agents_are_shown_as_they_come_and_go_and_keys_sort_them() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let (first, _) = (agent(&mut socket, "anna"), agent(&mut socket, "名前\u{202e}"));
    let mut terminal = Terminal::run(top(&daemon.home, &[]));
    let before = |frame: &str, one: &str, other: &str| {
        frame.find(one).is_some_and(|at| frame.find(other).is_some_and(|then| at < then))
    };
    terminal.shows("anna");
    assert!(!terminal.echoes(), "keys are not shown");
    let frame = terminal.frame();
    assert!(frame.contains("名前\u{fffd}") && frame.contains("agents 2 running"), "{frame}");
    assert!(frame.contains("connections ") && frame.contains("approvals 0 waiting"), "{frame}");
    assert!(before(&frame, "名前", "anna"), "the youngest first: {frame}");
    terminal.types("n");
    eventually("sorted by name", || before(&terminal.frame(), "anna", "名前"));
    agent(&mut socket, "bert");
    terminal.shows("bert");
    terminal.shows("agent.spawned");
    socket.ok("agent.kill", json!({"agent_id": first, "force": true}));
    eventually("who has ended goes", || !terminal.frame().contains("anna"));
    terminal.resize(40, 6);
    eventually("it has the new size", || terminal.frame().lines().count() == 6);
    assert!(terminal.frame().lines().all(|line| line.chars().count() <= 40));
    terminal.types("q");
    assert_eq!(terminal.ended().code(), Some(0));
    eventually("all is read", || terminal.text().ends_with(LEFT));
    assert!(terminal.echoes());
}

#[test]
fn whatever_ends_it_the_terminal_is_as_it_was() {
    let daemon = Daemon::start();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut terminal = Terminal::run(top(&daemon.home, &[]));
        terminal.shows("descartes");
        terminal.signal(signal);
        assert_eq!(terminal.ended().code(), Some(130), "{signal:?}");
        eventually("all is read", || terminal.text().ends_with(LEFT));
        assert!(terminal.echoes(), "{signal:?}");
    }
    let mut terminal = Terminal::run(top(&daemon.home, &[]));
    terminal.shows("descartes");
    terminal.signal(Signal::TSTP);
    let pid = terminal.pid().as_raw_nonzero().get().unsigned_abs();
    eventually("it stops", || state(pid) == Some('T'));
    assert!(terminal.echoes(), "a shell can be used meanwhile");
    terminal.signal(Signal::CONT);
    eventually("it goes on", || !terminal.echoes());
    terminal.types("\u{3}");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.echoes());
}

#[test]
fn it_waits_for_a_daemon_that_restarts() {
    let daemon = Daemon::start();
    let mut terminal = Terminal::run(top(&daemon.home, &[]));
    terminal.shows("connections");
    let home = daemon.kill9();
    terminal.shows("trying again");
    let daemon = Setup::at(&home).start();
    agent(&mut daemon.socket(), "another");
    terminal.shows("another");
    eventually("nothing is wrong any more", || !terminal.frame().contains("trying again"));
    terminal.types("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn in_a_pipe_there_is_one_table_and_a_key_shows_what_it_may() {
    let daemon = Daemon::start();
    let (home, mut socket) = (&daemon.home, daemon.socket());
    let id = agent(&mut socket, "anna");
    let ran = top(home, &[]).output().expect("it runs");
    let text = String::from_utf8(ran.stdout).expect("text");
    assert!(ran.status.success() && text.contains("anna") && !text.contains('\x1b'), "{text}");
    assert!(text.starts_with("descartes  up ") && text.contains("\nNAME "), "{text}");

    let json = |arguments: &[&str]| {
        let ran = top(home, arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        serde_json::from_slice::<Value>(&ran.stdout).expect("one object")
    };
    let all = json(&["--json"]);
    assert_eq!((&all["agents"][0]["id"], &all["agents"][0]["name"]), (&json!(id), &json!("anna")));
    assert!(all["totals"]["connections"].is_u64() && all["totals"]["store_bytes"].is_u64());

    let mut key = |scopes: &[&str]| {
        let params = json!({"name": "ann", "scopes": scopes});
        let made = socket.ok("auth.key.create", params)["key"].clone();
        home.file("key", made.as_str().expect("a key").as_bytes()).display().to_string()
    };
    let url = format!("http://{}", daemon.http_address());
    let file = key(&["agent:read"]);
    let some = json(&["--json", "--url", &url, "--token-file", &file]);
    assert_eq!(some["agents"].as_array().map(Vec::len), Some(1));
    assert!(some["totals"]["agents"].is_null() && some["totals"]["approvals"].is_null(), "{some}");
    let file = key(&["metrics"]);
    let ran = top(home, &["--url", &url, "--token-file", &file]).output().expect("it runs");
    assert_eq!(ran.status.code(), Some(5), "who may see no agents is told so");
}

//! The page of numbers: as Prometheus reads it, and equal to what was done.

mod door;
mod gauges;
mod hour;
mod load;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::rig::Caller;
use crate::rig::agents::{spawn, text, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::parrot::parrot;

fn daemon() -> Daemon {
    Setup::new().flag("--metrics-port=0").start()
}

/// A page that was read: the value of each series, by its name with its labels.
type Page = BTreeMap<String, f64>;

fn read(daemon: &Daemon) -> Page {
    let reply = daemon.metrics().get("/metrics");
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    checked(reply.text())
}

/// The rules of `promtool check metrics`, and those of the text format.
#[track_caller]
fn checked(page: &str) -> Page {
    let (mut kinds, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let mut series = Page::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(helped.contains(name), "the help comes first: {line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(name.bytes().all(is_name), "{line}");
            for unit in ["milliseconds", "micros", "minutes", "hours", "days", "kilobytes", "_mb"] {
                assert!(!name.contains(unit), "a base unit: {line}");
            }
            for kind in ["counter", "gauge", "histogram", "summary"] {
                assert!(!name.contains(kind), "no type in the name: {line}");
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect("a sample");
        let name = key.split('{').next().expect("a name");
        let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = of.filter(|family| kinds.contains_key(*family)).unwrap_or(name);
        let kind = kinds.get(family).unwrap_or_else(|| panic!("its type comes first: {line}"));
        assert_eq!(family != name, kind == "histogram" || kind == "summary", "{line}");
        let value: f64 = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(series.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    check_histograms(&kinds, &series);
    series
}

/// Buckets grow, and the last one has all.
#[track_caller]
fn check_histograms(kinds: &BTreeMap<String, String>, series: &Page) {
    for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let counts = series.iter().filter(|(key, _)| key.starts_with(&format!("{name}_count")));
        for (key, count) in counts {
            let labels = key.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let labels = if labels.is_empty() { String::new() } else { format!("{labels},") };
            let all = format!("{name}_bucket{{{labels}le=\"+Inf\"}}");
            assert_eq!(series.get(&all), Some(count), "{all}");
            let bucket = format!("{name}_bucket{{{labels}le=\"");
            let mut ends: Vec<(f64, f64)> = series
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&bucket)?, *value)))
                .map(|(end, value)| (end.trim_end_matches("\"}").parse().expect("an end"), value))
                .collect();
            ends.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(ends.is_sorted_by_key(|(_, value)| *value), "{ends:?}");
        }
    }
}

fn value(page: &Page, key: &str) -> f64 {
    *page.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", page.keys().collect::<Vec<_>>()))
}

#[test]
fn the_counters_equal_what_was_done() {
    const AGENTS: usize = 6;
    let daemon = daemon();
    let (mut socket, mut http) = (daemon.socket(), daemon.http());
    let before = read(&daemon);
    assert_eq!(value(&before, "agents_active"), 0.0);
    for _ in 0..AGENTS {
        let agent = spawn(&mut socket, &parrot(&["say", "0123456789", "exit", "0"]));
        wait(&mut socket, &agent);
        let agent = spawn(&mut http, &parrot(&["exit", "3"]));
        wait(&mut socket, &agent);
        let agent = spawn(&mut socket, &parrot(&["forever"]));
        socket.ok("agent.kill", json!({"agent_id": agent, "force": true}));
        socket.refused("agent_not_found", "agent.get", json!({"agent_id": "nobody"}));
        socket.refused("method_not_found", "agent.sing", json!({}));
    }
    let lives = spawn(&mut socket, &parrot(&["forever"]));
    let chat = socket.ok("chat.create", json!({"backend": "basic"}));
    let prompt = json!({"session_id": chat["session_id"], "prompt": "hello", "wait": true});
    socket.ok("chat.prompt", prompt);
    let page = read(&daemon);
    let agents = f64::from(u32::try_from(AGENTS).expect("a few"));
    for (key, expected) in [
        (
            "requests_total{method=\"agent.spawn\",transport=\"unix\",outcome=\"ok\"}",
            2.0 * agents + 1.0,
        ),
        ("requests_total{method=\"agent.spawn\",transport=\"http\",outcome=\"ok\"}", agents),
        ("requests_total{method=\"agent.kill\",transport=\"unix\",outcome=\"ok\"}", agents),
        ("requests_total{method=\"agent.get\",transport=\"unix\",outcome=\"error\"}", agents),
        ("requests_total{method=\"unknown\",transport=\"unix\",outcome=\"error\"}", agents),
        ("request_errors_total{method=\"agent.get\",kind=\"agent_not_found\"}", agents),
        ("request_errors_total{method=\"unknown\",kind=\"method_not_found\"}", agents),
        ("request_duration_seconds_count{method=\"agent.kill\"}", agents),
        ("agents_spawned_total{backend=\"process\"}", 3.0 * agents + 1.0),
        ("agents_spawned_total{backend=\"basic\"}", 1.0),
        ("agents_ended_total{backend=\"process\",outcome=\"completed\"}", agents),
        ("agents_ended_total{backend=\"process\",outcome=\"failed\"}", agents),
        ("agents_ended_total{backend=\"process\",outcome=\"killed\"}", agents),
        ("agents_killed_total", agents),
        ("agents{status=\"completed\"}", agents),
        ("agents{status=\"running\"}", 2.0),
        ("agents_active", 2.0),
        ("turns_total{backend=\"basic\",outcome=\"completed\"}", 1.0),
        ("turn_duration_seconds_count{backend=\"basic\"}", 1.0),
        ("approvals_pending", 0.0),
    ] {
        assert_eq!(value(&page, key), expected, "{key}");
    }
    assert!(value(&page, "output_bytes_total") >= 11.0 * agents);
    assert!(value(&page, "journal_events_total") > value(&before, "journal_events_total"));
    assert!(value(&page, "journal_commits_total") <= value(&page, "journal_events_total") + 100.0);
    assert!(value(&page, "process_open_fds") > 5.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    socket.ok("agent.kill", json!({"agent_id": lives, "force": true}));
}

/// Whatever callers say, no new label appears.
#[test]
fn label_sets_stay_closed() {
    let daemon = daemon();
    let mut socket = daemon.socket();
    let labels = |page: &Page| -> BTreeSet<String> {
        page.keys().filter(|key| key.contains('{')).cloned().collect()
    };
    let say = |socket: &mut crate::rig::socket::Socket, word: &str| {
        drop(socket.call(&format!("agent.{word}"), json!({})));
        drop(socket.call(word, json!({ word: word })));
        drop(socket.call("agent.get", json!({"agent_id": word})));
        drop(socket.call("agent.spawn", json!({"agent_type": word})));
        let command = json!({"command": parrot(&["exit", "0"])});
        let named = json!({"name": word, "agent_type": "process", "config": command});
        let agent = socket.ok("agent.spawn", named);
        wait(socket, text(&agent["agent_id"]));
    };
    say(&mut socket, "one");
    let before = labels(&read(&daemon));
    for number in 0..20 {
        say(&mut socket, &format!("word-{number}"));
    }
    let after = labels(&read(&daemon));
    assert_eq!(before.symmetric_difference(&after).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_page_is_not_for_pages_of_browsers_and_can_be_turned_off() {
    let daemon = daemon();
    let status =
        |headers: &[(&str, &str)], path| daemon.metrics().request("GET", path, headers, b"").status;
    assert_eq!(status(&[("Host", "evil.example")], "/metrics"), 421);
    assert_eq!(status(&[], "/"), 404);
    assert_eq!(daemon.metrics().request("POST", "/metrics", &[], b"").status, 405);
    let off =
        Setup::new().flag("--metrics-port=0").config("[server]\nenable_metrics = false\n").start();
    assert!(off.endpoints.get("metrics").is_none(), "{}", off.endpoints);
    let open =
        Setup::new().flag("--metrics-port=0").config("[server]\nmetrics_public = true\n").start();
    let reply = open.metrics().request("GET", "/metrics", &[("Host", "metrics.example")], b"");
    assert_eq!(reply.status, 200);
}

#[test]
fn the_port_of_http_shows_the_same_page_by_its_own_rules() {
    let daemon = Daemon::start();
    let reply = daemon.http().get("/metrics");
    assert_eq!(reply.status, 200, "also where it has no port of its own");
    let kind = reply.header("content-type").expect("a type");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&checked(reply.text()), "agents_active"), 0.0);
    let ask = |daemon: &Daemon, method, headers: &[(&str, &str)]| {
        daemon.http().request(method, "/metrics", headers, b"")
    };
    assert_eq!(ask(&daemon, "DELETE", &[]).header("allow"), Some("GET, HEAD"));
    for (header, status) in [
        (("Host", "evil.example"), 421),
        (("Origin", "http://evil.example"), 403),
        (("X-Forwarded-For", "192.0.2.1"), 401),
    ] {
        let refused = ask(&daemon, "GET", &[header]);
        assert_eq!((refused.status, &refused.json()["id"]), (status, &json!(null)), "{header:?}");
    }
    let off = Setup::new().config("[server]\nenable_metrics = false\n").start();
    assert_eq!(ask(&off, "GET", &[]).status, 404);
    assert!(off.http().get("/openapi.json").json()["paths"].get("/metrics").is_none());
}

#[test]
fn it_is_shown_at_its_own_address() {
    let setup = Setup::new().flag("--metrics-port=0");
    let daemon = setup.config("[server]\nmetrics_addr = '127.0.0.2'\n").start();
    let url = daemon.endpoints["metrics"].as_str().expect("it is shown");
    assert!(url.starts_with("http://127.0.0.2:") && url.ends_with("/metrics"), "{url}");
    assert_eq!(value(&read(&daemon), "agents_active"), 0.0);
    let far = Setup::new().flag("--metrics-port=0").config("[server]\nmetrics_addr = '0.0.0.0'\n");
    let ended = far.try_start().err().expect("it is refused");
    assert_eq!(ended.status.code(), Some(77), "{}", ended.log);
}

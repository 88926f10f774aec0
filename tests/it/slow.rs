//! A subscriber that never reads costs nobody else anything.

use serde_json::json;

use crate::rig::agents::{output, spawn, wait};
use crate::rig::daemon::Daemon;
use crate::rig::{Caller, parrot, processes};

const STALLED: usize = 32;
const FLOOD: usize = 24 * 1024 * 1024;
/// What a connection may hold of what it could not send, and as much again for its buffers.
const PER_CONNECTION: u64 = 2 * 1024 * 1024;
/// What the allocator may keep although nobody holds it.
const SLACK: u64 = 24 * 1024 * 1024;

#[test]
fn subscribers_that_never_read_hold_back_neither_agent_nor_reader() {
    let daemon = Daemon::start();
    let pid = daemon.number();
    let mut socket = daemon.socket();
    // The first flood fills what is kept in memory anyway.
    let warm = spawn(&mut socket, &parrot::flood(FLOOD));
    wait(&mut socket, &warm);
    let before = processes::resident(pid);

    let mut over_unix: Vec<_> = (0..STALLED).map(|_| daemon.socket()).collect();
    for stalled in &mut over_unix {
        stalled.begin("event.subscribe", json!({"topics": ["agent/"], "after": "start"}));
    }
    let mut over_http: Vec<_> = (0..STALLED).map(|_| daemon.http()).collect();
    for stalled in &mut over_http {
        let request = stalled.format("GET", "/events?topic=agent/&after=start", &[], b"");
        stalled.send(&request).expect("the daemon reads");
    }
    let id = spawn(&mut socket, &parrot::flood(FLOOD));
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    assert_eq!(output(&mut socket, &id, "stdout").len(), FLOOD);
    let grown = processes::resident(pid).saturating_sub(before);
    let allowed = 2 * STALLED as u64 * PER_CONNECTION + SLACK;
    assert!(grown < allowed, "{grown} bytes more, {allowed} allowed");

    // They were there all the time, and each can still read everything.
    let mut late = over_unix.pop().expect("there are many");
    let subscribed = late.message();
    assert!(subscribed["result"]["subscription_id"].is_string(), "{subscribed}");
    assert_eq!(late.notification().0, "event.next");
}

#[test]
fn a_flood_without_newline_stays_within_its_bounds() {
    let daemon = crate::rig::daemon::Setup::new()
        .config("[retention]\noutput_bytes_per_agent = 20000000\n")
        .start();
    let pid = daemon.number();
    let mut socket = daemon.socket();
    socket.ok("system.health", json!({}));
    let before = processes::resident(pid);
    // The full count is 10 GB.
    let size = crate::rig::torture(10_000_000_000).min(500_000_000 * crate::rig::torture(20));
    let id = spawn(&mut socket, &parrot::long_line(size));
    let waited = wait(&mut socket, &id);
    assert_eq!(waited["status"], "completed", "{waited}");
    let grown = processes::resident_peak(pid).saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "{grown} bytes more");
    let page = socket.ok("event.read", json!({"topics": [format!("agent/{id}/output")]}));
    assert_eq!(page["gaps"].as_array().map(Vec::len), Some(1), "{}", page["gaps"]);
    // Retention comes behind the flood, and soon.
    processes::eventually("at most 100 MB are kept of 20 MB", || {
        folder_bytes(&daemon.home.data()) < 100_000_000
    });
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let meta = entry.metadata().ok()?;
            Some(if meta.is_dir() { folder_bytes(&entry.path()) } else { meta.len() })
        })
        .sum()
}

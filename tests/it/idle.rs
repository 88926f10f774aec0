//! A thousand connections of each sort that say nothing, beside some that are busy.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::rig::daemon::Daemon;
use crate::rig::http::Http;
use crate::rig::load::Latencies;
use crate::rig::socket::Socket;
use crate::rig::{Caller, measured, processes, torture};

/// What a connection may cost that says nothing.
const PER_CONNECTION: u64 = 32 << 10;
/// What the allocator may keep although nobody holds it.
const SLACK: u64 = 4 << 20;
/// Connections that ask and ask, half of each sort.
const BUSY: usize = 50;
/// Between two of their questions: together they ask a thousand times a second.
const BREATH: Duration = Duration::from_millis(50);

/// Ticks by which two counts of the same work may differ: it is counted in hundredths of a second.
const ROUGH: u64 = 10;

/// How long the answers take that the busy ones get, and what they cost the daemon in clock ticks.
fn beside(daemon: &Daemon) -> (Latencies, u64) {
    let before = processes::cpu_ticks(daemon.number());
    let rounds = torture(400).max(20);
    let ask = move |mut caller: Box<dyn Asks>| {
        let mut latencies = Latencies::new();
        for _ in 0..rounds {
            caller.ask(&mut latencies);
            thread::park_timeout(BREATH);
        }
        latencies
    };
    let busy: Vec<Box<dyn Asks>> = (0..BUSY / 2)
        .flat_map(|_| [Box::new(daemon.http()) as Box<dyn Asks>, Box::new(daemon.socket())])
        .collect();
    let busy: Vec<_> = busy.into_iter().map(|caller| thread::spawn(move || ask(caller))).collect();
    let all = busy.into_iter().map(|one| one.join().expect("every call is answered"));
    let latencies = Latencies::joined(all);
    (latencies, processes::cpu_ticks(daemon.number()) - before)
}

/// A client of any transport.
trait Asks: Send {
    fn ask(&mut self, latencies: &mut Latencies);
}

impl<C: Caller + Send> Asks for C {
    fn ask(&mut self, latencies: &mut Latencies) {
        latencies.ask(self);
    }
}

fn healthy<C: Caller>(mut caller: C) -> C {
    caller.ok("system.health", json!({}));
    caller
}

/// A call whose request is large, as an idle connection may once have made.
fn large(caller: &mut impl Caller) {
    let value = "x".repeat(60_000);
    caller.ok("state.put", json!({"key": "large", "value": value}));
    caller.ok("state.query", json!({"key": "large"}));
}

#[test]
fn thousands_that_say_nothing_cost_little_and_nobody_else_anything() {
    let daemon = Daemon::start();
    let pid = daemon.number();
    large(&mut daemon.socket());
    let (alone, usual) = beside(&daemon);
    let sockets = || processes::sockets(pid);
    processes::eventually("the busy ones have gone", || sockets() < BUSY);
    let open = sockets();
    let before = processes::resident(pid);

    let count = torture(1_000).max(300);
    // Each says something at once: of those that never did only the last 256 are kept.
    let mut over_http: Vec<Http> = (0..count).map(|_| healthy(daemon.http())).collect();
    let mut over_unix: Vec<Socket> = (0..count).map(|_| healthy(daemon.socket())).collect();
    let small = processes::resident(pid).saturating_sub(before) / (2 * count as u64);
    // What hyper keeps of a large request it keeps until the connection ends, which is soon when
    // nothing is said; a socket may be silent for days.
    over_unix.iter_mut().for_each(large);
    let grown = processes::resident(pid).saturating_sub(before);
    let each = grown / (2 * count as u64);
    let (crowded, now) = beside(&daemon);
    measured(format_args!(
        "{count} of each sort: {small} bytes each, {each} after large calls; health p50 {:?} \
         alone, {:?} beside them; p99 {:?} and {:?}; ticks {usual} and {now}",
        alone.percentile(50),
        crowded.percentile(50),
        alone.percentile(99),
        crowded.percentile(99)
    ));
    assert!(grown < 2 * count as u64 * PER_CONNECTION + SLACK, "{each} bytes each");

    // They were served all the time.
    over_http.iter_mut().for_each(|http| drop(http.ok("system.health", json!({}))));
    over_unix.iter_mut().for_each(|socket| drop(socket.ok("system.health", json!({}))));
    drop((over_http, over_unix));
    processes::eventually("they leave nothing behind", || sockets() <= open);
    // By the daemon's work: how long an answer takes depends on what else the machine does just then.
    // So does the work, by what caches hold, and the same is asked once more.
    let usual = usual.max(beside(&daemon).1);
    assert!(now <= usual * 2 + ROUGH, "{usual} ticks became {now}");
}

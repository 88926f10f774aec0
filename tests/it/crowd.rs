//! A thousand agents that each print a line a second are little work.

use serde_json::json;

use crate::rig::agents::{spawn, wait};
use crate::rig::daemon::Setup;
use crate::rig::{Caller, parrot, processes, torture};

/// What an agent may cost in memory.
const PER_AGENT: u64 = 32 * 1024;
/// What the hot ring and the allocator take whoever prints.
const SLACK: u64 = 12 * 1024 * 1024;
/// Clock ticks in a second.
const TICKS: u64 = 100;

#[test]
fn agents_that_print_now_and_then_cost_little() {
    let daemon = Setup::new().config("max_running = 2000\n").start();
    let pid = daemon.number();
    let mut socket = daemon.socket();
    let first = spawn(&mut socket, &parrot::ticker());
    let before = processes::resident(pid);
    let agents = torture(1_000).max(50);
    let mut ids: Vec<String> = (1..agents).map(|_| spawn(&mut socket, &parrot::ticker())).collect();
    ids.push(first);

    // An agent is the clock: it ends after five seconds.
    let busy_before = processes::cpu_ticks(pid);
    let clock = spawn(&mut socket, &parrot::shell("sleep 5"));
    wait(&mut socket, &clock);
    let busy = processes::cpu_ticks(pid) - busy_before;
    let grown = processes::resident(pid).saturating_sub(before);
    let allowed = agents as u64 * PER_AGENT + SLACK;
    assert!(grown < allowed, "{grown} bytes for {agents} agents, {allowed} allowed");
    // A tenth of a core for a thousand; five times as much where nothing was optimised.
    let allowed = (5 * TICKS * agents as u64 / 1_000 / 10 * 5).max(TICKS);
    assert!(busy < allowed, "{busy} ticks in 5 s for {agents} agents, {allowed} allowed");

    let all = socket.ok("agent.list", json!({"limit": 1}));
    assert_eq!(all["total"], agents);
    for some in ids.chunks(1_000) {
        let batch = json!({"agent_ids": some, "command": "kill"});
        assert_eq!(socket.ok("agent.batch", batch)["successful"], some.len());
    }
}

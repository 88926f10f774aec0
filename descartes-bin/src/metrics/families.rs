//! The families: their names, labels and help, and where their numbers come from.

mod chats;
mod doors;
mod journal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use descartes_core::BatchCommand;
use descartes_core::agent::AgentStatus;
use descartes_core::tally::Counts;
use descartes_rpc::meter::{BUCKETS, Counted};

use super::text::{Kind, Text};
use super::{Source, process};

pub(super) fn write(source: &Source, text: &mut Text) {
    daemon(source, text);
    requests(&source.rpc.meter().read(), text);
    doors::write(source.rpc.meter(), text);
    let counts = source.descartes.tally();
    agents(source, &counts, text);
    chats::write(source, &counts, text);
    journal::write(source, &counts, text);
    process::write(text);
}

fn daemon(source: &Source, text: &mut Text) {
    let name = "descartes_daemon_info";
    text.family(name, Kind::Gauge, "The daemon, by its version.");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let up = source.descartes.health().uptime.as_secs_f64();
    let help = "How long the daemon has been running.";
    text.single("descartes_uptime_seconds", Kind::Gauge, help, up);
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let help = "Tasks inside the daemon: as many as before when everything is quiet again.";
        let tasks = runtime.metrics().num_alive_tasks();
        text.single("descartes_tasks", Kind::Gauge, help, tasks);
    }
    let began = source.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let help = "When the daemon began, in seconds since 1970.";
    text.single("descartes_start_time_seconds", Kind::Gauge, help, began.as_secs_f64());
}

fn requests(all: &[Counted], text: &mut Text) {
    let name = "requests_total";
    text.family(name, Kind::Counter, "Calls, by method, transport and how they ended.");
    for one in all {
        let failed: u64 = one.failed.values().sum();
        let ends = [("ok", one.succeeded), ("error", failed), ("unanswered", one.unanswered)];
        for (outcome, count) in ends.into_iter().filter(|(_, count)| *count > 0) {
            let (method, transport) = (("method", one.method), ("transport", one.transport));
            text.sample(name, &[method, transport, ("outcome", outcome)], count);
        }
    }
    durations(all, text);
    let mut errors = BTreeMap::new();
    for one in all {
        for (kind, count) in &one.failed {
            *errors.entry((one.method, *kind)).or_insert(0) += count;
        }
    }
    let name = "request_errors_total";
    text.family(name, Kind::Counter, "Calls that failed, by method and kind of error.");
    for ((method, kind), count) in &errors {
        text.sample(name, &[("method", method), ("kind", kind)], count);
    }
}

fn durations(all: &[Counted], text: &mut Text) {
    const NAME: &str = "request_duration_seconds";
    text.family(NAME, Kind::Histogram, "How long calls took, by method.");
    let mut methods: BTreeMap<&str, Counted> = BTreeMap::new();
    for one in all {
        let of = methods.entry(one.method).or_default();
        of.took += one.took;
        of.times.iter_mut().zip(one.times).for_each(|(all, more)| *all += more);
    }
    for (method, of) in &methods {
        let mut so_far = 0;
        let buckets = BUCKETS.iter().zip(of.times).map(|(end, times)| {
            so_far += times;
            (Duration::from_micros(*end), so_far)
        });
        let whole = (of.took, of.times.iter().sum());
        text.histogram(NAME, &[("method", method)], buckets, whole);
    }
}

fn agents(source: &Source, counts: &Counts, text: &mut Text) {
    let statuses = source.descartes.statuses();
    let (name, mut live) = ("agents", 0);
    text.family(name, Kind::Gauge, "Agents that are kept, by their status.");
    for status in AgentStatus::ALL {
        let count = statuses.get(&status).copied().unwrap_or(0);
        live += if status.is_terminal() { 0 } else { count };
        text.sample(name, &[("status", status.as_str())], count);
    }
    text.single("agents_active", Kind::Gauge, "Agents that live.", live);
    let help = "Agents that were started, by backend.";
    by_backend(text, ("agents_spawned_total", help), &counts.spawned);
    let help = "Agents that the daemon has killed.";
    text.single("agents_killed_total", Kind::Counter, help, counts.killed);
    let name = "agents_ended_total";
    text.family(
        name,
        Kind::Counter,
        "Agents that ended, also those started again, by backend and status.",
    );
    for ((backend, status), count) in &counts.ended {
        text.sample(name, &[("backend", backend), ("outcome", status.as_str())], count);
    }
    let help = "Runs that followed another of the same agent, by backend.";
    by_backend(text, ("agent_restarts_total", help), &counts.restarts);
    let name = "batch_results_total";
    text.family(name, Kind::Counter, "Agents that a batch was for, by its command and outcome.");
    for command in BatchCommand::ALL {
        for outcome in ["ok", "error"] {
            let count = counts.batches.get(&(command, outcome)).unwrap_or(&0);
            text.sample(name, &[("command", command), ("outcome", outcome)], count);
        }
    }
    let name = "remote_queue_depth";
    text.family(name, Kind::Gauge, "Commands that wait to be sent, by remote.");
    for (remote, waiting) in &source.queues {
        text.sample(name, &[("remote", remote)], waiting());
    }
}

fn by_backend(text: &mut Text, (name, help): (&str, &str), counts: &BTreeMap<Arc<str>, u64>) {
    text.family(name, Kind::Counter, help);
    for (backend, count) in counts {
        text.sample(name, &[("backend", backend)], count);
    }
}

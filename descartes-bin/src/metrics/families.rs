//! The families: their names, labels and help, and where their numbers come from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use descartes_core::agent::AgentStatus;
use descartes_core::tally::Counts;
use descartes_rpc::meter::{BUCKETS, Counted};

use super::text::{Kind, Text};
use super::{Source, process};

/// Kinds of errors that a call is refused with before its method has begun, by what is wrong with
/// its caller or with how busy the daemon is.
const REFUSALS: [&str; 4] = ["unauthenticated", "forbidden", "resource_exhausted", "unavailable"];

pub(super) fn write(source: &Source, text: &mut Text) {
    daemon(source, text);
    requests(&source.rpc.meter().read(), text);
    let counts = source.descartes.tally();
    agents(source, &counts, text);
    turns(source, &counts, text);
    journal(source, &counts, text);
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
    let (mut errors, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for one in all {
        for (kind, count) in &one.failed {
            *errors.entry((one.method, *kind)).or_insert(0) += count;
            if REFUSALS.contains(kind) {
                *refused.entry(*kind).or_insert(0) += count;
            }
        }
    }
    let name = "request_errors_total";
    text.family(name, Kind::Counter, "Calls that failed, by method and kind of error.");
    for ((method, kind), count) in &errors {
        text.sample(name, &[("method", method), ("kind", kind)], count);
    }
    let name = "requests_rejected_total";
    text.family(name, Kind::Counter, "Calls that were refused, by the kind of their error.");
    for (reason, count) in &refused {
        text.sample(name, &[("reason", reason)], count);
    }
}

fn durations(all: &[Counted], text: &mut Text) {
    const NAME: &str = "request_duration_seconds";
    let (bucket, sum, count) =
        (format!("{NAME}_bucket"), format!("{NAME}_sum"), format!("{NAME}_count"));
    text.family(NAME, Kind::Histogram, "How long calls took, by method.");
    let mut methods: BTreeMap<&str, Counted> = BTreeMap::new();
    for one in all {
        let of = methods.entry(one.method).or_default();
        of.took += one.took;
        of.times.iter_mut().zip(one.times).for_each(|(all, more)| *all += more);
    }
    for (method, of) in &methods {
        let mut so_far = 0;
        for (end, times) in BUCKETS.iter().zip(of.times) {
            so_far += times;
            let end = Duration::from_micros(*end).as_secs_f64().to_string();
            text.sample(&bucket, &[("method", method), ("le", &end)], so_far);
        }
        so_far += of.times[BUCKETS.len()];
        text.sample(&bucket, &[("method", method), ("le", "+Inf")], so_far);
        text.sample(&sum, &[("method", method)], of.took.as_secs_f64());
        text.sample(&count, &[("method", method)], so_far);
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
    text.family(name, Kind::Counter, "Agents that ended for good, by backend and status.");
    for ((backend, status), count) in &counts.ended {
        text.sample(name, &[("backend", backend), ("outcome", status.as_str())], count);
    }
    let help = "Runs that followed another of the same agent, by backend.";
    by_backend(text, ("agent_restarts_total", help), &counts.restarts);
}

fn by_backend(text: &mut Text, (name, help): (&str, &str), counts: &BTreeMap<Arc<str>, u64>) {
    text.family(name, Kind::Counter, help);
    for (backend, count) in counts {
        text.sample(name, &[("backend", backend)], count);
    }
}

fn turns(source: &Source, counts: &Counts, text: &mut Text) {
    let name = "turns_total";
    text.family(name, Kind::Counter, "Turns of chats that ended, by backend and outcome.");
    for ((backend, outcome), count) in &counts.turns {
        text.sample(name, &[("backend", backend), ("outcome", outcome)], count);
    }
    text.family("turn_duration_seconds", Kind::Summary, "How long turns took, by backend.");
    for (backend, (turns, took)) in &counts.turn_times {
        let backend = [("backend", &**backend)];
        text.sample("turn_duration_seconds_sum", &backend, took.as_secs_f64());
        text.sample("turn_duration_seconds_count", &backend, turns);
    }
    let name = "tokens_total";
    text.family(name, Kind::Counter, "Tokens of models, by backend, as far as programs tell.");
    for (backend, used) in &counts.used {
        for (direction, tokens) in [("input", used.input_tokens), ("output", used.output_tokens)] {
            text.sample(name, &[("backend", backend), ("direction", direction)], tokens);
        }
    }
    let name = "cost_usd_total";
    text.family(name, Kind::Counter, "What models cost, by backend, as far as programs tell.");
    for (backend, used) in &counts.used {
        text.sample(name, &[("backend", backend)], used.cost_usd);
    }
    approvals(source, counts, text);
}

fn approvals(source: &Source, counts: &Counts, text: &mut Text) {
    let pending = source.descartes.approvals_pending();
    text.single("approvals_pending", Kind::Gauge, "Approvals that wait.", pending);
    let name = "approvals_decided_total";
    text.family(name, Kind::Counter, "Approvals that were resolved, by what came of them.");
    for (decision, count) in &counts.decided {
        text.sample(name, &[("decision", decision)], count);
    }
    text.family("approval_wait_seconds", Kind::Summary, "How long approvals waited.");
    let decided: u64 = counts.decided.values().sum();
    text.sample("approval_wait_seconds_sum", &[], counts.waited.as_secs_f64());
    text.sample("approval_wait_seconds_count", &[], decided);
}

fn journal(source: &Source, counts: &Counts, text: &mut Text) {
    let written = source.descartes.journal().counts();
    let help = "Commits of the journal.";
    text.single("journal_commits_total", Kind::Counter, help, written.commits);
    text.family("journal_commit_seconds", Kind::Summary, "How long commits took.");
    text.sample("journal_commit_seconds_sum", &[], written.took.as_secs_f64());
    text.sample("journal_commit_seconds_count", &[], written.commits);
    let help = "Events that were written.";
    text.single("journal_events_total", Kind::Counter, help, written.events);
    let help = "Bytes of output of agents that were written.";
    text.single("output_bytes_total", Kind::Counter, help, written.output_bytes);
    let name = "events_trimmed_total";
    text.family(name, Kind::Counter, "Events that retention forgot, by their class.");
    text.sample(name, &[("class", "output")], counts.trimmed.output_events);
    text.sample(name, &[("class", "other")], counts.trimmed.other_events);
    let usage = source.descartes.journal().store().usage();
    text.single("store_bytes", Kind::Gauge, "Bytes that the store takes.", usage.bytes);
    if let Some(free) = usage.free_bytes {
        text.single("store_free_bytes", Kind::Gauge, "Bytes that its disk has left.", free);
    }
}

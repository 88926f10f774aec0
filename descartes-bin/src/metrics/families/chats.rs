//! Turns, models, tools and approvals.

use descartes_core::approval::ApprovalStatus;
use descartes_core::tally::{Counts, TOOL_KINDS};

use super::super::Source;
use super::super::text::{Kind, Text};

pub(super) fn write(source: &Source, counts: &Counts, text: &mut Text) {
    turns(counts, text);
    models(counts, text);
    let name = "tool_calls_total";
    text.family(name, Kind::Counter, "Calls of tools that ended, by the kind of tool and outcome.");
    for tool in TOOL_KINDS {
        for outcome in ["ok", "error", "unanswered"] {
            let count = counts.tools.get(&(tool, outcome)).unwrap_or(&0);
            text.sample(name, &[("tool", tool), ("outcome", outcome)], count);
        }
    }
    approvals(source, counts, text);
}

fn turns(counts: &Counts, text: &mut Text) {
    let name = "turns_total";
    text.family(name, Kind::Counter, "Turns of chats that ended, by backend and outcome.");
    for ((backend, outcome), count) in &counts.turns {
        text.sample(name, &[("backend", backend), ("outcome", outcome)], count);
    }
    let name = "turn_duration_seconds";
    text.family(name, Kind::Histogram, "How long turns took that had begun, by backend.");
    for (backend, times) in &counts.turn_times {
        text.times(name, &[("backend", backend)], times);
    }
}

fn models(counts: &Counts, text: &mut Text) {
    let name = "llm_requests_total";
    let help = "Answers of models, by backend and outcome, as far as programs show.";
    text.family(name, Kind::Counter, help);
    for ((backend, outcome), count) in &counts.asked {
        text.sample(name, &[("backend", backend), ("outcome", outcome)], count);
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
}

fn approvals(source: &Source, counts: &Counts, text: &mut Text) {
    let pending = source.descartes.approvals_pending();
    text.single("approvals_pending", Kind::Gauge, "Approvals that wait.", pending);
    let name = "approvals_decided_total";
    text.family(name, Kind::Counter, "Approvals that were resolved, by what came of them.");
    for status in ApprovalStatus::ALL.into_iter().filter(|one| *one != ApprovalStatus::Pending) {
        let decision = status.as_str();
        let count = counts.decided.get(decision).unwrap_or(&0);
        text.sample(name, &[("decision", decision)], count);
    }
    let name = "approval_wait_seconds";
    text.family(name, Kind::Histogram, "How long approvals waited that were resolved.");
    text.times(name, &[], &counts.waited);
}

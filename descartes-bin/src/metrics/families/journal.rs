//! The journal, its readers and writers, and the store beneath.

use descartes_core::tally::Counts;

use super::super::Source;
use super::super::text::{Kind, Text};

pub(super) fn write(source: &Source, counts: &Counts, text: &mut Text) {
    let written = source.descartes.journal().counts();
    let help = "Commits of the journal.";
    text.single("journal_commits_total", Kind::Counter, help, written.commits);
    let name = "journal_commit_seconds";
    text.family(name, Kind::Histogram, "How long commits took.");
    text.times(name, &[], &written.times);
    let help = "Events that were written.";
    text.single("journal_events_total", Kind::Counter, help, written.events);
    let help = "Bytes of output of agents that were written.";
    text.single("output_bytes_total", Kind::Counter, help, written.output_bytes);
    let help = "Agents that write faster than the store takes it just now.";
    text.single("agents_blocked_on_output", Kind::Gauge, help, written.blocked);
    let help = "Subscriptions that are open.";
    text.single("subscriptions_active", Kind::Gauge, help, written.subscriptions);
    let help = "Events that the subscription has not looked at yet that is behind the most.";
    text.single("subscription_lag_events", Kind::Gauge, help, written.lag);
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

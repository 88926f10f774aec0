//! What was done, as the page of numbers has to say it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::metrics::Page;
use crate::rig::agents::text;

/// The counters that are compared: every series of them, also those that should not have grown.
const FAMILIES: &[&str] = &[
    "requests_total",
    "request_errors_total",
    "request_duration_seconds_count",
    "requests_rejected_total",
    "auth_failures_total",
    "connections_total",
    "agents_spawned_total",
    "agents_killed_total",
    "agents_ended_total",
    "agent_restarts_total",
    "batch_results_total",
    "turns_total",
    "turn_duration_seconds_count",
    "llm_requests_total",
    "tokens_total",
    "cost_usd_total",
    "tool_calls_total",
    "approvals_decided_total",
    "approval_wait_seconds_count",
    "output_bytes_total",
];

/// The series that have grown, and by how much.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<String, f64>);

impl Ledger {
    pub(super) fn add(&mut self, series: impl Into<String>, count: f64) {
        *self.0.entry(series.into()).or_default() += count;
    }

    pub(super) fn one(&mut self, series: impl Into<String>) {
        self.add(series, 1.0);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        for (series, count) in other.0 {
            self.add(series, count);
        }
    }

    pub(super) fn of(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    pub(super) fn connected(&mut self, transport: &str) {
        self.one(format!("connections_total{{transport=\"{transport}\"}}"));
    }

    /// A call came to this.
    pub(super) fn called(
        &mut self,
        method: &str,
        transport: &str,
        came_to: Result<&Value, &Value>,
    ) {
        let kind = came_to.err().map(|error| text(&error["data"]["kind"]).to_owned());
        // Who is nobody calls nothing, and what there is not has no name.
        let nameless = ["method_not_found", "unauthenticated", "parse_error", "invalid_request"];
        let is_nameless = kind.as_deref().is_some_and(|kind| nameless.contains(&kind));
        let method = if is_nameless && method != "auth.login" { "unknown" } else { method };
        let outcome = if came_to.is_ok() { "ok" } else { "error" };
        let labels = format!("method=\"{method}\",transport=\"{transport}\"");
        self.one(format!("requests_total{{{labels},outcome=\"{outcome}\"}}"));
        self.one(format!("request_duration_seconds_count{{method=\"{method}\"}}"));
        let Some(kind) = kind else { return };
        self.one(format!("request_errors_total{{method=\"{method}\",kind=\"{kind}\"}}"));
        let limit = came_to.err().and_then(|error| error["data"]["limit"].as_str());
        match (&*kind, limit) {
            ("resource_exhausted", Some("limits.rate_per_second")) => self.rejected("rate_limited"),
            ("resource_exhausted", _) => self.rejected("limit"),
            ("forbidden" | "unauthenticated", _) => self.rejected(&kind),
            ("parse_error" | "invalid_request", _) => self.rejected("malformed"),
            _ => {}
        }
    }

    /// A notification was sent.
    pub(super) fn told(&mut self, method: &str, transport: &str) {
        let labels = format!("method=\"{method}\",transport=\"{transport}\"");
        self.one(format!("requests_total{{{labels},outcome=\"unanswered\"}}"));
        self.one(format!("request_duration_seconds_count{{method=\"{method}\"}}"));
    }

    pub(super) fn rejected(&mut self, reason: &str) {
        self.one(format!("requests_rejected_total{{reason=\"{reason}\"}}"));
    }

    pub(super) fn not_believed(&mut self, reason: &str) {
        self.one(format!("auth_failures_total{{reason=\"{reason}\"}}"));
    }

    /// What the pages say otherwise.
    pub(super) fn differs(&self, before: &Page, after: &Page) -> Vec<String> {
        let of = |page: &Page, series: &str| page.get(series).copied().unwrap_or(0.0);
        let family = |series: &str| series.split('{').next().expect("a name").to_owned();
        let compared = |series: &&String| FAMILIES.contains(&family(series).as_str());
        let unknown = self.0.keys().find(|series| !compared(series));
        assert_eq!(unknown, None, "no such counter is compared");
        let mut all: Vec<&String> = self.0.keys().chain(after.keys().filter(compared)).collect();
        all.sort_unstable();
        all.dedup();
        let wrong = |series: &&String| {
            let (grown, done) = (of(after, series) - of(before, series), self.of(series));
            (grown != done).then(|| format!("{series}: {grown}, and {done} were done"))
        };
        all.iter().filter_map(wrong).collect()
    }
}

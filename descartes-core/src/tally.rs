//! What a host counts of what happens in it. Each host has its own: nothing here is global.

mod times;
mod tools;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::agent::AgentStatus;
use crate::approval::ApprovalStatus;
use crate::event::{TurnOutcome, Usage};
use crate::store::Trimmed;
pub(crate) use times::COMMITS;
pub use times::Times;
pub use tools::{TOOL_KINDS, tool_kind};

/// What a host has counted since it began. Backends are those that are configured: a closed set.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Agents that were started, by backend.
    pub spawned: BTreeMap<Arc<str>, u64>,
    /// Agents that ended, by backend and status: one that is started again may end again.
    pub ended: BTreeMap<(Arc<str>, AgentStatus), u64>,
    /// Agents that were killed by this host.
    pub killed: u64,
    /// Runs that followed another of the same agent, by backend.
    pub restarts: BTreeMap<Arc<str>, u64>,
    /// Turns that ended, by backend and outcome.
    pub turns: BTreeMap<(Arc<str>, &'static str), u64>,
    /// How long turns took that had begun, by backend.
    pub turn_times: BTreeMap<Arc<str>, Times>,
    /// How often models were asked, by backend and outcome (`ok`, `error` or `cancelled`), as far as
    /// what programs show tells: once for a prompt, and once for what follows results of tools. What
    /// sub-agents ask is not told apart and not counted.
    pub asked: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Calls of tools that ended, by [kind](TOOL_KINDS) and outcome (`ok`, `error`, or `unanswered`
    /// when the turn ended without their result).
    pub tools: BTreeMap<(&'static str, &'static str), u64>,
    /// What batches came to, an agent at a time, by command and outcome (`ok` or `error`).
    pub batches: BTreeMap<(&'static str, &'static str), u64>,
    /// What was used, by backend.
    pub used: BTreeMap<Arc<str>, Used>,
    /// Approvals that were resolved, by what came of them.
    pub decided: BTreeMap<&'static str, u64>,
    /// How long they waited.
    pub waited: Times,
    /// Events that retention forgot.
    pub trimmed: Trimmed,
}

/// What models were used for, as far as programs tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Used {
    /// Tokens that were read.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// What it cost.
    pub cost_usd: f64,
}

/// The counters of a host.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<Counts>);

impl Default for Tally {
    fn default() -> Self {
        Self(Mutex::new(Counts { waited: Times::of(&times::APPROVALS), ..Counts::default() }))
    }
}

impl Tally {
    pub(crate) fn spawned(&self, backend: &Arc<str>) {
        *self.lock().spawned.entry(Arc::clone(backend)).or_default() += 1;
    }

    pub(crate) fn ended(&self, backend: &Arc<str>, status: AgentStatus, killed: bool) {
        let mut counts = self.lock();
        *counts.ended.entry((Arc::clone(backend), status)).or_default() += 1;
        counts.killed += u64::from(killed);
    }

    pub(crate) fn restarted(&self, backend: &Arc<str>) {
        *self.lock().restarts.entry(Arc::clone(backend)).or_default() += 1;
    }

    /// A turn has ended; one that took no time had not begun.
    pub(crate) fn turn(
        &self,
        backend: &Arc<str>,
        outcome: TurnOutcome,
        took: Option<Duration>,
        usage: Option<&Usage>,
    ) {
        let mut counts = self.lock();
        *counts.turns.entry((Arc::clone(backend), outcome.as_str())).or_default() += 1;
        if let Some(took) = took {
            let times = counts.turn_times.entry(Arc::clone(backend));
            times.or_insert(Times::of(&times::TURNS)).note(took);
        }
        if let Some(usage) = usage {
            let used = counts.used.entry(Arc::clone(backend)).or_default();
            used.input_tokens += usage.input_tokens.unwrap_or(0);
            used.output_tokens += usage.output_tokens.unwrap_or(0);
            // What is less than nothing, or no number, is not to be believed of a program.
            let cost = usage.cost_usd.filter(|usd| usd.is_finite() && *usd > 0.0);
            used.cost_usd += cost.unwrap_or(0.0);
        }
    }

    /// A model was asked, and that came to `outcome`.
    pub(crate) fn asked(&self, backend: &Arc<str>, outcome: &'static str) {
        *self.lock().asked.entry((Arc::clone(backend), outcome)).or_default() += 1;
    }

    pub(crate) fn tool(&self, kind: &'static str, outcome: &'static str) {
        *self.lock().tools.entry((kind, outcome)).or_default() += 1;
    }

    /// `command` of a batch came to this for one agent.
    pub(crate) fn batched(&self, command: &'static str, succeeded: bool) {
        let outcome = if succeeded { "ok" } else { "error" };
        *self.lock().batches.entry((command, outcome)).or_default() += 1;
    }

    pub(crate) fn decided(&self, status: ApprovalStatus, waited: Duration) {
        let mut counts = self.lock();
        *counts.decided.entry(status.as_str()).or_default() += 1;
        counts.waited.note(waited);
    }

    pub(crate) fn trimmed(&self, trimmed: &Trimmed) {
        let mut counts = self.lock();
        counts.trimmed.output_events += trimmed.output_events;
        counts.trimmed.other_events += trimmed.other_events;
    }

    pub(crate) fn read(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_costs_never_falls_whatever_a_program_tells() {
        let (tally, backend) = (Tally::default(), Arc::from("liar"));
        for usd in [0.5, -3.0, f64::NAN, f64::INFINITY, 0.25] {
            let usage = Usage { cost_usd: Some(usd), ..Usage::default() };
            tally.turn(&backend, TurnOutcome::Completed, None, Some(&usage));
        }
        assert_eq!(tally.read().used[&backend].cost_usd, 0.75);
    }
}

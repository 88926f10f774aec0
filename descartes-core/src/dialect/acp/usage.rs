//! What was used, as far as the agent tells.

use super::wire::{Prompted, TokenCount, Tokens};
use crate::event::Usage;

/// The cost of a conversation, which agents tell as a sum over all its turns.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// The sum so far; unknown in a conversation that was brought back, until it is told.
    sum: Option<f64>,
    /// The sum when the turn began.
    before: Option<f64>,
    /// What the turn has cost, when that was told in it.
    turn: Option<f64>,
}

impl Cost {
    /// A conversation was opened.
    pub(super) fn opened(&mut self, is_new: bool) {
        if is_new {
            self.sum = Some(0.0);
        }
    }

    pub(super) fn turn_began(&mut self) {
        self.before = self.sum;
        self.turn = None;
    }

    /// The sum is now `sum`. Gives what is new to tell of the turn.
    pub(super) fn now(&mut self, sum: f64) -> Option<Usage> {
        self.sum = Some(sum);
        let cost = (sum - self.before?).max(0.0);
        let told = self.turn.replace(cost).unwrap_or_default();
        (cost > told).then(|| Usage { cost_usd: Some(cost), ..Usage::default() })
    }

    pub(super) fn of_turn(&self) -> Option<f64> {
        self.turn
    }
}

/// What a turn used, that ended so and cost so much.
pub(super) fn of(said: &Prompted, cost_usd: Option<f64>) -> Option<Usage> {
    let quota = said.meta.as_ref().and_then(|meta| meta.quota.as_ref());
    let count = quota.and_then(|quota| quota.token_count.as_ref());
    let usage = match (&said.usage, count) {
        (Some(tokens), _) => tokens_of(tokens),
        (None, Some(TokenCount { input_tokens, output_tokens })) => {
            Usage { input_tokens: *input_tokens, output_tokens: *output_tokens, ..Usage::default() }
        }
        (None, None) => Usage::default(),
    };
    // A turn that read nothing and wrote nothing: agents say so when they do not know.
    let nothing = [usage.input_tokens, usage.output_tokens].iter().all(|count| *count == Some(0));
    let usage = if nothing { Usage::default() } else { usage };
    let usage = Usage { cost_usd, ..usage };
    (usage != Usage::default()).then_some(usage)
}

/// Agents differ in whether what came from a cache and what was thought are within the sums; the
/// total tells which.
fn tokens_of(tokens: &Tokens) -> Usage {
    let (Some(input), Some(output)) = (tokens.input_tokens, tokens.output_tokens) else {
        return Usage {
            input_tokens: tokens.input_tokens,
            cached_tokens: tokens.cached_read_tokens,
            output_tokens: tokens.output_tokens,
            cost_usd: None,
        };
    };
    let read = tokens.cached_read_tokens.unwrap_or_default();
    let cached = read.saturating_add(tokens.cached_write_tokens.unwrap_or_default());
    let thought = tokens.thought_tokens.unwrap_or_default();
    let sum = |(more, thought): &(u64, u64)| {
        Some(input.saturating_add(output).saturating_add(*more).saturating_add(*thought))
    };
    let ways = [(0, 0), (cached, 0), (0, thought), (cached, thought)];
    let way = ways.into_iter().find(|way| sum(way) == tokens.total_tokens);
    // More from the cache than was read in all: it is not within the sum.
    let (more, thought) = way.unwrap_or((if read > input { cached } else { 0 }, 0));
    Usage {
        input_tokens: Some(input.saturating_add(more)),
        cached_tokens: tokens.cached_read_tokens,
        output_tokens: Some(output.saturating_add(thought)),
        cost_usd: None,
    }
}

//! What a turn used.

use super::wire::{Closing, Tokens};
use crate::event::Usage;

/// What the calls of the model say that they used. The end of a turn says it too, but of a turn
/// that was cancelled or repeated it says zero.
#[derive(Debug, Default)]
pub(super) struct Spent {
    before: Usage,
    call: Usage,
    /// The message that the call gives.
    id: Option<String>,
}

impl Spent {
    /// A call begins, unless it is the one that runs.
    pub(super) fn begin(&mut self, id: Option<String>, tokens: Option<Tokens>) {
        if id.is_some() && id == self.id {
            return;
        }
        self.id = id;
        self.before = self.so_far();
        // Its output is known at its end only.
        self.call = Usage { output_tokens: None, ..usage(tokens.unwrap_or_default()) };
    }

    /// What the call has used so far.
    pub(super) fn update(&mut self, tokens: Tokens) {
        let now = usage(tokens);
        self.call = Usage {
            input_tokens: now.input_tokens.max(self.call.input_tokens),
            cached_tokens: now.cached_tokens.max(self.call.cached_tokens),
            output_tokens: now.output_tokens.max(self.call.output_tokens),
            ..Usage::default()
        };
    }

    /// What all of them used.
    pub(super) fn so_far(&self) -> Usage {
        let (before, call) = (&self.before, &self.call);
        Usage {
            input_tokens: sum([before.input_tokens, call.input_tokens]),
            cached_tokens: sum([before.cached_tokens, call.cached_tokens]),
            output_tokens: sum([before.output_tokens, call.output_tokens]),
            ..Usage::default()
        }
    }

    /// What the turn used, whose end says `closing` and that it cost `cost`.
    pub(super) fn total(&self, closing: Option<&Closing>, cost: Option<f64>) -> Option<Usage> {
        let told = closing.and_then(|closing| closing.usage).map(usage);
        let told =
            told.filter(|usage| usage.input_tokens > Some(0) || usage.output_tokens > Some(0));
        let mut usage = told.unwrap_or_else(|| self.so_far());
        usage.cost_usd = cost.filter(|cost| *cost > 0.0);
        (usage != Usage::default()).then_some(usage)
    }
}

/// The program counts what came from a cache, and what went into one, beside the rest.
fn usage(tokens: Tokens) -> Usage {
    let read =
        [tokens.input_tokens, tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens];
    Usage {
        input_tokens: sum(read),
        cached_tokens: tokens.cache_read_input_tokens,
        output_tokens: tokens.output_tokens,
        ..Usage::default()
    }
}

fn sum<const N: usize>(counts: [Option<u64>; N]) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

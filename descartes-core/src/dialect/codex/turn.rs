//! A turn from its prompt to its end, as far as the program's words do not matter.

use std::sync::Arc;
use std::time::Instant;

use super::stream::Stream;
use super::wire::{TokenUsage, Tokens};
use crate::event::{ChunkError, Usage};
use crate::limits;

/// The turn that is under way.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) number: u32,
    /// Our request that began it.
    pub(super) request: u64,
    /// The program's name of it, once that is known.
    pub(super) id: Option<Arc<str>>,
    pub(super) stream: Stream,
    /// The last that went wrong.
    pub(super) fault: Option<ChunkError>,
    /// What was used so far.
    pub(super) usage: Option<Usage>,
    /// Why it is to stop, if it is.
    pub(super) stop: Option<Stop>,
    waits: Waits,
    /// What the thread had used before.
    base: Option<Tokens>,
    /// How often the model has answered.
    rounds: u32,
}

/// Why a turn is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// It had as many rounds with the model as it may have.
    Rounds(u32),
}

/// What a turn waits for, each until when.
#[derive(Debug, Default)]
struct Waits {
    /// That the program takes the prompt.
    taken: Option<Instant>,
    /// That it confirms that it stopped.
    stopped: Option<Instant>,
    /// That it says how the turn ended, after it has shown that it did.
    settled: Option<Instant>,
}

/// A wait that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The program does not take the prompt.
    Taken,
    /// It does not stop.
    Stopped,
    /// It does not say how the turn ended.
    Settled,
}

impl Turn {
    /// The turn `number`, asked for now by our request `request`.
    pub(super) fn new(now: Instant, number: u32, request: u64) -> Self {
        let taken = Some(now + limits::CODEX_ANSWER);
        Self {
            number,
            request,
            id: None,
            stream: Stream::new(number, None),
            fault: None,
            usage: None,
            stop: None,
            waits: Waits { taken, ..Waits::default() },
            base: None,
            rounds: 0,
        }
    }

    /// The program has taken the prompt and calls the turn `id`.
    pub(super) fn taken(&mut self, id: &str) {
        self.waits.taken = None;
        self.id = Some(id.into());
    }

    /// It is to stop; true when that is new.
    pub(super) fn stop(&mut self, now: Instant, why: Stop) -> bool {
        if why == Stop::Cancelled && self.stop.is_some() {
            self.stop = Some(why);
        }
        if self.stop.is_some() {
            return false;
        }
        self.stop = Some(why);
        self.waits.stopped = Some(now + limits::CODEX_CANCEL);
        true
    }

    /// The program shows that the turn is over, and has not said how.
    pub(super) fn settles(&mut self, now: Instant) {
        self.waits.settled.get_or_insert(now + limits::CODEX_SETTLE);
    }

    /// The turn is not over: something of it came.
    pub(super) fn lives(&mut self) {
        self.waits.settled = None;
    }

    /// The earliest that it waits for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let Waits { taken, stopped, settled } = self.waits;
        [taken, stopped, settled].into_iter().flatten().min()
    }

    /// What it has waited for too long; each is said once.
    pub(super) fn late(&mut self, now: Instant) -> Option<Late> {
        let Waits { taken, stopped, settled } = &mut self.waits;
        let over = |wait: &mut Option<Instant>| wait.take_if(|until| *until <= now).is_some();
        if over(settled) {
            Some(Late::Settled)
        } else if over(stopped) {
            Some(Late::Stopped)
        } else if over(taken) {
            Some(Late::Taken)
        } else {
            None
        }
    }

    /// The thread has used `news` in all, `before` before that; false when that is nothing new.
    pub(super) fn used(&mut self, before: Option<Tokens>, news: &TokenUsage) -> bool {
        let Some(total) = news.total else { return false };
        if before == Some(total) {
            return false;
        }
        let last = news.last.unwrap_or_default();
        let base = *self.base.get_or_insert(before.unwrap_or_else(|| less(total, last)));
        let used = less(total, base);
        self.rounds += 1;
        self.usage = Some(Usage {
            input_tokens: used.input_tokens,
            cached_tokens: used.cached_input_tokens,
            output_tokens: used.output_tokens,
            cost_usd: None,
        });
        true
    }

    /// Whether there would be another round with the model, and `most` were all.
    pub(super) fn is_exhausted(&mut self, most: u32) -> bool {
        self.stream.tool_was_used() && self.rounds >= most
    }
}

fn less(total: Tokens, part: Tokens) -> Tokens {
    let less = |total: Option<u64>, part: Option<u64>| {
        Some(total?.saturating_sub(part.unwrap_or_default()))
    };
    Tokens {
        input_tokens: less(total.input_tokens, part.input_tokens),
        cached_input_tokens: less(total.cached_input_tokens, part.cached_input_tokens),
        output_tokens: less(total.output_tokens, part.output_tokens),
    }
}

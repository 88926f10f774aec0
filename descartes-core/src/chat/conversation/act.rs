//! What a dialect wants done.

use std::sync::Arc;

use super::step::Effect;
use super::{Conversation, TurnResult};
use crate::dialect::{Action, TurnEnd};
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, TurnOutcome, Usage};
use crate::limits::TURN_CONTENT_BYTES;
use crate::trace::End;

impl Conversation {
    pub(super) fn act(&mut self, action: Action) {
        self.record_action(&action);
        match action {
            Action::Send(bytes) => self.step.effects.push(Effect::Send(bytes)),
            Action::Session(native) => self.named(native),
            Action::Emit(chunk) => self.heard(chunk),
            Action::Mark => self.mark(),
            Action::Retract => self.retract(),
            Action::Activity(activity) => {
                self.link.activity(activity);
                self.say(ChunkBody::Status { activity });
            }
            Action::Ask { ask, request } => self.ask(ask, *request),
            Action::Withdraw { ask } => self.withdraw(ask),
            Action::TurnEnded(end) => self.turn_ended(end),
            Action::Signal(signal) => self.step.effects.push(Effect::Signal(signal)),
            Action::CloseStdin => {
                if let Some(process) = &mut self.process {
                    process.closing = true;
                }
                self.step.effects.push(Effect::CloseStdin);
            }
            // What it can do is the backend's to say; pausing is the supervisor's.
            Action::Ready(_) | Action::Paused | Action::Resumed => {}
        }
    }

    /// The program has a name for the conversation.
    fn named(&mut self, native: Arc<str>) {
        if self.record.native.as_ref() != Some(&native) && self.core.resumes(&self.record) {
            self.link.resume_as(Arc::clone(&native));
            self.record.native = Some(native);
            self.step.touch();
        }
    }

    pub(super) fn heard(&mut self, chunk: StreamChunk) {
        if let (ChunkBody::Text { content, .. }, None) = (&chunk.body, &chunk.parent_tool_id)
            && let Some(turn) = &mut self.turn
            && turn.content.len() + content.len() <= TURN_CONTENT_BYTES
        {
            turn.content.push_str(content);
        }
        self.emit(chunk);
    }

    fn mark(&mut self) {
        if let Some(process) = &mut self.process {
            process.mark = self.offset;
        }
        if let Some(turn) = &mut self.turn {
            turn.content_mark = turn.content.len();
        }
    }

    fn retract(&mut self) {
        let from = self.process.as_ref().map_or(self.offset, |process| process.mark);
        if from == self.offset {
            return;
        }
        if let Some(turn) = &mut self.turn {
            turn.content.truncate(turn.content_mark);
        }
        self.say(ChunkBody::Retracted { from_offset: from });
        self.mark();
    }

    /// A turn ended; what its end really was, if we had a hand in it.
    pub(super) fn turn_ended(&mut self, mut end: TurnEnd) {
        if self.turn.as_ref().is_none_or(|turn| turn.number != end.turn) {
            tracing::warn!(chat = %self.record.id, turn = end.turn, "the end of no open turn");
            return;
        }
        self.void_asks();
        let Some(turn) = self.turn.take() else { return };
        // What was done in spite of being cancelled is done.
        if let Some(cancelled) = turn.cancelled.filter(|_| end.outcome != TurnOutcome::Completed) {
            end.outcome = cancelled;
            end.error = match cancelled {
                TurnOutcome::Cancelled => None,
                TurnOutcome::TimedOut => Some(too_long()),
                _ => end.error,
            };
        }
        for canceller in turn.cancellers {
            self.step.answer(canceller, Ok(end.outcome == TurnOutcome::Cancelled));
        }
        add(&mut self.record.usage, end.usage.as_ref());
        self.spend(end.usage.as_ref());
        let (backend, took) = (&self.record.backend, turn.begun.elapsed());
        self.core.tally.turn(backend, end.outcome, Some(took), end.usage.as_ref());
        let body = ChunkBody::TurnComplete {
            outcome: end.outcome,
            usage: end.usage,
            error: end.error.clone(),
        };
        self.emit(StreamChunk::new(end.turn, body));
        turn.traced.end(&ended(&end));
        self.link.activity(Some(crate::agent::Activity::Idle));
        if let Some(stopping) = &mut self.stopping {
            stopping.outcome = Some(end.outcome);
        }
        self.step.touch();
        if let Some(done) = turn.done {
            let result = TurnResult {
                turn: end.turn,
                outcome: end.outcome,
                content: turn.content.into(),
                usage: end.usage,
                error: end.error,
            };
            self.step.then(move || drop(done.send(result)));
        }
    }
}

impl Conversation {
    /// Counts what a turn has cost for the chat's owner.
    fn spend(&mut self, usage: Option<&Usage>) {
        let Some(usd) = usage.and_then(|usage| usage.cost_usd) else { return };
        let (whose, now) = ((self.record.id, &self.record.owner), self.core.clock.now());
        self.step.batch.puts.extend(self.core.costs.spend(whose, usd, now));
    }
}

/// What a trace says of it. That somebody cancelled a turn is no error.
fn ended(end: &TurnEnd) -> End<'_> {
    let outcome = end.outcome.as_str();
    let error = match end.outcome {
        TurnOutcome::Completed | TurnOutcome::Cancelled => None,
        TurnOutcome::Failed | TurnOutcome::Interrupted | TurnOutcome::TimedOut => {
            Some(end.error.as_ref().map_or(outcome, |error| error.kind.as_str()))
        }
    };
    End { outcome, error, usage: end.usage.as_ref() }
}

/// Why a turn was ended whose time was over, whatever its program says of that.
fn too_long() -> ChunkError {
    ChunkError::new(ChunkErrorKind::Timeout, "the turn took longer than it may")
}

/// Adds what a turn used to what was used before.
fn add(total: &mut Usage, turn: Option<&Usage>) {
    let Some(turn) = turn else { return };
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, b) => b,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    total.input_tokens = sum(total.input_tokens, turn.input_tokens);
    total.cached_tokens = sum(total.cached_tokens, turn.cached_tokens);
    total.output_tokens = sum(total.output_tokens, turn.output_tokens);
    if let Some(cost) = turn.cost_usd {
        total.cost_usd = Some(total.cost_usd.unwrap_or(0.0) + cost);
    }
}

//! Turns: asked for, begun, cancelled.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Accepted, Answer, Conversation, OpenTurn, TurnResult, Waiting};
use crate::chat::{ChatError, ChatStatus, QueuedPrompt, WhenBusy};
use crate::dialect::{Input, Prompt, TurnEnd, cut};
use crate::event::{ChunkBody, StreamChunk, TurnOutcome};
use crate::limits::{CANCEL_PATIENCE, CHAT_QUEUE, OUTPUT_CHUNK_BYTES};
use crate::store::Put;
use crate::trace::{Actor, End, TraceContext, Traced, Work};

/// A prompt as it was asked for.
pub(crate) struct Asked {
    pub(crate) prompt: Prompt,
    pub(crate) when_busy: Option<WhenBusy>,
    pub(crate) by: Arc<str>,
    /// The record of an idempotent call, committed with the turn.
    pub(crate) begun: Option<Put>,
    /// Where the turn's result goes, when somebody waits for it.
    pub(crate) done: Option<oneshot::Sender<TurnResult>>,
    /// What the turn belongs to.
    pub(crate) trace: Option<TraceContext>,
}

/// Who is told what a turn comes to.
type Told = (Option<oneshot::Sender<TurnResult>>, Traced);

impl Conversation {
    /// Somebody asks for a turn.
    pub(super) async fn prompted(&mut self, mut asked: Asked, answer: Answer<Accepted>) {
        if !self.link.is_silent() && self.held.is_none() {
            // A process whose end was told already is asked nothing any more.
            self.hear().await;
        }
        if let Err(error) = self.check_open().and_then(|()| self.afford()) {
            return drop(answer.send(Err(error)));
        }
        let Some(busy) = self.turn.as_ref().map(|turn| turn.number) else {
            return self.begin_at_once(asked, answer).await;
        };
        let when_busy = asked.when_busy.unwrap_or(self.record.spec.agent.chat.when_busy);
        if when_busy == WhenBusy::Reject {
            let status = self.record.status;
            return drop(answer.send(Err(ChatError::Busy { turn: busy, status })));
        }
        if self.queue.len() >= CHAT_QUEUE {
            let (limit, current) = ("limits.chat_queue", self.queue.len() as u64);
            let error = ChatError::Limit { limit, current, max: CHAT_QUEUE as u64 };
            return drop(answer.send(Err(error)));
        }
        let turn = self.record.turns + 1;
        self.record.turns = turn;
        let (done, trace) = (asked.done.take(), asked.trace.take());
        self.waiting.insert(turn, Waiting { done, trace });
        self.queue.push_back(QueuedPrompt::new(turn, asked.prompt, asked.by));
        self.step.batch.puts.extend(asked.begun);
        self.step.touch();
        self.step.answer(answer, Ok(Accepted { turn, queued: true }));
        if when_busy == WhenBusy::Interrupt {
            self.end_turn_early(TurnOutcome::Cancelled);
        }
        self.commit().await;
    }

    /// No turn is under way: this one begins, once there is a process for it.
    async fn begin_at_once(&mut self, asked: Asked, answer: Answer<Accepted>) {
        let traced = self.trace_turn(asked.trace);
        if let Err(error) = self.ensure_process(&asked.by, traced.context()).await {
            traced.end(&NOT_STARTED);
            return drop(answer.send(Err(error)));
        }
        let turn = self.record.turns + 1;
        self.record.turns = turn;
        self.step.batch.puts.extend(asked.begun);
        let prompt = QueuedPrompt::new(turn, asked.prompt, asked.by);
        self.begin_turn(prompt, (asked.done, traced), false);
        self.step.answer(answer, Ok(Accepted { turn, queued: false }));
        self.commit().await;
    }

    /// Somebody else than the agent has answered: a turn of its own, unless one is under way.
    pub(super) async fn answered(&mut self, asked: Asked, text: &str, answer: Answer<Accepted>) {
        if let Err(error) = self.check_open() {
            return drop(answer.send(Err(error)));
        }
        if let Some(turn) = self.turn.as_ref().map(|turn| turn.number) {
            let status = self.record.status;
            return drop(answer.send(Err(ChatError::Busy { turn, status })));
        }
        let turn = self.record.turns + 1;
        self.record.turns = turn;
        self.step.batch.puts.extend(asked.begun);
        // Nobody is asked for it.
        let told = (asked.done, Traced::default());
        self.open_turn((turn, &asked.prompt), asked.by, told, false);
        let piece = |content: Arc<str>| ChunkBody::Text { content, block: 0 };
        for content in pieces(text) {
            self.heard(StreamChunk::new(turn, piece(content.into())));
        }
        self.turn_ended(TurnEnd::new(turn, TurnOutcome::Completed));
        self.step.answer(answer, Ok(Accepted { turn, queued: false }));
        self.commit().await;
    }

    /// Begins the next turn that waits, ends the chat that is to end: what was in the way may be
    /// gone.
    pub(super) async fn go_on(&mut self) {
        if self.turn.is_some() {
            return;
        }
        if self.stopping.is_some() {
            return self.stop_on().await;
        }
        while self.turn.is_none()
            && let Some(next) = self.queue.pop_front()
        {
            let waiting = self.waiting.remove(&next.turn);
            let (done, trace) = waiting.map_or((None, None), |it| (it.done, it.trace));
            let traced = self.trace_turn(trace);
            let started = match self.afford() {
                Ok(()) => self.ensure_process(&next.by, traced.context()).await,
                spent => spent,
            };
            let turn = next.turn;
            self.begin_turn(next, (done, traced), true);
            if let Err(error) = started {
                let error = super::process::not_started(&error);
                self.act(crate::dialect::Action::TurnEnded(TurnEnd::failed(turn, error)));
            }
            self.commit().await;
        }
    }

    /// The agent is asked for a turn, within `trace`.
    fn trace_turn(&self, trace: Option<TraceContext>) -> Traced {
        self.core.trace(&Work::Invoke(Actor::of_chat(&self.record)), trace)
    }

    fn begin_turn(&mut self, next: QueuedPrompt, told: Told, queued: bool) {
        let QueuedPrompt { turn, prompt, by } = next;
        self.open_turn((turn, &prompt), by, told, queued);
        if let Some(turn) = &mut self.turn {
            turn.prompt = Some(prompt);
        }
        self.give_prompt();
    }

    /// Opens turn `number`, which `prompt` asks for.
    fn open_turn(
        &mut self,
        (number, prompt): (u32, &Prompt),
        by: Arc<str>,
        (done, traced): Told,
        queued: bool,
    ) {
        let timeout = self.record.spec.agent.chat.turn_timeout;
        let timeout = timeout.or(self.core.settings().chat_times.turn_timeout);
        let now = Instant::now();
        self.heard_at = now;
        self.turn = Some(OpenTurn {
            number,
            begun: now,
            cancelled: None,
            patience: None,
            due: timeout.map(|timeout| now + timeout),
            stalled: false,
            content: String::new(),
            content_mark: 0,
            prompt: None,
            cancellers: Vec::new(),
            done,
            traced,
        });
        let body = ChunkBody::TurnStarted { prompt: prompt.as_text().into(), by: Some(by), queued };
        self.emit(StreamChunk::new(number, body));
        self.step.touch();
    }

    /// Gives the turn's prompt to the process, once that can take it.
    pub(super) fn give_prompt(&mut self) {
        let opened = self.process.as_ref().is_some_and(|process| process.opened);
        let Some(turn) = self.turn.as_mut().filter(|_| opened) else { return };
        let Some(prompt) = turn.prompt.take() else { return };
        let number = turn.number;
        self.watch_prompt(number);
        self.tell(Input::Prompt { turn: number, prompt: &prompt });
    }

    /// Somebody cancels the turn that is under way, or one that waits; answered when it has ended.
    pub(super) async fn cancel(&mut self, turn: Option<u32>, answer: Answer<bool>) {
        let open = self.turn.as_ref().map(|turn| turn.number);
        if open.is_some() && turn.is_none_or(|turn| Some(turn) == open) {
            if let Some(turn) = &mut self.turn {
                turn.cancellers.push(answer);
            }
            self.end_turn_early(TurnOutcome::Cancelled);
            self.commit().await;
            return self.go_on().await;
        }
        let waits = self.queue.iter().position(|waits| Some(waits.turn) == turn);
        let Some(waits) = waits.and_then(|at| self.queue.remove(at)) else {
            return drop(answer.send(Ok(false)));
        };
        self.never_begins(&waits, TurnOutcome::Cancelled);
        self.step.answer(answer, Ok(true));
        self.commit().await;
    }

    /// A turn that waits will not begin.
    pub(super) fn never_begins(&mut self, waits: &QueuedPrompt, outcome: TurnOutcome) {
        let body = ChunkBody::TurnStarted {
            prompt: waits.prompt.as_text().into(),
            by: Some(Arc::clone(&waits.by)),
            queued: true,
        };
        self.emit(StreamChunk::new(waits.turn, body));
        self.core.tally.turn(&self.record.backend, outcome, None, None);
        let body = ChunkBody::TurnComplete { outcome, usage: None, error: None };
        self.emit(StreamChunk::new(waits.turn, body));
        self.step.touch();
        if let Some(done) = self.waiting.remove(&waits.turn).and_then(|it| it.done) {
            let content = "".into();
            let turn = waits.turn;
            let result = TurnResult { turn, outcome, content, usage: None, error: None };
            self.step.then(move || drop(done.send(result)));
        }
    }

    /// Has the turn end before its time: as `outcome`, whatever the program makes of it.
    pub(super) fn end_turn_early(&mut self, outcome: TurnOutcome) {
        let Some(turn) = &mut self.turn else { return };
        turn.due = None;
        if turn.cancelled.is_some() {
            return;
        }
        turn.cancelled = Some(outcome);
        let cancels = self.core.cancels(&self.record);
        turn.patience =
            Some(Instant::now() + if cancels { CANCEL_PATIENCE } else { Duration::ZERO });
        let (number, unheard) = (turn.number, turn.prompt.take().is_some());
        if unheard || self.process.is_none() {
            // The program never heard of it.
            let end = TurnEnd::new(number, outcome);
            return self.act(crate::dialect::Action::TurnEnded(end));
        }
        self.void_asks();
        if cancels {
            self.tell(Input::Cancel { turn: number });
        }
    }

    /// Whether the chat's owner may spend more.
    fn afford(&self) -> Result<(), ChatError> {
        Ok(self.core.afford(&self.record.owner)?)
    }

    pub(super) fn check_open(&self) -> Result<(), ChatError> {
        if self.record.status == ChatStatus::Closed || self.stopping.is_some() {
            return Err(ChatError::Closed { id: self.record.id });
        }
        Ok(self.core.check_open()?)
    }
}

/// How a turn ends that never began.
const NOT_STARTED: End<'static> = End::failed("failed", "spawn_failed");

/// `text` in pieces of the size that chunks of output have, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(cut(rest, OUTPUT_CHUNK_BYTES).len());
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

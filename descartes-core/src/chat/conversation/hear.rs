//! What a conversation hears of its agent, and what time does to it.

use tokio::time::Instant;

use super::{Conversation, Process};
use crate::agent::Activity;
use crate::chat::link::Heard;
use crate::dialect::{Action, Input, TurnEnd};
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits::CONVERSATION_STEP_BYTES;

impl Conversation {
    /// Takes what was heard, as much as one commit may hold.
    pub(super) async fn hear(&mut self) {
        self.heard_at = Instant::now();
        while self.step.batch.weight() < CONVERSATION_STEP_BYTES {
            let Some(heard) = self.link.take() else { break };
            self.hear_one(heard);
        }
        self.end_stall();
        self.commit().await;
        self.go_on().await;
    }

    pub(super) fn hear_one(&mut self, heard: Heard) {
        self.record_heard(&heard);
        match heard {
            Heard::Begins { dialect, .. } => {
                let mark = self.offset;
                self.process =
                    Some(Process { dialect, opened: false, mark, ending: false, closing: false });
                self.record.has_agent = true;
                self.step.touch();
            }
            Heard::Opened => {
                if let Some(process) = &mut self.process {
                    process.opened = true;
                }
                self.tell(Input::Opened);
                self.give_prompt();
            }
            Heard::NotStarted => self.not_begun(),
            Heard::Line { stream, bytes } => self.tell(Input::Line { stream, bytes: &bytes }),
            Heard::Oversize { stream, bytes, began } => {
                for mut action in self.heed(Input::Oversize { stream, bytes }) {
                    if let Action::Emit(chunk) = &mut action
                        && let ChunkBody::Oversize { cursor, .. } = &mut chunk.body
                    {
                        *cursor = began;
                    }
                    self.act(action);
                }
            }
            Heard::Ended { code, signal, killed } => self.ended((code, signal), killed),
        }
    }

    /// Shows `input` to the dialect of the run, and does what it wants.
    pub(super) fn tell(&mut self, input: Input<'_>) {
        for action in self.heed(input) {
            self.act(action);
        }
    }

    /// Shows `input` to the dialect of the run, and tells what it wants.
    fn heed(&mut self, input: Input<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(process) = &mut self.process {
            process.dialect.handle(Instant::now().into_std(), input, &mut actions);
        }
        actions
    }

    /// A process that was to take the prompt could not be started.
    fn not_begun(&mut self) {
        self.process = None;
        if let Some(turn) = &self.turn {
            let message = "the agent could not be started again";
            let error = ChunkError::new(ChunkErrorKind::AgentCrashed, message);
            self.act(Action::TurnEnded(TurnEnd::failed(turn.number, error)));
        }
    }

    /// A process has ended.
    fn ended(&mut self, (code, signal): (Option<i32>, Option<i32>), killed: bool) {
        self.tell(Input::Ended { code, signal });
        if let Some(turn) = &self.turn {
            let mut end = TurnEnd::new(turn.number, TurnOutcome::Interrupted);
            end.error = (!killed).then(|| crashed(code, signal));
            self.act(Action::TurnEnded(end));
        }
        self.process = None;
        let resumable = self.record.native.is_some() && self.stopping.is_none();
        let agent = self.record.agent;
        self.say(ChunkBody::Complete { agent, exit_code: code, resumable });
        self.step.touch();
    }

    /// Something is due: the earliest of what [`next_due`](Self::next_due) looks at, and more.
    pub(super) async fn due(&mut self) {
        let now = Instant::now();
        self.expire_asks(now);
        let wanted = self.process.as_ref().and_then(|process| process.dialect.deadline());
        if wanted.is_some_and(|due| due <= now.into_std()) {
            if let Some(recorder) = &mut self.recorder {
                recorder.waited();
            }
            self.tell(Input::Tick);
        }
        let overdue = self.turn.as_ref().is_some_and(|turn| turn.due.is_some_and(|due| due <= now));
        if overdue {
            self.end_turn_early(TurnOutcome::TimedOut);
        }
        let impatient = self.turn.as_ref().and_then(|turn| turn.patience);
        let stopping = self.stopping.as_ref().map(|stopping| stopping.due);
        if impatient.is_some_and(|due| due <= now) || stopping.is_some_and(|due| due <= now) {
            self.end_process(impatient.is_some_and(|due| due <= now));
        } else if self.is_idle_for_long(now) {
            self.end_process(false);
        }
        if self.stall_due().is_some_and(|due| due <= now) {
            self.begin_stall();
        }
        self.commit().await;
        self.go_on().await;
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let process = self.process.as_ref().filter(|process| !process.ending);
        let wanted = process.and_then(|process| process.dialect.deadline()).map(Instant::from_std);
        let turn = self.turn.as_ref();
        let limit = turn.and_then(|turn| turn.due);
        let patience = turn.filter(|_| process.is_some()).and_then(|turn| turn.patience);
        let stopping = self.stopping.as_ref().filter(|_| process.is_some());
        let asks = self.asks.values().map(|ask| ask.due).min();
        let all = [
            wanted,
            limit,
            patience,
            stopping.map(|stopping| stopping.due),
            asks,
            self.stall_due(),
            self.idle_due(),
        ];
        all.into_iter().flatten().min()
    }

    fn idle_due(&self) -> Option<Instant> {
        let is_idle = self.turn.is_none()
            && self.queue.is_empty()
            && self.record.mode == crate::chat::ChatMode::Chat
            && self.process.as_ref().is_some_and(|process| !process.ending);
        is_idle.then(|| self.heard_at + self.core.settings().chat_times.idle_stop)
    }

    fn is_idle_for_long(&self, now: Instant) -> bool {
        self.idle_due().is_some_and(|due| due <= now)
    }

    /// When the turn is to be shown as stalled: a question that is open is no stall.
    fn stall_due(&self) -> Option<Instant> {
        let turn = self.turn.as_ref().filter(|turn| !turn.stalled && turn.prompt.is_none())?;
        let waits = !self.asks.is_empty() || turn.cancelled.is_some();
        (!waits).then(|| self.heard_at + self.core.settings().chat_times.stall)
    }

    fn begin_stall(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.stalled = true;
            self.act(Action::Activity(Some(Activity::Stalled)));
            self.step.touch();
        }
    }

    fn end_stall(&mut self) {
        if let Some(turn) = &mut self.turn
            && std::mem::take(&mut turn.stalled)
        {
            self.act(Action::Activity(Some(Activity::Thinking)));
            self.step.touch();
        }
    }
}

/// What a process that ended in the middle of a turn leaves to say.
fn crashed(code: Option<i32>, signal: Option<i32>) -> ChunkError {
    let how = match (code, signal) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "and nobody saw how".to_owned(),
    };
    let message = format!("the agent's process ended in the middle of the turn, {how}");
    ChunkError::new(ChunkErrorKind::AgentCrashed, message)
}

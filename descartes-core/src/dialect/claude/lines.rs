//! What the program says, line by line.

use std::sync::Arc;
use std::time::Instant;

use super::say::{self, Wanted};
use super::turn::{Stage, Turn};
use super::wire::{Answer, Closing, Line, Request, read};
use super::{Claude, HANDSHAKE, NOBODY, OwnWork, Phase, REQUEST, failure, launch};
use crate::agent::Activity;
use crate::dialect::raw::{oversize, raw};
use crate::dialect::{Action, Dialect};
use crate::event::{ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits;

impl Claude {
    /// A line of its standard output.
    pub(super) fn line(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Action>) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let line = serde_json::from_str::<Line<'_>>(text).ok();
        if !line.is_some_and(|line| self.known(now, line, text, out)) {
            out.push(Action::Emit(raw(self.last_turn, bytes)));
        }
    }

    /// Takes a line; false when it is not understood.
    fn known(&mut self, now: Instant, line: Line<'_>, text: &str, out: &mut Vec<Action>) -> bool {
        match line.kind.as_deref() {
            Some("system") => return self.system(now, &line, out),
            Some("stream_event" | "assistant" | "user") => return self.said(line, out),
            Some("result") => {
                let closing = serde_json::from_str::<Closing>(text).unwrap_or_default();
                self.result(now, line.uuid, &closing, out);
            }
            Some("control_request") => return self.asked(line, out),
            Some("control_response") => return self.answered(now, &line, out),
            Some("control_cancel_request") => {
                self.questions.withdraw(line.request_id.as_deref().unwrap_or_default(), out);
            }
            Some("keep_alive" | "tool_progress" | "tool_use_summary" | "rate_limit_event") => {}
            _ => return false,
        }
        true
    }

    fn system(&mut self, now: Instant, line: &Line<'_>, out: &mut Vec<Action>) -> bool {
        match line.subtype.as_deref() {
            Some("init") => self.begins(now, line, out),
            Some("status") => {
                self.changes_mode(line, out);
                if line.status.as_deref() == Some("requesting") {
                    self.is_busy(Activity::Thinking, out);
                }
            }
            Some("thinking_tokens") => self.is_busy(Activity::Thinking, out),
            Some("api_retry") => {
                if let Some(turn) = self.at_work() {
                    turn.retry(out);
                }
                if line.error_status == Some(429) || line.error.as_deref() == Some("rate_limit") {
                    self.is_busy(Activity::RateLimited, out);
                }
            }
            Some("task_notification") => self.own_work_comes(now),
            Some(
                "task_started" | "task_updated" | "task_progress" | "hook_started"
                | "hook_progress" | "hook_response" | "compact_boundary" | "files_persisted",
            ) => {}
            _ => return false,
        }
        true
    }

    /// Something that ran in the background has ended; between turns, that begins one.
    fn own_work_comes(&mut self, now: Instant) {
        if self.own == OwnWork::None {
            self.own = match self.turn.as_ref().map(|turn| &turn.stage) {
                Some(Stage::Begun) => return,
                Some(Stage::Sent) => OwnWork::Next,
                Some(Stage::Kept(_)) | None => OwnWork::Near(now + limits::CLAUDE_OWN_WORK_BEGINS),
            };
        }
    }

    /// The program begins a turn: the one that was asked for, or one of its own.
    fn begins(&mut self, now: Instant, line: &Line<'_>, out: &mut Vec<Action>) {
        if let Some(id) = line.session_id.as_deref()
            && self.session.as_deref() != Some(id)
        {
            let id: Arc<str> = id.into();
            self.session = Some(Arc::clone(&id));
            out.push(Action::Session(id));
        }
        self.changes_mode(line, out);
        match &mut self.turn {
            Some(turn) if !turn.is_kept() && self.own == OwnWork::None => turn.stage = Stage::Begun,
            turn => {
                let waits = turn.as_ref().map(|_| now + limits::CLAUDE_OWN_WORK);
                self.own = OwnWork::Under(waits);
            }
        }
    }

    /// It is to ask before it does something; `plan` allows less, and is the model's own choice.
    fn changes_mode(&mut self, line: &Line<'_>, out: &mut Vec<Action>) {
        let Some(mode) = &line.permission_mode else { return };
        if self.mode.as_ref() == Some(mode) {
            return;
        }
        self.mode = Some(mode.clone());
        if mode != launch::ASKING && mode != "plan" {
            self.request(Wanted::SetPermissionMode { mode: launch::ASKING }, out);
        }
    }

    fn is_busy(&mut self, activity: Activity, out: &mut Vec<Action>) {
        if self.at_work().is_some() && self.activity != Some(activity) {
            self.activity = Some(activity);
            out.push(Action::Activity(self.activity));
        }
    }

    /// The turn that the program works on.
    fn at_work(&mut self) -> Option<&mut Turn> {
        if matches!(self.own, OwnWork::Under(_)) {
            return None;
        }
        self.turn.as_mut().filter(|turn| !turn.is_kept())
    }

    /// The model or a tool said something.
    fn said(&mut self, line: Line<'_>, out: &mut Vec<Action>) -> bool {
        let is_answer = line.kind.as_deref() == Some("assistant");
        let Some(turn) = self.at_work() else {
            // Of a turn that was not asked for, people are shown what the model said in the end.
            return !is_answer || line.parent_tool_use_id.is_some();
        };
        turn.lost_end = None;
        if line.kind.as_deref() == Some("user") {
            return turn.user(&line, out);
        }
        if !is_answer {
            return turn.stream(&line, out);
        }
        let known = turn.assistant(line, out);
        if turn.is_calling() {
            self.is_busy(Activity::Tool, out);
        }
        known
    }

    /// A turn is closed.
    fn result(
        &mut self,
        now: Instant,
        uuid: Option<String>,
        closing: &Closing,
        out: &mut Vec<Action>,
    ) {
        if uuid.is_some() && uuid == self.closed_by {
            return;
        }
        self.closed_by = uuid;
        if let OwnWork::Under(_) = self.own {
            // What it cost is told once more with the next turn.
            self.own = OwnWork::None;
            return self.send_prompt(out);
        }
        if matches!(self.phase, Phase::Greeting(_)) {
            // It does not come to take prompts.
            return self.breaks(now, failure::of_start(closing), out);
        }
        let total = closing.total_cost_usd.filter(|cost| cost.is_finite());
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.is_kept()) else { return };
        // The sum begins anew when the conversation does.
        let cost = total.map(|total| if total < self.cost { total } else { total - self.cost });
        self.cost = total.unwrap_or(self.cost);
        let end = turn.close(Some(closing), cost);
        if end.outcome == TurnOutcome::Completed {
            turn.complete(closing, out);
        }
        if turn.is_signalled() {
            // It ends now, and would not read another prompt.
            turn.over = Some(end);
        } else {
            self.end(end, out);
        }
    }

    /// The program wants something.
    fn asked(&mut self, line: Line<'_>, out: &mut Vec<Action>) -> bool {
        let Some(id) = line.request_id else { return false };
        let request = read::<Request<'_>>(line.request).unwrap_or_default();
        match request.subtype.as_deref() {
            Some("can_use_tool") if self.at_work().is_some() => {
                self.questions.ask(id, &request, &self.cwd, out);
            }
            Some("can_use_tool") => {
                let denial = say::Permission::Deny { message: NOBODY };
                out.push(Action::Send(say::permission(&id, denial)));
            }
            subtype => {
                let subtype = subtype.unwrap_or("none");
                let error = format!("Unsupported control request subtype: {subtype}");
                out.push(Action::Send(say::refusal(&id, &error)));
                return false;
            }
        }
        true
    }

    /// An answer to a request of ours; false when there was none.
    fn answered(&mut self, now: Instant, line: &Line<'_>, out: &mut Vec<Action>) -> bool {
        let answer = read::<Answer>(line.response).unwrap_or_default();
        let number = answer.request_id.as_deref().and_then(|id| id.strip_prefix(REQUEST));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number.filter(|number| (1..=self.requests).contains(number)) else {
            return false;
        };
        if number != HANDSHAKE || !matches!(self.phase, Phase::Greeting(_)) {
            return true;
        }
        if answer.subtype.as_deref() == Some("success") {
            self.phase = Phase::Ready;
            out.push(Action::Ready(self.capabilities()));
            self.send_prompt(out);
        } else {
            let why = answer.error.unwrap_or_else(|| "no reason".into());
            let message = format!("the program refuses the handshake: {why}");
            self.breaks(now, ChunkError::new(ChunkErrorKind::Protocol, message), out);
        }
        true
    }

    /// A line that is too long to be shown.
    pub(super) fn oversize(&mut self, now: Instant, bytes: u64, out: &mut Vec<Action>) {
        out.push(Action::Emit(oversize(self.last_turn, bytes)));
        if let Some(turn) = self.at_work().filter(|turn| turn.has_answered()) {
            turn.lost_end = Some(now + limits::CLAUDE_LOST_END);
        }
    }
}

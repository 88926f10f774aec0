//! What the program tells and asks by itself.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ask::{self, Words};
use super::stream::{Part, Stream};
use super::turn::Stop;
use super::wire::{
    Delta, FaultNews, ItemNews, Question, Resolved, StatusNews, TokenUsage, ToolItem, TurnNews,
    TurnState, UsageNews,
};
use super::{Codex, Helper, describe, fault, say};
use crate::agent::Activity;
use crate::dialect::Action;
use crate::event::{ChunkBody, ChunkErrorKind, StreamChunk, TurnOutcome};
use crate::json::Json;
use crate::limits;

/// Whose news it is.
enum Whose {
    /// The turn's.
    Ours,
    /// The sub-agent's with this index.
    Helper(usize),
    /// Nobody's: of a turn that has ended, or of a thread that we did not hear of.
    Nobody,
}

/// The parameters of a notification, as `T`; none when they are something else.
fn read<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(params?.get()).ok()
}

/// Whether notifications of this name are known to be nothing that is shown.
fn is_known(method: &str) -> bool {
    const KNOWN: [&str; 30] = [
        "account/",
        "app/",
        "autoApprovalReview/",
        "command/",
        "configWarning",
        "deprecationNotice",
        "externalAgentConfig/",
        "fs/",
        "fuzzyFileSearch/",
        "guardianWarning",
        "hook/",
        "item/autoApprovalReview/",
        "item/commandExecution/",
        "item/fileChange/",
        "item/mcpToolCall/",
        "item/reasoning/summaryPartAdded",
        "mcpServer/",
        "model/",
        "modelProvider/",
        "process/",
        "project/",
        "rawResponse/",
        "remoteControl/",
        "skills/",
        "thread/",
        "turn/diff/",
        "turn/moderationMetadata",
        "turn/plan/",
        "warning",
        "windows",
    ];
    KNOWN.iter().any(|known| method.starts_with(known))
}

impl Codex {
    /// The program tells something; false when it is not understood.
    pub(super) fn told(
        &mut self,
        now: Instant,
        method: &str,
        params: Option<&RawValue>,
        out: &mut Vec<Action>,
    ) -> bool {
        match method {
            "item/agentMessage/delta" | "item/plan/delta" => {
                self.delta(params, |_| Part::Whole, out)
            }
            "item/reasoning/summaryTextDelta" => {
                let part = |delta: &Delta| Part::Summary(delta.summary_index.unwrap_or_default());
                self.delta(params, part, out)
            }
            "item/reasoning/textDelta" => {
                let part = |delta: &Delta| Part::Content(delta.content_index.unwrap_or_default());
                self.delta(params, part, out)
            }
            "item/started" => self.item(params, Stream::started, out),
            "item/completed" => self.item_completed(params, out),
            "turn/started" => self.turn_started(params, out),
            "turn/completed" => self.turn_completed(params, out),
            "error" => self.fault(now, params, out),
            "thread/tokenUsage/updated" => self.used(now, params, out),
            "thread/status/changed" => self.status(now, params),
            "serverRequest/resolved" => {
                let resolved = read::<Resolved<'_>>(params).and_then(|news| news.request_id);
                resolved.map(|request| self.asks.resolved(request, out)).is_some()
            }
            _ => is_known(method),
        }
    }

    fn whose(&self, thread: Option<&str>, turn: Option<&str>) -> Whose {
        let Some(open) = &self.turn else { return Whose::Nobody };
        if thread.is_none() || thread == self.thread.as_deref() {
            let same = turn.is_none() || turn == open.id.as_deref();
            return if same && open.id.is_some() { Whose::Ours } else { Whose::Nobody };
        }
        let helper = self.helpers.iter().position(|helper| Some(&*helper.thread) == thread);
        helper.map_or(Whose::Nobody, Whose::Helper)
    }

    /// The stream of whom the news are about.
    fn stream(&mut self, thread: Option<&str>, turn: Option<&str>) -> Option<&mut Stream> {
        match self.whose(thread, turn) {
            Whose::Ours => self.turn.as_mut().map(|turn| {
                turn.lives();
                &mut turn.stream
            }),
            Whose::Helper(at) => self.helpers.get_mut(at).map(|helper| &mut helper.stream),
            Whose::Nobody => None,
        }
    }

    fn delta(
        &mut self,
        params: Option<&RawValue>,
        part: impl Fn(&Delta) -> Part,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(news) = read::<Delta>(params) else { return false };
        let (Some(item), Some(piece)) = (&news.item_id, &news.delta) else { return false };
        if let Some(stream) = self.stream(news.thread_id.as_deref(), news.turn_id.as_deref()) {
            stream.delta(item, part(&news), piece, out);
            self.works(out);
        }
        true
    }

    fn item(
        &mut self,
        params: Option<&RawValue>,
        take: fn(&mut Stream, &RawValue, &mut Vec<Action>) -> bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(news) = read::<ItemNews<'_>>(params) else { return false };
        let Some(item) = news.item else { return false };
        let stream = self.stream(news.thread_id.as_deref(), news.turn_id.as_deref());
        let understood = stream.is_none_or(|stream| take(stream, item, out));
        self.works(out);
        understood
    }

    fn item_completed(&mut self, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        self.meet_helpers(params);
        self.item(params, Stream::completed, out)
    }

    /// A completed call of a tool may have begun sub-agents.
    fn meet_helpers(&mut self, params: Option<&RawValue>) {
        let item = read::<ItemNews<'_>>(params).and_then(|news| news.item);
        let Some(item) = item.filter(|item| item.get().contains("receiverThreadIds")) else {
            return;
        };
        let head = serde_json::from_str::<super::wire::ItemHead>(item.get()).ok();
        let tool = serde_json::from_str::<ToolItem<'_>>(item.get()).ok();
        let (Some(turn), Some(id), Some(tool)) = (&self.turn, head.and_then(|head| head.id), tool)
        else {
            return;
        };
        let parent: Arc<str> = id.into();
        for thread in tool.receiver_thread_ids.unwrap_or_default() {
            let known = self.helpers.iter().any(|helper| helper.thread == thread);
            if known || Some(&*thread) == self.thread.as_deref() {
                continue;
            }
            if self.helpers.len() == limits::CODEX_OPEN_ITEMS {
                self.helpers.remove(0);
            }
            let stream = Stream::new(turn.number, Some(Arc::clone(&parent)));
            self.helpers.push(Helper { thread, parent: Arc::clone(&parent), stream });
        }
    }

    /// Something of the turn came: what is it busy with?
    fn works(&mut self, out: &mut Vec<Action>) {
        let Some(turn) = &self.turn else { return };
        let tool = turn.stream.tool_works();
        self.busy(if tool { Activity::Tool } else { Activity::Thinking }, out);
    }

    fn turn_started(&mut self, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        let Some(news) = read::<TurnNews<'_>>(params) else { return false };
        let Some(id) = news.turn.and_then(|turn| turn.id) else { return false };
        // A turn that nobody asked for has its name before ours has one.
        if news.thread_id.as_deref() == self.thread.as_deref() && self.requested() {
            self.turn_is(&id, out);
        }
        true
    }

    /// Whether a turn is open that the program may begin now.
    fn requested(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.id.is_none())
    }

    fn turn_completed(&mut self, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        let Some(news) = read::<TurnNews<'_>>(params) else { return false };
        let Some(state) = news.turn else { return false };
        let Whose::Ours = self.whose(news.thread_id.as_deref(), state.id.as_deref()) else {
            return true;
        };
        match state.status.as_deref() {
            Some("completed") => {
                if let (Some(turn), Some(items)) = (&mut self.turn, &state.items) {
                    turn.stream.finished(items, out);
                }
                self.end(TurnOutcome::Completed, None, out);
            }
            Some("interrupted") => {
                let untold =
                    || fault::error(ChunkErrorKind::ModelError, "the program interrupted the turn");
                let error = state.error.as_ref().map_or_else(untold, fault::chunk_error);
                self.stopped(TurnOutcome::Interrupted, Some(error), out);
            }
            Some("failed") => self.turn_failed(&state, out),
            _ => return false,
        }
        true
    }

    fn turn_failed(&mut self, state: &TurnState<'_>, out: &mut Vec<Action>) {
        let known = self.turn.as_mut().and_then(|turn| turn.fault.take());
        let told = state.error.as_ref().map(fault::chunk_error);
        let untold = || fault::error(ChunkErrorKind::ModelError, "the turn failed");
        self.end(TurnOutcome::Failed, Some(told.or(known).unwrap_or_else(untold)), out);
    }

    fn fault(&mut self, now: Instant, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        let Some(news) = read::<FaultNews<'_>>(params) else { return false };
        let Some(said) = &news.error else { return false };
        let whose = self.whose(news.thread_id.as_deref(), news.turn_id.as_deref());
        let (Whose::Ours, Some(turn)) = (whose, &mut self.turn) else { return true };
        let error = fault::chunk_error(said);
        if news.will_retry != Some(true) {
            // `turn/completed` follows.
            turn.fault = Some(error);
            turn.settles(now);
            return true;
        }
        turn.lives();
        turn.stream.retry(out);
        let limited = error.kind == ChunkErrorKind::RateLimited;
        let chunk = StreamChunk::new(turn.number, ChunkBody::Error(error));
        out.push(Action::Emit(chunk));
        self.busy(if limited { Activity::RateLimited } else { Activity::Thinking }, out);
        true
    }

    fn used(&mut self, now: Instant, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        let Some(news) = read::<UsageNews>(params) else { return false };
        let Some(usage) = &news.token_usage else { return false };
        let Some(total) = usage.total else { return false };
        if news.thread_id.as_deref() != self.thread.as_deref() {
            return true;
        }
        let before = self.tokens.replace(total);
        if let Whose::Ours = self.whose(news.thread_id.as_deref(), news.turn_id.as_deref()) {
            self.turn_used(now, before, usage, out);
        }
        true
    }

    fn turn_used(
        &mut self,
        now: Instant,
        before: Option<super::Tokens>,
        usage: &TokenUsage,
        out: &mut Vec<Action>,
    ) {
        let Some(turn) = &mut self.turn else { return };
        if !turn.used(before, usage) {
            return;
        }
        let used = turn.usage.unwrap_or_default();
        out.push(Action::Emit(StreamChunk::new(turn.number, ChunkBody::Usage(used))));
        let most = self.session.as_ref().and_then(|session| session.max_turns);
        if let Some(most) = most.filter(|most| turn.is_exhausted(*most)) {
            self.stop(now, Stop::Rounds(most), out);
        }
    }

    fn status(&mut self, now: Instant, params: Option<&RawValue>) -> bool {
        let Some(news) = read::<StatusNews>(params) else { return false };
        let Some(kind) = news.status.and_then(|status| status.kind) else { return false };
        let ours = news.thread_id.is_some() && news.thread_id.as_deref() == self.thread.as_deref();
        if let Some(turn) = self.turn.as_mut().filter(|turn| ours && turn.id.is_some()) {
            match &*kind {
                "active" => turn.lives(),
                _ => turn.settles(now),
            }
        }
        true
    }

    /// The program asks something; false when it is nothing that is served, which it is told.
    pub(super) fn asked(
        &mut self,
        method: &str,
        request: &RawValue,
        params: Option<&RawValue>,
        out: &mut Vec<Action>,
    ) -> bool {
        if self.asks.waits(request) {
            return true;
        }
        let name = Json::from(request);
        let mut question = read::<Question<'_>>(params);
        let words = question.as_mut().and_then(|question| Words::of(method, question));
        let (Some(question), Some(words)) = (question, words) else {
            out.push(Action::Send(say::not_served(&name)));
            return false;
        };
        if self.turn.is_none() || !ask::can_be_shown(&question) {
            out.push(Action::Send(ask::denial(&name, words)));
            return true;
        }
        let about = match &words {
            Words::Answers { left, .. } => left.front().map(describe::inquiry),
            _ => Some(self.permission(method, &question)),
        };
        if let Some(about) = about {
            self.asks.ask(name, question.thread_id, (about, words), out);
        }
        true
    }

    fn permission(&self, method: &str, question: &Question<'_>) -> crate::dialect::AskRequest {
        let helpers = self
            .helpers
            .iter()
            .filter(|helper| question.thread_id.as_deref() == Some(&*helper.thread));
        let ours = self.turn.iter().filter(|_| {
            question.thread_id.is_none() || question.thread_id.as_deref() == self.thread.as_deref()
        });
        let mut streams = ours.map(|turn| &turn.stream).chain(helpers.map(|helper| &helper.stream));
        let item = question.item_id.as_deref();
        let changes = item.and_then(|item| streams.find_map(|stream| stream.changes(item)));
        let cwd = self.session.as_ref().map(|session| &*session.cwd);
        describe::permission(method, question, cwd, changes)
    }
}

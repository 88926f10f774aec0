//! Tool calls: which are open, what of them was told.
//!
//! Agents tell them in different orders: some begin with `tool_call`, some with the question, some
//! with the end. Here each begins once, is given its arguments when they are whole, and ends once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::updates::{chunk, parent};
use super::wire::{Content, Update, contents, read};
use super::{Acp, Action};
use crate::agent::Activity;
use crate::event::ChunkBody;
use crate::json::Json;
use crate::limits;

/// Names of calls.
pub(super) type Calls = BTreeSet<Arc<str>>;

/// The calls of a turn.
#[derive(Debug, Default)]
pub(super) struct Tools {
    open: BTreeMap<Arc<str>, Call>,
    done: Calls,
}

/// A call that has not ended.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) name: Arc<str>,
    pub(super) kind: Option<String>,
    pub(super) title: Option<String>,
    parent: Option<Arc<str>>,
    /// The arguments as they were told last.
    pub(super) input: Option<Json>,
    /// Whether these were emitted.
    shown: bool,
    /// What it gave so far, as text.
    content: Option<String>,
    /// It was denied, with these words: agents may say nothing more of it.
    denied: Option<Arc<str>>,
}

impl Tools {
    pub(super) fn call(&self, id: &str) -> Option<&Call> {
        self.open.get(id)
    }

    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// Call `id` was denied, with these words.
    pub(super) fn deny(&mut self, id: &str, words: Arc<str>) {
        if let Some(call) = self.open.get_mut(id) {
            call.denied = Some(words);
        }
    }

    /// The names of all calls, those that have not ended among them.
    pub(super) fn into_ids(self) -> Calls {
        let mut ids = self.done;
        ids.extend(self.open.into_keys());
        ids
    }
}

impl Acp {
    /// A tool call begins, goes on or ends; says whether that was understood.
    pub(super) fn called(
        &mut self,
        is_new: bool,
        update: &Update<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(id) = name_of_call(update) else { return false };
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.sent) else { return true };
        // A late word of a call of the turn before. Agents may use a name again, but then it begins.
        if turn.tools.has_ended(&id) || (!is_new && self.is_past(&id)) {
            return true;
        }
        if !self.know(&id, update, out) {
            return false;
        }
        let ends = matches!(update.status.as_deref(), Some("completed" | "failed"));
        // The first word of a call may have less than its arguments.
        let is_whole = !is_new || update.status.as_deref() != Some("pending");
        if ends || is_whole {
            self.show_input(&id, out);
        }
        if ends {
            self.end_call(&id, update, out);
        }
        self.work(out);
        true
    }

    fn is_past(&self, id: &str) -> bool {
        let open = self.turn.as_ref().is_some_and(|turn| turn.tools.call(id).is_some());
        !open && self.past.calls.contains(id)
    }

    /// Takes what `update` tells of call `id`, which begins when it is not known yet.
    pub(super) fn know(&mut self, id: &str, update: &Update<'_>, out: &mut Vec<Action>) -> bool {
        let name = self.tool_name(id, update);
        let Some(turn) = &mut self.turn else { return false };
        if turn.tools.call(id).is_none() {
            if turn.tools.open.len() >= limits::ACP_OPEN_CALLS {
                return false;
            }
            let (id, parent) = (Arc::<str>::from(id), parent(update));
            if parent.is_none() {
                turn.text.close();
                turn.thinking.close();
                turn.passage.close();
            }
            let body =
                ChunkBody::ToolUseStart { tool_name: Arc::clone(&name), tool_id: Arc::clone(&id) };
            out.push(Action::Emit(chunk(turn.number, parent.clone(), body)));
            turn.tools.open.insert(id, Call { name, parent, ..Call::default() });
        }
        let Some(call) = turn.tools.open.get_mut(id) else { return false };
        if update.kind.is_some() {
            call.kind.clone_from(&update.kind);
        }
        if update.title.is_some() {
            call.title.clone_from(&update.title);
        }
        // A question may tell less than what was told already.
        let asks = update.session_update.is_none();
        let input = update.raw_input.filter(|input| !(is_empty(input) || asks && call.shown));
        if let Some(input) = input {
            let input = Json::from(input);
            call.shown &= call.input.as_ref() == Some(&input);
            call.input = Some(input);
        }
        if let Some(content) = update.content {
            call.content = Some(text(&contents(content)));
        }
        true
    }

    /// Emits the arguments of call `id`, unless that was done.
    pub(super) fn show_input(&mut self, id: &str, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(call) = turn.tools.open.get_mut(id).filter(|call| !call.shown) else { return };
        let Some(input) = call.input.clone() else { return };
        call.shown = true;
        let body =
            ChunkBody::ToolUseInput { tool_id: id.into(), content: "".into(), input: Some(input) };
        out.push(Action::Emit(chunk(turn.number, call.parent.clone(), body)));
    }

    fn end_call(&mut self, id: &str, update: &Update<'_>, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        let Some((id, call)) = turn.tools.open.remove_entry(id) else { return };
        let number = turn.number;
        if turn.tools.done.len() < limits::ACP_FINISHED_CALLS {
            turn.tools.done.insert(Arc::clone(&id));
        }
        let result = update.raw_output.and_then(plain).or(call.content);
        let result = result.or_else(|| update.raw_output.map(|raw| raw.get().to_owned()));
        let is_error = update.status.as_deref() == Some("failed");
        self.forget_asks_of(&id, out);
        let result = result.unwrap_or_default().into();
        let body = ChunkBody::ToolResult { tool_id: id, result, is_error };
        out.push(Action::Emit(chunk(number, call.parent, body)));
    }

    /// The agent went on: of calls that were denied it says nothing more, as Gemini does.
    pub(super) fn end_denied(&mut self, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        let number = turn.number;
        let denied = turn.tools.open.iter().filter(|(_, call)| call.denied.is_some());
        let denied: Vec<Arc<str>> = denied.map(|(id, _)| Arc::clone(id)).collect();
        for id in denied {
            let Some(call) = turn.tools.open.remove(&id) else { continue };
            if turn.tools.done.len() < limits::ACP_FINISHED_CALLS {
                turn.tools.done.insert(Arc::clone(&id));
            }
            let result = call.denied.unwrap_or_default();
            let body = ChunkBody::ToolResult { tool_id: id, result, is_error: true };
            out.push(Action::Emit(chunk(number, call.parent, body)));
        }
    }

    /// Says what the agent is busy with: a question, tools, or the model.
    pub(super) fn work(&mut self, out: &mut Vec<Action>) {
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.sent) else { return };
        let activity = if !turn.asks.is_empty() {
            Activity::WaitingApproval
        } else if !turn.tools.open.is_empty() {
            Activity::Tool
        } else {
            Activity::Thinking
        };
        self.busy(Some(activity), out);
    }

    /// What the tool of a call is called: the protocol has no place for that, so agents put it
    /// elsewhere, and where they do not, the kind of the call has to do.
    pub(super) fn tool_name(&self, id: &str, update: &Update<'_>) -> Arc<str> {
        let known = self.turn.as_ref().and_then(|turn| turn.tools.call(id));
        if let Some(call) = known {
            return Arc::clone(&call.name);
        }
        let meta = update.meta.as_ref().and_then(|meta| meta.claude_code.as_ref());
        if let Some(name) = meta.and_then(|tool| tool.tool_name.as_deref()) {
            return name.into();
        }
        let gemini = self.agent.name.as_deref() == Some("gemini-cli");
        if let Some((name, _)) = id.rsplit_once("__").filter(|_| gemini) {
            return name.into();
        }
        // One word is a name (OpenCode says `bash`), more are a title.
        let is_name = |title: &&str| !title.is_empty() && title.bytes().all(is_of_name);
        let title = update.title.as_deref();
        let kind = update.kind.as_deref().filter(|kind| *kind != "other");
        title.filter(is_name).or(kind).or(title).or(update.kind.as_deref()).unwrap_or("tool").into()
    }
}

/// The name of the call that `update` is about, if it has one that can be remembered.
pub(super) fn name_of_call(update: &Update<'_>) -> Option<String> {
    let id = update.tool_call_id.clone()?;
    (!id.is_empty() && id.len() <= limits::ACP_NAME_BYTES).then_some(id)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

/// Whether arguments are none at all.
pub(super) fn is_empty(input: &RawValue) -> bool {
    let text = input.get();
    text == "null" || text.trim_matches(['{', '}']).trim().is_empty()
}

/// What a tool gave where the agent keeps it as the tool said it.
fn plain(raw: &RawValue) -> Option<String> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Said {
        output: Option<String>,
        error: Option<String>,
    }
    if let Ok(text) = serde_json::from_str::<String>(raw.get()) {
        return Some(text);
    }
    let said: Said = read(Some(raw));
    said.output.or(said.error)
}

/// The text of a call's content; what a diff changes is named.
fn text(items: &[Content]) -> String {
    let texts = items.iter().filter_map(|item| {
        let inner = item.content.as_ref().and_then(|block| block.text.as_ref());
        inner.or(item.text.as_ref()).or(item.path.as_ref()).map(String::as_str)
    });
    texts.collect::<Vec<_>>().join("\n")
}

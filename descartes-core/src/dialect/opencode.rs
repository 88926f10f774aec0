//! The dialect of `opencode run --format json`: one process per turn. It has no closing line and no
//! way to ask; [`Acp`](super::Acp) is the better way to talk to OpenCode.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::one_shot::{Lines, Shot};
use super::{Action, ApprovalMode, Dialect, Input, LaunchWords, SessionSpec, Thinking, blame};
use crate::backend::Capabilities;
use crate::event::{ChunkError, ChunkErrorKind, Usage};
use crate::json::Json;
use crate::limits;

/// Laid over the permissions of its configuration, in JSON (seen in 1.18.33).
pub(crate) const PERMISSION: &str = "OPENCODE_PERMISSION";
/// Asks before everything but looking at the project; by itself it asks before nearly nothing. Tools
/// are named one by one as well, since rules of the user's for one of them would win over `*`.
///
/// Sub-agents there are none: what they ask is told to nobody over ACP, and they wait for ever.
pub(crate) const ASKING: &str = r#"{"*":"ask","bash":"ask","edit":"ask","webfetch":"ask","websearch":"ask","codesearch":"ask","task":"deny","external_directory":"ask","doom_loop":"ask","read":{"*":"allow","*.env":"ask","*.env.*":"ask","*.env.example":"allow"},"list":"allow","glob":"allow","grep":"allow","lsp":"allow","todoread":"allow","todowrite":"allow","skill":"allow","question":"deny","plan_enter":"deny","plan_exit":"deny"}"#;

/// A turn of `opencode run`.
#[derive(Debug, Default)]
pub struct OpenCode {
    shot: Shot,
    words: Words,
}

/// What its lines said.
#[derive(Debug, Default)]
struct Words {
    /// Parts that were told: what comes again is dropped.
    parts: BTreeSet<String>,
    /// Why the last step ended; none while one is under way.
    reason: Option<String>,
    tokens: (Usage, bool),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "sessionID", default)]
    session: Option<String>,
    #[serde(borrow, default)]
    part: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool: Option<String>,
    #[serde(rename = "callID", default)]
    call: Option<String>,
    #[serde(borrow, default)]
    state: Option<State<'a>>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    tokens: Option<Tokens>,
    #[serde(default)]
    cost: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct State<'a> {
    #[serde(default)]
    status: Option<String>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input: u64,
    output: u64,
    reasoning: u64,
    cache: Cache,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cache {
    read: u64,
    write: u64,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    data: Option<FailureData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailureData {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    status_code: Option<i64>,
}

impl OpenCode {
    /// One turn.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Lines for Words {
    fn line(&mut self, line: &str, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { return false };
        if let Some(session) = &line.session {
            shot.named(session, out);
        }
        if line.kind == "error" {
            let Some(error) = line.error.and_then(|raw| serde_json::from_str(raw.get()).ok())
            else {
                return false;
            };
            shot.error = Some(failure(&error));
            return true;
        }
        let part = line.part.and_then(|raw| serde_json::from_str::<Part<'_>>(raw.get()).ok());
        let Some(part) = part else { return false };
        match &*line.kind {
            "step_start" | "step_finish" | "text" | "reasoning" | "tool_use" => {}
            _ => return false,
        }
        if self.is_told(&part) {
            return true;
        }
        match &*line.kind {
            "step_start" => {
                // What an error said of the step before is void: it was tried again.
                (self.reason, shot.error) = (None, None);
                out.push(Action::Mark);
            }
            "text" => shot.said(part.text.unwrap_or_default(), out),
            "reasoning" => shot.thought(part.text.unwrap_or_default(), out),
            "tool_use" => return used_tool(&part, shot, out),
            _ => {
                self.reason = Some(part.reason.clone().unwrap_or_default());
                shot.usage = self.add(&part);
            }
        }
        true
    }

    fn verdict(&self) -> Result<(), ChunkError> {
        match self.reason.as_deref() {
            // A refused permission ends the run after the step that called the tool.
            Some("stop" | "tool-calls" | "") => Ok(()),
            Some("length") => Err(ChunkError::new(
                ChunkErrorKind::Budget,
                "the model reached its limit of tokens",
            )),
            Some(reason) => {
                let text = format!("the model ended for this reason: {reason}");
                Err(blame::error(ChunkErrorKind::ModelError, &text))
            }
            None => Err(ChunkError::new(
                ChunkErrorKind::AgentCrashed,
                "the agent ended in the middle, with exit code 0",
            )),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { turns: true, resume: true, models: true, ..Capabilities::default() }
    }
}

impl Words {
    /// Whether this part was told before; remembers it.
    fn is_told(&mut self, part: &Part<'_>) -> bool {
        let Some(id) = part.id.as_ref().filter(|id| id.len() <= limits::ACP_NAME_BYTES) else {
            return false;
        };
        if self.parts.contains(id) {
            return true;
        }
        if self.parts.len() < limits::ACP_FINISHED_CALLS {
            self.parts.insert(id.clone());
        }
        false
    }

    /// Adds what a step used.
    fn add(&mut self, step: &Part<'_>) -> Option<Usage> {
        let (sum, known) = &mut self.tokens;
        if let Some(tokens) = &step.tokens {
            let read = tokens.cache.read;
            let input = tokens.input.saturating_add(read).saturating_add(tokens.cache.write);
            let output = tokens.output.saturating_add(tokens.reasoning);
            let add = |to: &mut Option<u64>, more: u64| {
                *to = Some(to.unwrap_or_default().saturating_add(more));
            };
            add(&mut sum.input_tokens, input);
            add(&mut sum.cached_tokens, read);
            add(&mut sum.output_tokens, output);
            *known = true;
        }
        if let Some(cost) = step.cost {
            sum.cost_usd = Some(sum.cost_usd.unwrap_or_default() + cost);
            *known = true;
        }
        known.then_some(*sum)
    }
}

impl Dialect for OpenCode {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        self.shot.launched(session);
        words.args.extend(["run", "--format", "json"].map(String::from));
        if session.thinking != Thinking::Off {
            words.args.push("--thinking".into());
        }
        match fence(session.approvals) {
            Some(fence) => drop(words.env.insert(PERMISSION.into(), fence)),
            None => words.args.push("--auto".into()),
        }
        if let Some(model) = &session.model {
            words.args.extend(["--model".into(), model.to_string()]);
        }
        if let Some(native) = &session.native {
            words.args.extend(["--session".into(), native.to_string()]);
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        self.shot.handle(&mut self.words, now, &input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.shot.deadline()
    }

    fn capabilities(&self) -> Capabilities {
        self.words.capabilities()
    }

    fn approval_modes(&self) -> &'static [ApprovalMode] {
        &ApprovalMode::FENCED
    }
}

/// The permissions of a program that nobody can be asked by: what would be asked is denied. None
/// where everything is allowed.
fn fence(mode: ApprovalMode) -> Option<String> {
    let denied = || ASKING.replace(r#""ask""#, r#""deny""#);
    match mode {
        ApprovalMode::AllowAll => None,
        ApprovalMode::AllowEdits => Some(denied().replace(r#""edit":"deny""#, r#""edit":"allow""#)),
        ApprovalMode::Ask | ApprovalMode::Deny => Some(denied()),
    }
}

/// A call, told when it has ended.
fn used_tool(part: &Part<'_>, shot: &mut Shot, out: &mut Vec<Action>) -> bool {
    let (Some(tool), Some(id), Some(state)) = (&part.tool, &part.call, &part.state) else {
        return false;
    };
    let began = shot.is_open(id) || shot.called(tool, id, state.input.map(Json::from), out);
    let (result, is_error) = match state.status.as_deref() {
        Some("completed") => (&state.output, false),
        Some("error") => (&state.error, true),
        _ => return began,
    };
    began && shot.gave(id, result.as_deref().unwrap_or_default(), is_error, out)
}

fn failure(failure: &Failure) -> ChunkError {
    let data = failure.data.as_ref();
    let name = failure.name.as_deref().unwrap_or_default();
    let text = data.and_then(|data| data.message.as_deref()).unwrap_or(name);
    let status = data.and_then(|data| data.status_code).and_then(blame::by_status);
    let named = match name {
        "ProviderAuthError" => Some(ChunkErrorKind::AgentAuth),
        "MessageOutputLengthError" => Some(ChunkErrorKind::Budget),
        "ContextOverflowError" => Some(ChunkErrorKind::ContextFull),
        _ => None,
    };
    blame::error(status.or(named).unwrap_or_else(|| blame::by_words(text)), text)
}

//! What the dialects of programs share that are started anew for each turn: the prompt on standard
//! input, then its end; lines of JSON on standard output; the turn has ended when the process has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::raw::{StderrTail, oversize, raw};
use super::{Action, Input, Prompt, PromptPart, SessionSpec, TurnEnd, blame};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{
    ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, StreamName, TurnOutcome, Usage,
};
use crate::json::Json;
use crate::limits;
use crate::runner::Signal;

/// What a program's lines mean.
pub(super) trait Lines {
    /// Takes one line, a JSON object; says whether it was understood.
    fn line(&mut self, line: &str, shot: &mut Shot, out: &mut Vec<Action>) -> bool;
    /// How the turn ended by what the lines said, for a process that ended with exit code 0; an
    /// error where they did not say so.
    fn verdict(&self) -> Result<(), ChunkError>;
    /// What can be done with the program.
    fn capabilities(&self) -> Capabilities;
}

/// The one turn of a process.
#[derive(Debug, Default)]
pub(super) struct Shot {
    /// What the model is told before the prompt.
    preface: Option<Arc<str>>,
    session: Option<Arc<str>>,
    /// The turn, from its prompt to its end.
    open: Option<u32>,
    /// A prompt that came before the process ran.
    kept: Option<Prompt>,
    number: u32,
    runs: bool,
    /// The prompt was written: there is no second.
    used: bool,
    cancelled: bool,
    /// Whether the program said anything that was understood.
    spoke: bool,
    pub(super) error: Option<ChunkError>,
    pub(super) usage: Option<Usage>,
    /// The program said that its turn is over: all that is left to it is to end.
    pub(super) settled: bool,
    /// Calls that were begun and are not done.
    calls: BTreeSet<String>,
    text: (u32, bool),
    thinking: (u32, bool),
    activity: Option<Activity>,
    wait: Option<Instant>,
    tail: StderrTail,
}

impl Shot {
    /// Remembers what the conversation is asked to be.
    pub(super) fn launched(&mut self, session: &SessionSpec) {
        let is_new = session.native.is_none();
        self.preface = session.system_prompt.clone().filter(|_| is_new);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.wait
    }

    /// The only way in.
    pub(super) fn handle(
        &mut self,
        lines: &mut impl Lines,
        now: Instant,
        input: &Input<'_>,
        out: &mut Vec<Action>,
    ) {
        match *input {
            Input::Opened => {
                self.runs = true;
                out.push(Action::Ready(lines.capabilities()));
                if let Some(prompt) = self.kept.take() {
                    self.write(&prompt, out);
                }
            }
            Input::Line { stream: StreamName::Stdout, bytes } => {
                self.line(lines, bytes, out);
                if self.settled && self.wait.is_none() {
                    self.wait = Some(now + limits::ONE_SHOT_SETTLE);
                }
            }
            Input::Line { stream: StreamName::Stderr, bytes } => self.tail.push(bytes),
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(oversize(self.number, bytes)));
            }
            Input::Prompt { turn, prompt } => self.prompt(turn, prompt, out),
            Input::Cancel { turn } => self.cancel(now, turn, out),
            Input::Tick if self.wait.is_some_and(|due| due <= now) => {
                // It does not mind the first signal, or hangs behind its turn, as has been seen.
                self.wait = None;
                out.push(Action::Signal(Signal::Terminate));
            }
            Input::Ended { code, signal } => self.ended(lines, code, signal, out),
            _ => {}
        }
    }

    fn prompt(&mut self, turn: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        if self.open.is_none() {
            self.number = turn;
        }
        let refusal = if self.used || self.open.is_some() {
            Some("the program takes one prompt, and has it")
        } else if prompt.parts.iter().any(|part| matches!(part, PromptPart::Image { .. })) {
            Some("the program takes no pictures")
        } else {
            None
        };
        if let Some(text) = refusal {
            let error = ChunkError::new(ChunkErrorKind::Protocol, text);
            out.push(Action::TurnEnded(TurnEnd::failed(turn, error)));
            return;
        }
        self.open = Some(turn);
        if self.runs {
            self.write(prompt, out);
        } else {
            self.kept = Some(prompt.clone());
        }
    }

    fn write(&mut self, prompt: &Prompt, out: &mut Vec<Action>) {
        self.used = true;
        let parts = prompt.parts.iter().map(|part| match part {
            PromptPart::Text(text) => text.to_string(),
            // Two of the programs take a file's name behind this sign for the file; to the model
            // of the third it is one.
            PromptPart::File { path } => format!("@{}", path.display()),
            PromptPart::Image { .. } => String::new(),
        });
        let preface = self.preface.as_deref().map(ToOwned::to_owned);
        let text = preface.into_iter().chain(parts).collect::<Vec<_>>().join("\n");
        out.push(Action::Send(text.into()));
        // It reads to the end before it begins.
        out.push(Action::CloseStdin);
        self.busy(Activity::Thinking, out);
    }

    fn cancel(&mut self, now: Instant, turn: u32, out: &mut Vec<Action>) {
        if self.open != Some(turn) || self.cancelled {
            return;
        }
        self.cancelled = true;
        if self.used {
            out.push(Action::Signal(Signal::Interrupt));
            self.wait = Some(now + limits::ONE_SHOT_CANCEL);
        } else {
            self.kept = None;
            self.end(TurnEnd::new(turn, TurnOutcome::Cancelled), out);
        }
    }

    fn line(&mut self, lines: &mut impl Lines, bytes: &[u8], out: &mut Vec<Action>) {
        let line = bytes.trim_ascii();
        if line.is_empty() {
            return;
        }
        let text = std::str::from_utf8(line).ok().filter(|text| text.starts_with('{'));
        // Nothing of a turn after its end, and none of it before.
        if self.used && self.open.is_some() && text.is_some_and(|text| lines.line(text, self, out))
        {
            self.spoke = true;
        } else {
            out.push(Action::Emit(raw(self.number, bytes)));
        }
    }

    fn ended(
        &mut self,
        lines: &impl Lines,
        code: Option<i32>,
        signal: Option<i32>,
        out: &mut Vec<Action>,
    ) {
        self.wait = None;
        let Some(turn) = self.open else { return };
        let end = if self.settled && self.error.is_none() {
            // What was done in spite of a cancel or a signal is done.
            TurnEnd::new(turn, TurnOutcome::Completed)
        } else if self.cancelled {
            TurnEnd::new(turn, TurnOutcome::Cancelled)
        } else if let Some(error) = self.error.take() {
            TurnEnd::failed(turn, error)
        } else if code == Some(0) {
            match lines.verdict() {
                Ok(()) => TurnEnd::new(turn, TurnOutcome::Completed),
                Err(error) => TurnEnd::failed(turn, error),
            }
        } else {
            self.crash(turn, code, signal)
        };
        self.end(end, out);
    }

    /// It ended without a word of why, but perhaps with one on standard error.
    fn crash(&self, turn: u32, code: Option<i32>, signal: Option<i32>) -> TurnEnd {
        let how = blame::end(code, signal);
        let error = blame::crash(ChunkErrorKind::AgentCrashed, &self.tail, how);
        // It refused before it began, or was ended in the middle.
        let refused = !self.spoke && signal.is_none();
        let outcome = if refused { TurnOutcome::Failed } else { TurnOutcome::Interrupted };
        TurnEnd { error: Some(error), ..TurnEnd::new(turn, outcome) }
    }

    fn end(&mut self, mut end: TurnEnd, out: &mut Vec<Action>) {
        self.open = None;
        end.usage = self.usage.take();
        self.busy(Activity::Idle, out);
        out.push(Action::TurnEnded(end));
    }

    pub(super) fn busy(&mut self, activity: Activity, out: &mut Vec<Action>) {
        if self.activity.replace(activity) != Some(activity) {
            out.push(Action::Activity(Some(activity)));
        }
    }

    pub(super) fn emit(&self, body: ChunkBody, out: &mut Vec<Action>) {
        out.push(Action::Emit(StreamChunk::new(self.number, body)));
    }

    /// The program's name of the conversation.
    pub(super) fn named(&mut self, session: &str, out: &mut Vec<Action>) {
        if self.session.as_deref() != Some(session) {
            let session = Arc::<str>::from(session);
            self.session = Some(Arc::clone(&session));
            out.push(Action::Session(session));
        }
    }

    pub(super) fn said(&mut self, text: String, out: &mut Vec<Action>) {
        if !text.is_empty() {
            self.text.1 = true;
            self.busy(Activity::Thinking, out);
            self.emit(ChunkBody::Text { content: text.into(), block: self.text.0 }, out);
        }
    }

    pub(super) fn thought(&mut self, text: String, out: &mut Vec<Action>) {
        if !text.is_empty() {
            self.thinking.1 = true;
            self.busy(Activity::Thinking, out);
            self.emit(ChunkBody::Thinking { content: text.into(), block: self.thinking.0 }, out);
        }
    }

    /// What is said from here on is another block.
    pub(super) fn breaks(&mut self) {
        for block in [&mut self.text, &mut self.thinking] {
            if std::mem::take(&mut block.1) {
                block.0 += 1;
            }
        }
    }

    /// Whether this call was begun and is not done.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.calls.contains(id)
    }

    /// A call begins, its arguments known; not when it has begun, or there are too many.
    pub(super) fn called(
        &mut self,
        name: &str,
        id: &str,
        input: Option<Json>,
        out: &mut Vec<Action>,
    ) -> bool {
        let is_known = id.len() > limits::ACP_NAME_BYTES || self.is_open(id);
        if is_known || self.calls.len() == limits::ACP_OPEN_CALLS {
            return false;
        }
        self.calls.insert(id.to_owned());
        self.breaks();
        self.busy(Activity::Tool, out);
        let start = ChunkBody::ToolUseStart { tool_name: name.into(), tool_id: id.into() };
        self.emit(start, out);
        if input.is_some() {
            let (tool_id, content) = (id.into(), "".into());
            self.emit(ChunkBody::ToolUseInput { tool_id, content, input }, out);
        }
        true
    }

    /// A call has ended; not when it was never begun.
    pub(super) fn gave(
        &mut self,
        id: &str,
        result: &str,
        is_error: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        if !self.calls.remove(id) {
            return false;
        }
        let body = ChunkBody::ToolResult { tool_id: id.into(), result: result.into(), is_error };
        self.emit(body, out);
        self.busy(Activity::Thinking, out);
        true
    }
}

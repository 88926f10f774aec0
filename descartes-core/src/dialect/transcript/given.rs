//! Inputs that are kept, to be given again.

use std::collections::HashMap;

use serde_json::Value;

use super::{Entry, Meaning, Wire};
use crate::dialect::{AskToken, Decision, Input, Prompt};
use crate::event::StreamName;

/// An input that owns what it says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given {
    Line(StreamName, Vec<u8>),
    Oversize(StreamName, u64),
    Eof(StreamName),
    Prompt(u32, Prompt),
    Cancel(u32),
    Decide(AskToken, Decision),
    Ended(Option<i32>, Option<i32>),
    /// A tick that nobody asked for, so many milliseconds too early.
    EarlyTick(u32),
    /// Those that say nothing but what they are.
    Plain(Input<'static>),
}

impl From<&Input<'_>> for Given {
    fn from(input: &Input<'_>) -> Self {
        match *input {
            Input::Line { stream, bytes } => Self::Line(stream, bytes.to_vec()),
            Input::Oversize { stream, bytes } => Self::Oversize(stream, bytes),
            Input::Eof { stream } => Self::Eof(stream),
            Input::Prompt { turn, prompt } => Self::Prompt(turn, prompt.clone()),
            Input::Cancel { turn } => Self::Cancel(turn),
            Input::Decide { ask, decision } => Self::Decide(ask, decision.clone()),
            Input::Ended { code, signal } => Self::Ended(code, signal),
            Input::Opened => Self::Plain(Input::Opened),
            Input::Pause => Self::Plain(Input::Pause),
            Input::Resume => Self::Plain(Input::Resume),
            Input::Tick => Self::Plain(Input::Tick),
        }
    }
}

impl Given {
    /// The input that it was.
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Line(stream, bytes) => Input::Line { stream: *stream, bytes },
            Self::Oversize(stream, bytes) => Input::Oversize { stream: *stream, bytes: *bytes },
            Self::Eof(stream) => Input::Eof { stream: *stream },
            Self::Prompt(turn, prompt) => Input::Prompt { turn: *turn, prompt },
            Self::Cancel(turn) => Input::Cancel { turn: *turn },
            Self::Decide(ask, decision) => Input::Decide { ask: *ask, decision },
            Self::Ended(code, signal) => Input::Ended { code: *code, signal: *signal },
            Self::EarlyTick(_) => Input::Tick,
            Self::Plain(input) => input.clone(),
        }
    }
}

/// Programs whose standard input is the prompt and nothing else.
pub(crate) struct Stdin;

impl Wire for Stdin {
    fn meaning(&self, line: &Value) -> Meaning {
        Meaning::Prompt(line.as_str().map_or_else(|| line.to_string(), ToOwned::to_owned))
    }

    fn request(&self, _line: &Value) -> Option<(Value, String)> {
        None
    }

    fn rename(&self, _line: &mut Value, _names: &HashMap<String, Value>) {}
}

/// The exit code in `entries`, for a process whose end was recorded.
pub(crate) fn exit_code(entries: &[Entry]) -> Option<i32> {
    let exit = entries.iter().find(|entry| entry.dir == "exit")?;
    exit.data["rc"].as_i64().and_then(|code| i32::try_from(code).ok())
}

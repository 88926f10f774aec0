//! Recordings: what an agent program and our side said to each other, line by line, and agents that
//! play them.
//!
//! A chat is recorded by [`ChatOptions::record`](crate::chat::ChatOptions::record). The backend
//! `replay`, or one that [`Backend::replay`](crate::backend::Backend::replay) makes, plays the file:
//! the same lines through the same dialect, in the same order, no sooner than what was said before
//! them was said again. So it costs nothing, needs no program and no network, and gives the same
//! chunks. Whoever says something else is told what, and the agent fails.
//!
//! # The file
//!
//! JSON, a value a line. The first says what it is a recording of:
//!
//! ```json
//! {"descartes_recording": 1, "backend": "basic", "dialect": "basic", "descartes": "0.1.0"}
//! ```
//!
//! Each line behind it says what happened, and when, in milliseconds from the beginning of the chat:
//!
//! | `what` | members | |
//! | --- | --- | --- |
//! | `start` | `fresh`, `native?`, `cwd`, `args` | a process began; what was chosen for it, and the arguments that the dialect added |
//! | `in` | `line` | it was sent this line |
//! | `out`, `err` | `line` | it wrote this line to standard output, or to standard error |
//! | `oversize` | `stream`, `bytes` | it wrote a line too long to be kept |
//! | `close` | | its standard input was closed |
//! | `signal` | `signal` | it was sent a signal |
//! | `tick` | | the dialect had waited long enough for something |
//! | `exit` | `code?`, `signal?`, `killed` | it ended; `killed`: because somebody wanted it to |
//!
//! A line that is no UTF-8 is `hex` instead of `line`. Values of `env` are not in the file, nor is
//! what the recipe of the backend says; what the program itself printed is there as it printed it.

mod difference;
mod format;
mod play;
mod player;
mod replayed;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::event::StreamName;
use crate::limits::RECORDING_BYTES;
use crate::runner::Signal;

pub(crate) use play::ReplayRunner;
pub(crate) use replayed::Replayed;
pub(crate) use write::{Recorder, create, discard};

#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use rehearsal::Rehearsal;

/// A session of an agent program that was recorded.
#[derive(Debug)]
pub struct Recording {
    name: Arc<str>,
    backend: Arc<str>,
    dialect: Arc<str>,
    entries: Vec<Entry>,
    /// Where each run is in `entries`, without its start.
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    start: Start,
    /// The line that says it.
    line: usize,
    entries: Range<usize>,
}

/// Something that happened.
#[derive(Debug)]
struct Entry {
    /// Which line says so, from 1.
    line: usize,
    what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Start(Start),
    In(Vec<u8>),
    Out { stream: StreamName, bytes: Vec<u8> },
    Oversize { stream: StreamName, bytes: u64 },
    Close,
    Signal(Signal),
    Tick,
    Exit(Exit),
}

/// What a process was started with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) fresh: Uuid,
    pub(crate) native: Option<Arc<str>>,
    pub(crate) cwd: PathBuf,
    pub(crate) args: Vec<String>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) killed: bool,
}

/// A file that is no recording.
#[derive(Debug, thiserror::Error)]
#[error("{name}{place}: {what}", place = .line.map(|line| format!(", line {line}")).unwrap_or_default())]
#[non_exhaustive]
pub struct RecordingError {
    /// Which file.
    pub name: Arc<str>,
    /// Which line of it, from 1.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub what: String,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than [`RECORDING_BYTES`], or is no recording.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let name: Arc<str> = path.display().to_string().into();
        let wrong = |what: String| RecordingError { name: Arc::clone(&name), line: None, what };
        let about = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if !about.is_file() {
            return Err(wrong("not a file".into()));
        }
        if about.len() > RECORDING_BYTES {
            return Err(wrong(format!("larger than {RECORDING_BYTES} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(Arc::clone(&name), &bytes)
    }

    /// The recording that `bytes` are; `name` is what it is called where something is wrong.
    ///
    /// # Errors
    /// When they are none.
    ///
    /// ```
    /// use descartes_core::recording::Recording;
    ///
    /// let error = Recording::parse("session.jsonl", b"{\"descartes_recording\": 99}").unwrap_err();
    /// assert_eq!(error.line, Some(1));
    /// ```
    pub fn parse(name: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, RecordingError> {
        format::read(&name.into(), bytes)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The backend that was recorded.
    #[must_use]
    pub fn backend(&self) -> &Arc<str> {
        &self.backend
    }

    /// How its program is talked to.
    #[must_use]
    pub fn dialect(&self) -> &Arc<str> {
        &self.dialect
    }

    /// How many processes served the chat.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// What was written down of `all`.
    #[cfg(test)]
    pub(crate) fn of(dialect: &str, all: &[What]) -> Arc<Self> {
        let mut bytes = format::head(&"recorded".into(), &dialect.into());
        let rows = all.iter().zip(0..).map(|(what, at)| format::row(at, what));
        bytes.extend(rows.flatten());
        Arc::new(Self::parse("session.jsonl", &bytes).expect("what is written can be read"))
    }

    /// Run `run`, from 1.
    fn run(&self, run: u32) -> Option<&Run> {
        self.runs.get(usize::try_from(run).ok()?.checked_sub(1)?)
    }
}

/// Bytes that come in pieces, as lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that end in `bytes`.
    fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if self.begun.pop_if(|last| *last == b'\n').is_some() {
                lines.push(std::mem::take(&mut self.begun));
            }
        }
        lines
    }

    /// What has begun and will not end.
    fn finish(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.begun)).filter(|line| !line.is_empty())
    }
}

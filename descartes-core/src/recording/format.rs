//! The shape of a recording in its file.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Entry, Exit, Recording, RecordingError, Run, Start, What};
use crate::event::StreamName;
use crate::runner::Signal;

/// The only version that there is.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    descartes_recording: u32,
    #[serde(default)]
    backend: Arc<str>,
    #[serde(default)]
    dialect: Arc<str>,
    /// Which version recorded it, for people.
    #[serde(default)]
    descartes: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    at_ms: u64,
    #[serde(flatten)]
    what: Shape,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Shape {
    Start {
        fresh: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        native: Option<Arc<str>>,
        cwd: PathBuf,
        args: Vec<String>,
    },
    In(Line),
    Out(Line),
    Err(Line),
    Oversize {
        stream: String,
        bytes: u64,
    },
    Close,
    Signal {
        signal: String,
    },
    Tick,
    Exit {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        #[serde(default)]
        killed: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// The first line of a recording of `backend`.
pub(super) fn head(backend: &Arc<str>, dialect: &Arc<str>) -> Vec<u8> {
    text(&Head {
        descartes_recording: VERSION,
        backend: Arc::clone(backend),
        dialect: Arc::clone(dialect),
        descartes: env!("CARGO_PKG_VERSION").into(),
    })
}

/// The line that says `what`.
pub(super) fn row(at_ms: u64, what: &What) -> Vec<u8> {
    text(&Row { at_ms, what: Shape::from(what) })
}

fn text(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).expect("texts and numbers are JSON");
    text.push(b'\n');
    text
}

/// Reads a whole recording.
pub(super) fn read(name: &Arc<str>, bytes: &[u8]) -> Result<Recording, RecordingError> {
    let wrong = |line: usize, what: String| RecordingError {
        name: Arc::clone(name),
        line: Some(line),
        what,
    };
    let mut lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let first = lines.next().map_or(&[][..], |(first, _)| first);
    let head: Head = serde_json::from_slice(first)
        .map_err(|error| wrong(1, format!("not the beginning of a recording: {error}")))?;
    if head.descartes_recording != VERSION {
        let version = head.descartes_recording;
        return Err(wrong(
            1,
            format!("version {version} of the format, and only {VERSION} is known"),
        ));
    }
    let Head { backend, dialect, .. } = head;
    let (entries, runs) = (Vec::new(), Vec::new());
    let mut recording = Recording { name: Arc::clone(name), backend, dialect, entries, runs };
    for (text, line) in lines.filter(|(text, _)| !text.trim_ascii().is_empty()) {
        let row: Row =
            serde_json::from_slice(text).map_err(|error| wrong(line, error.to_string()))?;
        let what = What::try_from(row.what).map_err(|what| wrong(line, what))?;
        recording.add(line, what).map_err(|what| wrong(line, what.to_owned()))?;
    }
    Ok(recording)
}

impl Recording {
    fn add(&mut self, line: usize, what: What) -> Result<(), &'static str> {
        if let What::Start(start) = what {
            let end = self.entries.len();
            self.runs.push(Run { start, line, entries: end..end });
            return Ok(());
        }
        let run = self.runs.last_mut().ok_or("something happened before a process began")?;
        self.entries.push(Entry { line, what });
        run.entries.end += 1;
        Ok(())
    }
}

impl From<&What> for Shape {
    fn from(what: &What) -> Self {
        match what {
            What::Start(Start { fresh, native, cwd, args }) => Self::Start {
                fresh: fresh.to_string(),
                native: native.clone(),
                cwd: cwd.clone(),
                args: args.clone(),
            },
            What::In(bytes) => Self::In(Line::from(&**bytes)),
            What::Out { stream: StreamName::Stdout, bytes } => Self::Out(Line::from(&**bytes)),
            What::Out { stream: StreamName::Stderr, bytes } => Self::Err(Line::from(&**bytes)),
            What::Oversize { stream, bytes } => {
                Self::Oversize { stream: word(*stream).to_owned(), bytes: *bytes }
            }
            What::Close => Self::Close,
            What::Signal(signal) => Self::Signal { signal: signal.as_str().to_owned() },
            What::Tick => Self::Tick,
            What::Exit(Exit { code, signal, killed }) => {
                Self::Exit { code: *code, signal: *signal, killed: *killed }
            }
        }
    }
}

impl TryFrom<Shape> for What {
    type Error = String;

    fn try_from(shape: Shape) -> Result<Self, String> {
        Ok(match shape {
            Shape::Start { fresh, native, cwd, args } => {
                let fresh = fresh.parse().map_err(|error| format!("`fresh`: {error}"))?;
                Self::Start(Start { fresh, native, cwd, args })
            }
            Shape::In(line) => Self::In(line.bytes()?),
            Shape::Out(line) => Self::Out { stream: StreamName::Stdout, bytes: line.bytes()? },
            Shape::Err(line) => Self::Out { stream: StreamName::Stderr, bytes: line.bytes()? },
            Shape::Oversize { stream, bytes } => {
                let known = StreamName::ALL.into_iter().find(|known| word(*known) == stream);
                let stream = known.ok_or_else(|| format!("`{stream}` is neither out nor err"))?;
                Self::Oversize { stream, bytes }
            }
            Shape::Close => Self::Close,
            Shape::Signal { signal } => {
                let known = Signal::from_text(&signal);
                Self::Signal(known.ok_or_else(|| format!("there is no signal `{signal}`"))?)
            }
            Shape::Tick => Self::Tick,
            Shape::Exit { code, signal, killed } => Self::Exit(Exit { code, signal, killed }),
        })
    }
}

fn word(stream: StreamName) -> &'static str {
    match stream {
        StreamName::Stdout => "out",
        StreamName::Stderr => "err",
    }
}

impl From<&[u8]> for Line {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { line: Some(text.to_owned()), hex: None },
            Err(_) => {
                let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Self { line: None, hex: Some(hex) }
            }
        }
    }
}

impl Line {
    fn bytes(self) -> Result<Vec<u8>, String> {
        match (self.line, self.hex) {
            (Some(line), None) if !line.contains('\n') => Ok(line.into_bytes()),
            (Some(_), None) => Err("a line has no newline in it".into()),
            (None, Some(hex)) => bytes_of(&hex).ok_or_else(|| "`hex` is no hexadecimal".into()),
            _ => Err("a line is either `line` or `hex`".into()),
        }
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = hex.len().is_multiple_of(2) && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| hex.as_bytes().chunks(2).map(pair).collect())?
}
